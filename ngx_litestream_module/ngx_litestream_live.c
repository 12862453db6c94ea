
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Databases of directories come to a Litestream that runs, and leave it,
 * without a start that would be a pause for all others: its control socket
 * takes them where what it can be told there is all that there is to say.
 */


#include "ngx_litestream_supervisor.h"


#define NGX_LITESTREAM_LIVE_LIMIT  10000

/* the longest URL of a replica */
#define NGX_LITESTREAM_LIVE_URL    4096


typedef struct {
    char                         text[NGX_LITESTREAM_ERROR_LEN];
} ngx_litestream_live_t;


static ngx_uint_t ngx_litestream_live_may(ngx_litestream_rdb_t *rdb);
static ngx_int_t ngx_litestream_live_url(ngx_litestream_db_t *db, char *url,
    size_t size);
static ngx_uint_t ngx_litestream_live_same(ngx_litestream_group_t *group,
    char *one, char *two, ngx_str_t *value);
static ngx_uint_t ngx_litestream_live_plain(ngx_str_t *text, char *also);
static void ngx_litestream_live_join(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_live_joined(ngx_litestream_call_t *call);
static void ngx_litestream_live_part(ngx_litestream_rdb_t *rdb);
static void ngx_litestream_live_parted(ngx_litestream_call_t *call);
static void ngx_litestream_live_settled(ngx_litestream_rgroup_t *rg);
static void ngx_litestream_live_failed(ngx_litestream_rdb_t *rdb,
    ngx_litestream_call_t *call);
static ngx_int_t ngx_litestream_live_value(void *data, ngx_uint_t depth,
    ngx_str_t *key, ngx_str_t *value);


/*
 * Databases have been cleared, or are not any more, while Litestream runs or
 * comes up.  1: that is under way, or will be when it is up; 0: it has to be
 * started with other ones.  Supervisor, does not block.
 */

ngx_uint_t
ngx_litestream_live(ngx_litestream_rgroup_t *rg)
{
    ngx_uint_t              i, wanted;
    ngx_litestream_rdb_t   *rdb, **rdbs;

    /* that of Litestream 0.3 has no control socket to be told by */

    if (rg->mute || !ngx_litestream_kind->control) {
        return 0;
    }

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {

        rdb = rdbs[i];

        if (rdb->cleared != rdb->running && !rdb->joining
            && !ngx_litestream_live_may(rdb))
        {
            return 0;
        }
    }

    if (rg->state != NGX_LITESTREAM_UP) {
        return 1;
    }

    wanted = 0;

    for (i = 0; i < rg->rdbs.nelts; i++) {

        rdb = rdbs[i];

        if (rdb->running && !rdb->cleared) {
            ngx_litestream_live_part(rdb);

        } else if (rdb->cleared && !rdb->running && !rdb->joining) {
            wanted++;
        }
    }

    if (wanted == 0) {
        return 1;
    }

    if (rg->guard == NULL) {
        ngx_litestream_guard(rg);
        return 1;
    }

    /* that of the start holds others, its end is a kick */

    if (!ngx_litestream_guard_late(rg) || !ngx_litestream_guard_ready(rg)) {
        return 1;
    }

    for (i = 0; i < rg->rdbs.nelts; i++) {

        rdb = rdbs[i];

        if (!rdb->running && !rdb->joining && !rdb->parting
            && ngx_litestream_guarded(rdb))
        {
            ngx_litestream_live_join(rdb);
        }
    }

    ngx_litestream_live_settled(rg);

    return 1;
}


/* 1: Litestream can be told of it, and would do the same with it */

static ngx_uint_t
ngx_litestream_live_may(ngx_litestream_rdb_t *rdb)
{
    char                  url[NGX_LITESTREAM_LIVE_URL];
    ngx_litestream_db_t  *db;

    db = rdb->db;

    if (db->in == NULL) {
        return 0;
    }

    if (!rdb->cleared) {
        return 1;
    }

    /* it has no settings there but the defaults of Litestream */

    return db->sync_interval == 1000 && !db->base_interval
           && db->checkpoint_interval == NGX_CONF_UNSET_MSEC
           && db->busy_timeout == NGX_CONF_UNSET_MSEC
           && db->min_checkpoint_pages == NGX_CONF_UNSET
           && db->keys == NULL && db->settings == NULL
           && ngx_litestream_live_url(db, url, sizeof(url)) == NGX_OK;
}


/*
 * The replica as a URL that means the same as the keys of litestream.yml.  A
 * file replica is looked for under its name as it stands in the URL, escapes
 * included, so that names that need any cannot be said.  NGX_DECLINED: there
 * is none.
 */

static ngx_int_t
ngx_litestream_live_url(ngx_litestream_db_t *db, char *url, size_t size)
{
    char                      *p, *last, query;
    ngx_str_t                 *value, *bucket, *path;
    ngx_uint_t                 i;
    ngx_litestream_key_t      *key;
    ngx_litestream_replica_t  *replica;

    replica = db->replica;
    key = replica->keys->elts;

    if (ngx_strcmp(replica->type.data, "file") == 0) {

        if (replica->keys->nelts != 1
            || !ngx_litestream_live_plain(&replica->path, "/")
            || replica->path.len + sizeof("file://") > size)
        {
            return NGX_DECLINED;
        }

        (void) snprintf(url, size, "file://%s", (char *) replica->path.data);

        return NGX_OK;
    }

    if (ngx_strcmp(replica->type.data, "s3") != 0) {
        return NGX_DECLINED;
    }

    bucket = NULL;
    path = NULL;

    for (i = 0; i < replica->keys->nelts; i++) {

        if (ngx_strcmp(key[i].key.data, "bucket") == 0) {
            bucket = &key[i].value;

        } else if (ngx_strcmp(key[i].key.data, "path") == 0) {
            path = &key[i].value;
        }
    }

    /* a key of a URL has no token */

    if (ngx_litestream_group_env(db->group, "AWS_SESSION_TOKEN", NULL)) {
        return NGX_DECLINED;
    }

    /* a dot: it could be the name of a server */

    if (bucket == NULL || path == NULL || bucket->len == 0
        || !ngx_litestream_live_plain(bucket, "")
        || ngx_strlchr(bucket->data, bucket->data + bucket->len, '.'))
    {
        return NGX_DECLINED;
    }

    last = url + size - 1;

    p = url + snprintf(url, size, "s3://%.*s/", (int) bucket->len,
                       (char *) bucket->data);

    p = ngx_litestream_live_escape(p, last, path, "/");
    query = '?';

    for (i = 0; i < replica->keys->nelts; i++) {

        value = &key[i].value;

        if (value == bucket || value == path) {
            continue;
        }

        if (ngx_strcmp(key[i].key.data, "access-key-id") == 0) {

            if (!ngx_litestream_live_same(db->group, "AWS_ACCESS_KEY_ID",
                                          "LITESTREAM_ACCESS_KEY_ID", value))
            {
                return NGX_DECLINED;
            }

            continue;
        }

        if (ngx_strcmp(key[i].key.data, "secret-access-key") == 0) {

            if (!ngx_litestream_live_same(db->group, "AWS_SECRET_ACCESS_KEY",
                                          "LITESTREAM_SECRET_ACCESS_KEY",
                                          value))
            {
                return NGX_DECLINED;
            }

            continue;
        }

        if (ngx_strcmp(key[i].key.data, "region") != 0
            && ngx_strcmp(key[i].key.data, "endpoint") != 0
            && ngx_strcmp(key[i].key.data, "force-path-style") != 0
            && ngx_strcmp(key[i].key.data, "skip-verify") != 0)
        {
            return NGX_DECLINED;
        }

        if (last - p < (ptrdiff_t) key[i].key.len + 2) {
            return NGX_DECLINED;
        }

        *p++ = query;
        query = '&';

        p = (char *) ngx_cpymem(p, key[i].key.data, key[i].key.len);
        *p++ = '=';

        p = ngx_litestream_live_escape(p, last, value, "");
    }

    if (p == last) {
        return NGX_DECLINED;
    }

    *p = '\0';

    return NGX_OK;
}


/* 1: Litestream finds the same key in its environment */

static ngx_uint_t
ngx_litestream_live_same(ngx_litestream_group_t *group, char *one, char *two,
    ngx_str_t *value)
{
    char  *text;

    text = ngx_litestream_group_env(group, one, two);

    return text && ngx_strlen(text) == value->len
           && ngx_memcmp(text, value->data, value->len) == 0;
}


static ngx_uint_t
ngx_litestream_live_plain(ngx_str_t *text, char *also)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {

        if ((text->data[i] < 'a' || text->data[i] > 'z')
            && (text->data[i] < 'A' || text->data[i] > 'Z')
            && (text->data[i] < '0' || text->data[i] > '9')
            && strchr("-._~", text->data[i]) == NULL
            && strchr(also, text->data[i]) == NULL)
        {
            return 0;
        }
    }

    return 1;
}


