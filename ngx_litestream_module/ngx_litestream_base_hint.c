
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Keys that Litestream would ignore: what was meant, where it can be told.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream_base.h"


typedef struct {
    char                        *said;  /* several, separated by a space */
    char                        *hint;
} ngx_litestream_base_slip_t;


static ngx_str_t *ngx_litestream_base_near(ngx_litestream_base_place_t *place,
    ngx_str_t *name, ngx_uint_t limit);
static ngx_str_t *ngx_litestream_base_nearest(ngx_litestream_base_key_t *keys,
    ngx_str_t *name, ngx_uint_t *best);
static u_char *ngx_litestream_base_elsewhere(u_char *p, u_char *last,
    ngx_str_t *name);


/* what is called so elsewhere, wherever it stands */

static ngx_litestream_base_slip_t  ngx_litestream_base_slips[] = {

    { "db database databases", "did you mean \"dbs\"?" },
    { "metrics metrics-addr", "say \"litestream_metrics_addr\"" },
    { "log log-level", "did you mean \"level\" of \"logging\"?" },

    { "file filename db-path", "did you mean \"path\"?" },
    { "restore restore-if-not-exists if-db-not-exists if-replica-exists",
      "say \"litestream_db ... restore=\"" },
    { "max-checkpoint-page-n max-checkpoint-pages",
      "did you mean \"truncate-page-n\"?" },

    { "prefix path-prefix replica-path", "did you mean \"path\" of "
      "\"replica\"?" },
    { "retention-interval retention-period snapshot-retention",
      "did you mean \"retention\" of \"snapshot\"?" },
    { "storage provider scheme", "did you mean \"type\"?" },
    { "key-id access-key aws-access-key-id replica-key-id",
      "did you mean \"access-key-id\"?" },
    { "secret-key access-key-secret aws-secret-access-key replica-access-key",
      "did you mean \"secret-access-key\"?" },
    { "session-token aws-session-token", "set AWS_SESSION_TOKEN by "
      "\"litestream_env\", together with AWS_ACCESS_KEY_ID and "
      "AWS_SECRET_ACCESS_KEY" },
    { "replica-bucket bucket-name container", "did you mean \"bucket\"?" },
    { "replica-region", "did you mean \"region\"?" },
    { "replica-endpoint endpoint-url", "did you mean \"endpoint\"?" },
    { "use-path-style path-style", "did you mean \"force-path-style\"?" },
    { "insecure insecure-skip-verify tls-skip-verify",
      "did you mean \"skip-verify\"?" },
    { "credentials application-credentials", "set "
      "GOOGLE_APPLICATION_CREDENTIALS, the path of a key file, by "
      "\"litestream_env\"" },
    { "key-file keyfile private-key private-key-path identity-file",
      "did you mean \"key-path\"?" },
    { "known-hosts", "did you mean \"host-key\"?" },
    { "server hostname", "did you mean \"host\"?" },
    { "encryption encrypt", "Litestream 0.5 does not encrypt" },

    { NULL, NULL }
};


/*
 * Logs that there is no such key at this place, with what was meant: a slip of
 * the finger, the "_" of nginx.conf, the name in another tool, or another
 * place.  Any process that reads the configuration, does not block.
 */

void
ngx_litestream_base_hint(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *node,
    ngx_litestream_base_place_t *place)
{
    u_char                      *p;
    size_t                       i;
    u_char                       plain[64], where[128];
    ngx_str_t                    name, *near;
    ngx_litestream_base_slip_t  *slip;

    near = ngx_litestream_base_near(place, &node->name, 0);

    if (near) {
        goto meant;
    }

    name.len = ngx_min(node->name.len, sizeof(plain));
    name.data = plain;

    for (i = 0; i < name.len; i++) {
        plain[i] = (node->name.data[i] == '_')
                   ? '-' : ngx_tolower(node->name.data[i]);
    }

    for (slip = ngx_litestream_base_slips; slip->said; slip++) {

        if (ngx_litestream_base_word(&name, slip->said)) {
            ngx_litestream_base_error(parse, base, node->line,
                                      "unknown key \"%V\", %s", &node->name,
                                      slip->hint);
            return;
        }
    }

    p = ngx_litestream_base_elsewhere(where, where + sizeof(where), &name);

    if (p > where) {
        ngx_litestream_base_error(parse, base, node->line,
                                  "unknown key \"%V\" %s, it stands %*s",
                                  &node->name, place->where,
                                  (size_t) (p - where), where);
        return;
    }

    near = ngx_litestream_base_near(place, &node->name,
                                    ngx_min(node->name.len / 3, 3));

    if (near) {
        goto meant;
    }

    ngx_litestream_base_error(parse, base, node->line,
                              "unknown key \"%V\" %s, Litestream %s has "
                              "none of this name there (\"unknown=pass\" lets "
                              "it pass)", &node->name, place->where,
                              NGX_LITESTREAM_BIN_VERSION);
    return;

meant:

    ngx_litestream_base_error(parse, base, node->line,
                              "unknown key \"%V\", did you mean \"%V\"?",
                              &node->name, near);
}


