
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Litestream's MCP server: its tools run "litestream", which they look for in
 * PATH, with the configuration of the Litestream that they are a part of.
 */


#include "ngx_litestream_supervisor.h"


static ngx_int_t ngx_litestream_mcp_script(ngx_pool_t *pool, ngx_str_t *bin,
    ngx_str_t *text);


/*
 * Makes GROUP/litestream, which the tools of that group's MCP server find
 * first in env, the environment of its Litestream: it is the same Litestream,
 * whatever that is called, but for "reset", which would end the replication
 * of a database until a restart.  Memory comes from pool; NGX_ERROR is logged.
 * Supervisor, under the lock; small local files only.
 */

ngx_int_t
ngx_litestream_mcp(ngx_pool_t *pool, ngx_litestream_rgroup_t *rg, char **env)
{
    char                    **e;
    u_char                   *p;
    ngx_str_t                 text;
    ngx_litestream_group_t   *group;

    group = rg->group;

    if (group->settings.mcp == NULL || !ngx_litestream_kind->control) {
        return NGX_OK;
    }

    if (ngx_litestream_mcp_script(pool, &ngx_litestream_sup->conf->bin, &text)
        != NGX_OK
        || ngx_litestream_group_write(rg, "litestream", &text, 0500) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (e = env; *e; e++) {

        if (ngx_strncmp(*e, "PATH=", 5) != 0) {
            continue;
        }

        p = ngx_pnalloc(pool, ngx_strlen(*e) + group->dir.len + 2);
        if (p == NULL) {
            return NGX_ERROR;
        }

        (void) ngx_sprintf(p, "PATH=%V:%s%Z", &group->dir, *e + 5);
        *e = (char *) p;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_litestream_mcp_script(ngx_pool_t *pool, ngx_str_t *bin, ngx_str_t *text)
{
    size_t   i;
    u_char  *p;

    static u_char  start[] =
        "#!/bin/sh\n"
        "# made by ngx_litestream, for the tools of Litestream's MCP server\n"
        "\n"
        "if [ \"$1\" = reset ]; then\n"
        "    echo 'reset: not while it is replicated by nginx' >&2\n"
        "    exit 1\n"
        "fi\n"
        "\n"
        "exec '";

    static u_char  end[] = "' \"$@\"\n";

    /* a quote in a name becomes '\'' */

    p = ngx_pnalloc(pool, sizeof(start) + 4 * bin->len + sizeof(end));
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    p = ngx_cpymem(p, start, sizeof(start) - 1);

    for (i = 0; i < bin->len; i++) {

        if (bin->data[i] == '\'') {
            p = ngx_cpymem(p, "'\\''", 4);

        } else {
            *p++ = bin->data[i];
        }
    }

    p = ngx_cpymem(p, end, sizeof(end) - 1);

    text->len = p - text->data;

    return NGX_OK;
}