/*
 * Puts a part of a URL to p, and returns its end: all but what is never to be
 * escaped, and the characters of also, is %HH.  What does not fit ends at last.
 */

char *
ngx_litestream_live_escape(char *p, char *last, ngx_str_t *text, char *also)
{
    size_t     i;
    ngx_str_t  ch;

    for (i = 0; i < text->len; i++) {

        if (last - p < 4) {
            return last;
        }

        ch.data = &text->data[i];
        ch.len = 1;

        if (ngx_litestream_live_plain(&ch, also)) {
            *p++ = text->data[i];
            continue;
        }

        p += snprintf(p, 4, "%%%02X", text->data[i]);
    }

    return p;
}


static void
ngx_litestream_live_join(ngx_litestream_rdb_t *rdb)
{
    char                 *post;
    size_t                size;
    u_char               *p;
    ngx_litestream_db_t  *db;
    char                  url[NGX_LITESTREAM_LIVE_URL];

    db = rdb->db;

    if (ngx_litestream_live_url(db, url, sizeof(url)) != NGX_OK) {
        return;
    }

    size = sizeof("{\"path\":\"\",\"replica_url\":\"\"}") + ngx_strlen(url)
           + db->path.len + ngx_escape_json(NULL, db->path.data, db->path.len);

    post = ngx_alloc(size, ngx_litestream_sup->log);
    if (post == NULL) {
        return;
    }

    p = ngx_cpymem(post, "{\"path\":\"", sizeof("{\"path\":\"") - 1);
    p = (u_char *) ngx_escape_json(p, db->path.data, db->path.len);
    (void) ngx_sprintf(p, "\",\"replica_url\":\"%s\"}%Z", url);

    if (ngx_litestream_control(rdb->group, "/register", post,
                               NGX_LITESTREAM_LIVE_LIMIT,
                               NGX_LITESTREAM_ANSWER_LEN,
                               ngx_litestream_live_joined, rdb))
    {
        rdb->joining = 1;
        rdb->group->joining++;
    }

    ngx_free(post);
}