/* the nearest key there, not more than limit characters away, or NULL */

static ngx_str_t *
ngx_litestream_base_near(ngx_litestream_base_place_t *place, ngx_str_t *name,
    ngx_uint_t limit)
{
    ngx_str_t   *one, *two;
    ngx_uint_t   best;

    best = limit + 1;

    one = ngx_litestream_base_nearest(place->keys, name, &best);
    two = place->more ? ngx_litestream_base_nearest(place->more, name, &best)
                      : NULL;

    return two ? two : one;
}


static ngx_str_t *
ngx_litestream_base_nearest(ngx_litestream_base_key_t *keys, ngx_str_t *name,
    ngx_uint_t *best)
{
    ngx_str_t   *found;
    ngx_uint_t   n;

    found = NULL;

    for ( /* void */ ; keys->name.len; keys++) {

        /* what is to be left out is not advised */

        if (keys->kind == NGX_LITESTREAM_KIND_OLD
            || keys->kind == NGX_LITESTREAM_KIND_REFUSED)
        {
            continue;
        }

        n = ngx_litestream_distance(name, &keys->name);

        if (n < *best) {
            *best = n;
            found = &keys->name;
        }
    }

    return found;
}


/* the places that have such a key; the end of the text */

static u_char *
ngx_litestream_base_elsewhere(u_char *p, u_char *last, ngx_str_t *name)
{
    u_char                        *start;
    ngx_litestream_base_key_t     *key;
    ngx_litestream_base_place_t  **place;

    start = p;

    for (place = ngx_litestream_base_places; *place; place++) {

        key = ngx_litestream_base_known(*place, name);

        if (key == NULL || key->kind == NGX_LITESTREAM_KIND_OLD) {
            continue;
        }

        p = ngx_slprintf(p, last, "%s%s", p == start ? "" : " or ",
                         (*place)->where);
    }

    if (p == start
        && ngx_litestream_base_known(&ngx_litestream_base_top_place, name))
    {
        p = ngx_slprintf(p, last, "%s", ngx_litestream_base_top_place.where);
    }

    return p;
}


/*
 * Logs that a replica of this type has no such key.  Any process that reads
 * the configuration, does not block.
 */

void
ngx_litestream_base_foreign(ngx_litestream_parse_t *parse,
    ngx_litestream_base_t *base, ngx_litestream_node_t *node, ngx_str_t *type)
{
    char       *hint;
    u_char     *p, text[64];
    ngx_str_t   said;

    hint = ngx_litestream_replica_hint(type, &node->name);

    if (hint == NULL || ngx_strncmp(hint, "did you mean ", 13) != 0) {
        ngx_litestream_base_error(parse, base, node->line,
                                  "key \"%V\" is not of replica type \"%V\"",
                                  &node->name, type);
        return;
    }

    /* a parameter's name, which has "_" in it */

    said.data = text;
    said.len = ngx_slprintf(text, text + sizeof(text), "%s", hint) - text;

    for (p = text; p < text + said.len; p++) {
        if (*p == '_') {
            *p = '-';
        }
    }

    ngx_litestream_base_error(parse, base, node->line,
                              "key \"%V\" is not of replica type \"%V\", %V",
                              &node->name, type, &said);
}
