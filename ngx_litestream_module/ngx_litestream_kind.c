
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The Litestreams that can be run: 0.5 and later, and 0.3.13.  What differs
 * between them is in this table, and behind it in files of their own.
 */


#include "ngx_litestream_old.h"


static ngx_litestream_kind_t  ngx_litestream_kinds[] = {

    { "0.5", 1, 1, 1, "LTX files", "no matching backup files available",
      ngx_litestream_yaml_write,
      ngx_litestream_list,
      ngx_litestream_restore,
      ngx_litestream_compare,
      ngx_litestream_judge },

    { "0.3", 0, 0, 0, "files", "no matching backups found",
      ngx_litestream_old_yaml,
      ngx_litestream_old_list,
      ngx_litestream_old_restore,
      ngx_litestream_old_check,
      ngx_litestream_old_judge }
};


/* until its version is known */
ngx_litestream_kind_t  *ngx_litestream_kind = &ngx_litestream_kinds[0];


/*
 * What a version is: NGX_OK, and ngx_litestream_kind points to what is known
 * of it, or NGX_DECLINED, it is none that can be used.  Supervisor.
 */

ngx_int_t
ngx_litestream_kind_set(char *version)
{
    unsigned  major, minor, patch;

    if (sscanf(version, "%u.%u.%u", &major, &minor, &patch) != 3) {
        major = 1;
        minor = 0;
        patch = 0;
    }

    ngx_litestream_kind = &ngx_litestream_kinds[0];

    if (major > 0 || minor > 5) {
        return NGX_OK;
    }

    /* 0.5.6 and 0.5.7 freeze silently */

    if (minor == 5) {
        return patch < 8 ? NGX_DECLINED : NGX_OK;
    }

    if (minor == 3 && patch >= 13) {
        ngx_litestream_kind = &ngx_litestream_kinds[1];
        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* once at a start: what cannot be had with this Litestream */

void
ngx_litestream_kind_say(void)
{
    char                     text[512];
    ngx_uint_t               i, mcp, busy, unknown;
    ngx_litestream_db_t     *db, **dbs;
    ngx_litestream_conf_t   *conf;
    ngx_litestream_group_t  *group;

    if (ngx_litestream_kind->control || ngx_litestream_sup->restore_only) {
        return;
    }

    conf = ngx_litestream_sup->conf;

    ngx_log_error(NGX_LOG_WARN, ngx_litestream_sup->log, 0,
                  "litestream: Litestream %s is an old one: transactions have "
                  "no numbers, a sync takes seconds, and there is no "
                  "verification with mode=full",
                  ngx_litestream_sup->version);

    dbs = conf->dbs.elts;

    mcp = 0;
    busy = 0;
    unknown = ngx_litestream_old_unknown(conf, NULL);

    for (i = 0; i < conf->dbs.nelts; i++) {
        db = dbs[i];

        busy += (db->busy_timeout != NGX_CONF_UNSET_MSEC);
        unknown += ngx_litestream_old_unknown(conf, db);

        if (db->replicate
            && ngx_litestream_old_supports(db, text, sizeof(text)) != NGX_OK)
        {
            ngx_log_error(NGX_LOG_ERR, ngx_litestream_sup->log, 0,
                          "litestream: database \"%V\": %s", &db->alias,
                          text);
        }
    }

    for (i = 0; i < conf->groups.nelts; i++) {
        group = ((ngx_litestream_group_t **) conf->groups.elts)[i];
        mcp += (group->settings.mcp != NULL);
    }

    if (mcp) {
        ngx_log_error(NGX_LOG_WARN, ngx_litestream_sup->log, 0,
                      "litestream: Litestream %s has no MCP server: "
                      "\"litestream_mcp_addr\" does nothing",
                      ngx_litestream_sup->version);
    }

    if (busy) {
        ngx_log_error(NGX_LOG_WARN, ngx_litestream_sup->log, 0,
                      "litestream: Litestream %s knows no \"busy_timeout\": "
                      "it is 1 second", ngx_litestream_sup->version);
    }

    if (unknown) {
        ngx_log_error(NGX_LOG_WARN, ngx_litestream_sup->log, 0,
                      "litestream: Litestream %s does not know %ui of the "
                      "settings in \"%V\", they are left out",
                      ngx_litestream_sup->version, unknown,
                      &conf->base->file);
    }
}