static void
ngx_litestream_live_joined(ngx_litestream_call_t *call)
{
    ngx_litestream_rdb_t     *rdb;
    ngx_litestream_rgroup_t  *rg;

    rdb = call->data;
    rg = rdb->group;

    rdb->joining = 0;
    rg->joining--;

    if (call->status != 200) {
        ngx_litestream_live_failed(rdb, call);
        ngx_litestream_live_settled(rg);
        return;
    }

    ngx_log_error(NGX_LOG_INFO, ngx_litestream_sup->log, 0,
                  "litestream: database \"%V\" was given to litestream "
                  "process %P", &rdb->db->alias, (pid_t) rg->st.pid);

    rdb->running = 1;
    rdb->synced = 0;
    rdb->kept = 0;

    if (!rdb->fault && rdb->st.state != NGX_LITESTREAM_DB_NEW) {
        rdb->st.state = NGX_LITESTREAM_DB_STARTING;
        rdb->st.error[0] = '\0';
        ngx_litestream_status_db_write(rdb);
    }

    ngx_litestream_sync(rdb, NULL);
    ngx_litestream_live_settled(rg);

    /* it may have been deleted meanwhile */

    if (!rdb->cleared) {
        ngx_litestream_group_kick(rg);
    }
}


static void
ngx_litestream_live_part(ngx_litestream_rdb_t *rdb)
{
    char                 *post;
    size_t                size;
    u_char               *p;
    ngx_litestream_db_t  *db;

    db = rdb->db;

    size = sizeof("{\"path\":\"\",\"timeout\":5}") + db->path.len
           + ngx_escape_json(NULL, db->path.data, db->path.len);

    post = ngx_alloc(size, ngx_litestream_sup->log);
    if (post == NULL) {
        return;
    }

    p = ngx_cpymem(post, "{\"path\":\"", sizeof("{\"path\":\"") - 1);
    p = (u_char *) ngx_escape_json(p, db->path.data, db->path.len);
    (void) ngx_sprintf(p, "\",\"timeout\":5}%Z");

    if (ngx_litestream_control(rdb->group, "/unregister", post,
                               NGX_LITESTREAM_LIVE_LIMIT,
                               NGX_LITESTREAM_ANSWER_LEN,
                               ngx_litestream_live_parted, rdb))
    {
        rdb->running = 0;
        rdb->synced = 0;
        rdb->parting = 1;
        rdb->group->parting++;
    }

    ngx_free(post);
}


