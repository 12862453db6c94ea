
/*
 * Copyright (C) the ngx_litestream authors
 */


/* what a group's Litestream says: its log, and why it ends */


#include "ngx_litestream_old.h"


static void ngx_litestream_group_line(ngx_litestream_rgroup_t *rg, u_char *p,
    size_t len);
static void ngx_litestream_group_blame(ngx_litestream_rgroup_t *rg,
    ngx_str_t *text);


void
ngx_litestream_group_read_handler(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    c = ev->data;

    ngx_litestream_group_read(c->data, 0);
}


/* at most 64 KiB a turn, so that a flood does not stop everything else */

void
ngx_litestream_group_read(ngx_litestream_rgroup_t *rg, ngx_uint_t all)
{
    u_char     *p, *start, *last;
    size_t      n;
    ssize_t     len;
    ngx_uint_t  turn;
    u_char      buf[16384];

    for (turn = 0; turn < (all ? 1024u : 4u); turn++) {

        len = read(rg->log->fd, buf, sizeof(buf));

        if (len == -1 && ngx_errno == NGX_EINTR) {
            continue;
        }

        if (len == -1 && ngx_errno == NGX_EAGAIN) {
            return;
        }

        if (len <= 0) {
            ngx_close_connection(rg->log);
            rg->log = NULL;
            return;
        }

        last = buf + len;

        for (start = buf; start < last; start = p + 1) {

            p = ngx_strlchr(start, last, '\n');

            n = (p ? p : last) - start;

            if (rg->line_len + n > NGX_LITESTREAM_LINE_LEN - 1) {

                /* the rest of an overlong line is dropped */

                n = NGX_LITESTREAM_LINE_LEN - 1 - rg->line_len;
            }

            ngx_memcpy(rg->line + rg->line_len, start, n);
            rg->line_len += n;

            if (p == NULL) {
                break;
            }

            ngx_litestream_group_line(rg, rg->line, rg->line_len);
            rg->line_len = 0;
        }
    }
}


static void
ngx_litestream_group_line(ngx_litestream_rgroup_t *rg, u_char *p, size_t len)
{
    size_t                  n;
    u_char                  buf[NGX_LITESTREAM_LINE_LEN];
    u_char                  text[2048];
    ngx_litestream_line_t   line;

    if (len == 0) {
        return;
    }

    ngx_litestream_group_second(rg);

    if (!ngx_litestream_kind->control && ngx_litestream_old_line(rg, p, len)) {
        return;
    }

    /* how it ends must not get lost in a flood: that is plain text */

    if (rg->lines++ >= NGX_LITESTREAM_LINES) {
        rg->dropped++;

        if (*p != 'E' && *p != 'p') {
            return;
        }
    }

    ngx_litestream_line_parse(p, len, buf, &line);

    n = ngx_litestream_line_text(&line, text, sizeof(text) - 1);
    n = ngx_litestream_redact(ngx_litestream_sup->conf, text, n);
    text[n] = '\0';

    if (!line.json) {
        ngx_litestream_group_blame(rg, &line.msg);
    }

    if (line.version.len && line.version.data[0] == 'v') {
        line.version.data++;
        line.version.len--;
    }

    if (line.version.len) {
        ngx_litestream_copy(rg->st.version, sizeof(rg->st.version),
                            line.version.data, line.version.len);
    }

    /* how it ends is said in plain text, or at level error */

    if ((!line.json && line.level < NGX_LOG_INFO)
        || line.level <= NGX_LOG_ERR)
    {
        ngx_litestream_copy(rg->last, sizeof(rg->last), text, n);
    }

    if (rg->lines > NGX_LITESTREAM_LINES) {
        return;
    }

    ngx_log_error(line.level, ngx_litestream_sup->log, 0,
                  "litestream: %P: %*s", (pid_t) rg->st.pid, n, text);
}


/* lines are counted by the second; each tick, too: none may follow */

void
ngx_litestream_group_second(ngx_litestream_rgroup_t *rg)
{
    if (ngx_time() == rg->second) {
        return;
    }

    if (rg->dropped) {
        ngx_log_error(NGX_LOG_WARN, ngx_litestream_sup->log, 0,
                      "litestream: %ui lines of litestream process %P were "
                      "dropped", rg->dropped, (pid_t) rg->st.pid);
    }

    rg->second = ngx_time();
    rg->lines = 0;
    rg->dropped = 0;
}


/*
 * 'Error: cannot open store: initialize replica client for "PATH": REASON':
 * that of one database ends Litestream for all of them.  The database and the
 * reason are remembered until the end is seen.
 */

static void
ngx_litestream_group_blame(ngx_litestream_rgroup_t *rg, ngx_str_t *text)
{
    size_t                   n;
    u_char                  *p, *last;
    ngx_str_t               *path;
    ngx_uint_t               i;
    ngx_litestream_rdb_t   **rdbs;

    static u_char  begin[] =
        "Error: cannot open store: initialize replica client for \"";

    n = sizeof(begin) - 1;

    if (text->len < n || ngx_memcmp(text->data, begin, n) != 0) {
        return;
    }

    p = text->data + n;
    last = text->data + text->len;

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {

        path = &rdbs[i]->db->path;

        /* names that Litestream writes with escapes are not found */

        if (!rdbs[i]->running
            || (size_t) (last - p) < path->len + 3
            || ngx_memcmp(p, path->data, path->len) != 0
            || ngx_memcmp(p + path->len, "\": ", 3) != 0)
        {
            continue;
        }

        p += path->len + 3;

        ngx_litestream_tidy(rg->why, sizeof(rg->why), (char *) p, last - p);

        n = ngx_litestream_redact(ngx_litestream_sup->conf, (u_char *) rg->why,
                                  ngx_strlen(rg->why));
        rg->why[n] = '\0';

        rg->culprit = rdbs[i];

        return;
    }
}


/*
 * The replica of one database could not be opened, which Litestream says before
 * it opens any database: that one is left out, the others are started again at
 * once.  Those with the same server are compared first, so that they do not
 * end it one by one.  0: nobody is known to be to blame.  Supervisor, when
 * Litestream has ended.
 */

ngx_uint_t
ngx_litestream_group_leave_out(ngx_litestream_rgroup_t *rg)
{
    ngx_uint_t              i;
    ngx_litestream_rdb_t   *rdb, *culprit, **rdbs;

    culprit = rg->culprit;

    if (culprit == NULL || rg->was_up || rg->killed) {
        return 0;
    }

    rg->culprit = NULL;

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {

        rdb = rdbs[i];

        if (!rdb->cleared || rdb->fault || rdb == culprit) {
            continue;
        }

        rdb->st.error[0] = '\0';

        if (ngx_litestream_same_server(rdb, culprit)) {
            ngx_litestream_recheck(rdb);

        } else {
            rdb->kept = 1;
        }
    }

    culprit->cleared = 0;
    culprit->kept = 0;

    ngx_litestream_db_error(culprit, "not replicated: replica \"%s\": %s",
                            (char *) culprit->db->replica->url.data, rg->why);
    ngx_litestream_retry(culprit);

    return 1;
}