static void
ngx_litestream_live_parted(ngx_litestream_call_t *call)
{
    ngx_litestream_rdb_t     *rdb;
    ngx_litestream_rgroup_t  *rg;

    rdb = call->data;
    rg = rdb->group;

    rdb->parting = 0;
    rg->parting--;

    /* an error is that of a last sync: it is out all the same */

    if (call->status == 0) {
        rdb->running = 1;
        ngx_litestream_live_failed(rdb, call);

    } else {
        ngx_log_error(NGX_LOG_INFO, ngx_litestream_sup->log, 0,
                      "litestream: database \"%V\" was taken from litestream "
                      "process %P", &rdb->db->alias, (pid_t) rg->st.pid);

        ngx_litestream_guard_drop(rdb);
    }

    ngx_litestream_live_settled(rg);
    ngx_litestream_group_kick(rg);
}


/* nothing is under way any more: the guard counts, and the file is as it is */

static void
ngx_litestream_live_settled(ngx_litestream_rgroup_t *rg)
{
    u_char                 *use;
    ngx_uint_t              i;
    ngx_litestream_rdb_t  **rdbs;

    if (rg->joining || rg->parting) {
        return;
    }

    ngx_litestream_guard_pid(rg, rg->proc.pid);

    use = ngx_calloc(ngx_litestream_sup->conf->dbs.nelts + 1,
                     ngx_litestream_sup->log);
    if (use == NULL) {
        return;
    }

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        use[rdbs[i]->index] = rdbs[i]->running;
    }

    /* for people: Litestream has read it long ago */

    (void) ngx_litestream_group_file(rg, "litestream.yml", use);

    ngx_free(use);
}


/* it says why, or nothing: then nobody knows what it runs with */

static void
ngx_litestream_live_failed(ngx_litestream_rdb_t *rdb,
    ngx_litestream_call_t *call)
{
    size_t                  n;
    ngx_litestream_live_t   a;

    ngx_memzero(&a, sizeof(ngx_litestream_live_t));

    if (call->status == 0) {
        rdb->group->mute = 1;
        ngx_litestream_group_kick(rdb->group);
        return;
    }

    if (call->body) {
        (void) ngx_litestream_yaml_read(call->body, call->len,
                                        ngx_litestream_live_value, &a);
    }

    n = ngx_litestream_redact(ngx_litestream_sup->conf, (u_char *) a.text,
                              ngx_strlen(a.text));
    a.text[n] = '\0';

    rdb->cleared = 0;

    ngx_litestream_guard_drop(rdb);
    ngx_litestream_db_error(rdb, "not replicated: Litestream does not take "
                            "it: %s", a.text[0] ? a.text
                            : "its answer cannot be understood");

    if (!rdb->retry.timer_set && !rdb->job) {
        ngx_litestream_retry(rdb);
    }
}


static ngx_int_t
ngx_litestream_live_value(void *data, ngx_uint_t depth, ngx_str_t *key,
    ngx_str_t *value)
{
    ngx_litestream_live_t *a = data;

    if (value && depth == 1 && ngx_strcmp(key->data, "error") == 0) {
        ngx_litestream_copy(a->text, sizeof(a->text), value->data,
                            value->len);
    }

    return NGX_OK;
}


/* Litestream has ended, with what was under way */

void
ngx_litestream_live_down(ngx_litestream_rgroup_t *rg)
{
    ngx_uint_t              i;
    ngx_litestream_rdb_t  **rdbs;

    rg->joining = 0;
    rg->parting = 0;
    rg->mute = 0;

    rdbs = rg->rdbs.elts;

    for (i = 0; i < rg->rdbs.nelts; i++) {
        rdbs[i]->joining = 0;
        rdbs[i]->parting = 0;
    }
}
