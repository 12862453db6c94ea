
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * The keys that Litestream 0.5.17 has in its configuration, and those that
 * 0.3.13 had and it has no more.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_litestream_base.h"


#define NGX_LITESTREAM_BASE_OLD                                               \
    "is a key of Litestream 0.3, which 0.5 does not have"


static ngx_litestream_base_key_t *ngx_litestream_base_lookup(
    ngx_litestream_base_key_t *keys, ngx_str_t *name);


static ngx_litestream_base_key_t  ngx_litestream_base_snapshot_keys[] = {
    { ngx_string("interval"), NGX_LITESTREAM_KIND_POSITIVE, NULL, 0, NULL },
    { ngx_string("retention"), NGX_LITESTREAM_KIND_POSITIVE, NULL, 0, NULL },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_place_t  ngx_litestream_base_snapshot_place = {
    "in \"snapshot\"",
    ngx_litestream_base_snapshot_keys, NULL
};

static ngx_litestream_base_key_t  ngx_litestream_base_interval_keys[] = {
    { ngx_string("interval"), NGX_LITESTREAM_KIND_POSITIVE, NULL, 0, NULL },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_place_t  ngx_litestream_base_levels_place = {
    "in \"levels\"",
    ngx_litestream_base_interval_keys, NULL
};

static ngx_litestream_base_key_t  ngx_litestream_base_validation_keys[] = {
    { ngx_string("interval"), NGX_LITESTREAM_KIND_DURATION, NULL, 0, NULL },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_place_t  ngx_litestream_base_validation_place = {
    "in \"validation\"",
    ngx_litestream_base_validation_keys, NULL
};

static ngx_litestream_base_key_t  ngx_litestream_base_retention_keys[] = {
    { ngx_string("enabled"), NGX_LITESTREAM_KIND_BOOL, NULL, 0, NULL },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_place_t  ngx_litestream_base_retention_place = {
    "in \"retention\"",
    ngx_litestream_base_retention_keys, NULL
};

static ngx_litestream_base_key_t  ngx_litestream_base_logging_keys[] = {
    { ngx_string("level"), NGX_LITESTREAM_KIND_LEVEL, NULL, 0, NULL },
    { ngx_string("source"), NGX_LITESTREAM_KIND_BOOL, NULL, 0, NULL },
    { ngx_string("type"), NGX_LITESTREAM_KIND_REFUSED,
      NULL, 0, "nginx reads Litestream's log as JSON, where it goes says "
               "\"litestream_log\"" },
    { ngx_string("stderr"), NGX_LITESTREAM_KIND_REFUSED,
      NULL, 0, "say \"litestream_log\"" },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_place_t  ngx_litestream_base_logging_place = {
    "in \"logging\"",
    ngx_litestream_base_logging_keys, NULL
};

static ngx_litestream_base_key_t  ngx_litestream_base_replica_keys[] = {
    { ngx_string("type"), NGX_LITESTREAM_KIND_TEXT, "", 0, NULL },
    { ngx_string("name"), NGX_LITESTREAM_KIND_TEXT, "*", 0, NULL },
    { ngx_string("path"), NGX_LITESTREAM_KIND_TEXT, "", 0, NULL },
    { ngx_string("url"), NGX_LITESTREAM_KIND_TEXT, "", 0, NULL },

    /* 0.3: what 0.5 says by "snapshot" */

    { ngx_string("retention"), NGX_LITESTREAM_KIND_POSITIVE, "", 0, NULL },
    { ngx_string("snapshot-interval"), NGX_LITESTREAM_KIND_POSITIVE,
      "", 0, NULL },
    { ngx_string("retention-check-interval"), NGX_LITESTREAM_KIND_OLD,
      "*", 0, NGX_LITESTREAM_BASE_OLD },

    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_key_t  ngx_litestream_base_setting_keys[] = {
    { ngx_string("sync-interval"), NGX_LITESTREAM_KIND_POSITIVE, "*", 0, NULL },
    { ngx_string("validation-interval"), NGX_LITESTREAM_KIND_DURATION,
      "*", 0, NULL },
    { ngx_string("max-sync-ltx-files"), NGX_LITESTREAM_KIND_NUMBER,
      "*", 0, NULL },
    { ngx_string("auto-recover"), NGX_LITESTREAM_KIND_BOOL, "*", 0, NULL },
    { ngx_string("access-key-id"), NGX_LITESTREAM_KIND_TEXT,
      "s3 oss", NGX_LITESTREAM_MASKED, NULL },
    { ngx_string("secret-access-key"), NGX_LITESTREAM_KIND_TEXT,
      "s3 oss", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("region"), NGX_LITESTREAM_KIND_TEXT, "s3 oss", 0, NULL },
    { ngx_string("bucket"), NGX_LITESTREAM_KIND_TEXT, "", 0, NULL },
    { ngx_string("endpoint"), NGX_LITESTREAM_KIND_TEXT, "s3 oss abs", 0, NULL },
    { ngx_string("force-path-style"), NGX_LITESTREAM_KIND_BOOL, "s3", 0, NULL },
    { ngx_string("sign-payload"), NGX_LITESTREAM_KIND_BOOL, "s3", 0, NULL },
    { ngx_string("sign-accept-encoding"), NGX_LITESTREAM_KIND_BOOL,
      "s3", 0, NULL },
    { ngx_string("require-content-md5"), NGX_LITESTREAM_KIND_BOOL,
      "s3", 0, NULL },
    { ngx_string("skip-verify"), NGX_LITESTREAM_KIND_BOOL, "s3", 0, NULL },
    { ngx_string("storage-class"), NGX_LITESTREAM_KIND_TEXT, "s3", 0, NULL },
    { ngx_string("part-size"), NGX_LITESTREAM_KIND_SIZE, "s3 oss", 0, NULL },
    { ngx_string("concurrency"), NGX_LITESTREAM_KIND_NUMBER,
      "s3 oss", 0, NULL },
    { ngx_string("sse-customer-algorithm"), NGX_LITESTREAM_KIND_TEXT,
      "s3", 0, NULL },
    { ngx_string("sse-customer-key"), NGX_LITESTREAM_KIND_TEXT,
      "s3", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("sse-customer-key-path"), NGX_LITESTREAM_KIND_TEXT,
      "s3", 0, NULL },
    { ngx_string("sse-kms-key-id"), NGX_LITESTREAM_KIND_TEXT, "s3", 0, NULL },
    { ngx_string("account-name"), NGX_LITESTREAM_KIND_TEXT, "abs", 0, NULL },
    { ngx_string("account-key"), NGX_LITESTREAM_KIND_TEXT,
      "abs", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("sas-token"), NGX_LITESTREAM_KIND_TEXT,
      "abs", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("host"), NGX_LITESTREAM_KIND_TEXT, "", 0, NULL },
    { ngx_string("user"), NGX_LITESTREAM_KIND_TEXT, "sftp", 0, NULL },
    { ngx_string("password"), NGX_LITESTREAM_KIND_TEXT,
      "sftp nats", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("key-path"), NGX_LITESTREAM_KIND_TEXT, "sftp", 0, NULL },
    { ngx_string("concurrent-writes"), NGX_LITESTREAM_KIND_BOOL,
      "sftp", 0, NULL },
    { ngx_string("host-key"), NGX_LITESTREAM_KIND_TEXT, "sftp", 0, NULL },
    { ngx_string("webdav-url"), NGX_LITESTREAM_KIND_TEXT, "webdav", 0, NULL },
    { ngx_string("webdav-username"), NGX_LITESTREAM_KIND_TEXT,
      "webdav", 0, NULL },
    { ngx_string("webdav-password"), NGX_LITESTREAM_KIND_TEXT,
      "webdav", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("jwt"), NGX_LITESTREAM_KIND_TEXT,
      "nats", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("seed"), NGX_LITESTREAM_KIND_TEXT,
      "nats", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("creds"), NGX_LITESTREAM_KIND_TEXT, "nats", 0, NULL },
    { ngx_string("nkey"), NGX_LITESTREAM_KIND_TEXT,
      "nats", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("username"), NGX_LITESTREAM_KIND_TEXT, "nats", 0, NULL },
    { ngx_string("token"), NGX_LITESTREAM_KIND_TEXT,
      "nats", NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("tls"), NGX_LITESTREAM_KIND_BOOL, "nats", 0, NULL },
    { ngx_string("root-cas"), NGX_LITESTREAM_KIND_TEXTS, "nats", 0, NULL },
    { ngx_string("client-cert"), NGX_LITESTREAM_KIND_TEXT, "nats", 0, NULL },
    { ngx_string("client-key"), NGX_LITESTREAM_KIND_TEXT, "nats", 0, NULL },
    { ngx_string("max-reconnects"), NGX_LITESTREAM_KIND_NUMBER,
      "nats", 0, NULL },
    { ngx_string("reconnect-wait"), NGX_LITESTREAM_KIND_DURATION,
      "nats", 0, NULL },
    { ngx_string("timeout"), NGX_LITESTREAM_KIND_DURATION, "nats", 0, NULL },
    { ngx_string("age"), NGX_LITESTREAM_KIND_REFUSED,
      "", 0, "Litestream 0.5 does not encrypt" },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_place_t  ngx_litestream_base_replica_place = {
    "in \"replica\"",
    ngx_litestream_base_replica_keys, ngx_litestream_base_setting_keys
};

static ngx_litestream_base_key_t  ngx_litestream_base_db_keys[] = {
    { ngx_string("path"), NGX_LITESTREAM_KIND_TEXT, NULL, 0, NULL },
    { ngx_string("dir"), NGX_LITESTREAM_KIND_TEXT, NULL, 0, NULL },
    { ngx_string("pattern"), NGX_LITESTREAM_KIND_TEXT, NULL, 0, NULL },
    { ngx_string("recursive"), NGX_LITESTREAM_KIND_BOOL, NULL, 0, NULL },
    { ngx_string("watch"), NGX_LITESTREAM_KIND_BOOL, NULL, 0, NULL },
    { ngx_string("meta-dir"), NGX_LITESTREAM_KIND_REFUSED,
      NULL, 0, "nginx looks for it beside the databases" },
    { ngx_string("meta-path"), NGX_LITESTREAM_KIND_REFUSED,
      NULL, 0, "nginx looks for it beside the database" },
    { ngx_string("snapshot"), NGX_LITESTREAM_KIND_MAP,
      NULL, 0, &ngx_litestream_base_snapshot_place },
    { ngx_string("monitor-interval"), NGX_LITESTREAM_KIND_POSITIVE,
      NULL, 0, NULL },
    { ngx_string("checkpoint-interval"), NGX_LITESTREAM_KIND_DURATION,
      NULL, 0, NULL },
    { ngx_string("busy-timeout"), NGX_LITESTREAM_KIND_DURATION, NULL, 0, NULL },
    { ngx_string("min-checkpoint-page-count"), NGX_LITESTREAM_KIND_NUMBER,
      NULL, 0, NULL },
    { ngx_string("truncate-page-n"), NGX_LITESTREAM_KIND_NUMBER,
      NULL, 0, NULL },
    { ngx_string("max-sync-wal-bytes"), NGX_LITESTREAM_KIND_NUMBER,
      NULL, 0, NULL },
    { ngx_string("max-checkpoint-page-count"), NGX_LITESTREAM_KIND_OLD,
      NULL, 0, NGX_LITESTREAM_BASE_OLD },
    { ngx_string("restore-if-db-not-exists"), NGX_LITESTREAM_KIND_REFUSED,
      NULL, 0, "say \"litestream_db ... restore=\"" },
    { ngx_string("replica"), NGX_LITESTREAM_KIND_MAP,
      NULL, 0, &ngx_litestream_base_replica_place },
    { ngx_string("replicas"), NGX_LITESTREAM_KIND_LIST,
      NULL, 0, &ngx_litestream_base_replica_place },
    { ngx_null_string, 0, NULL, 0, NULL }
};

static ngx_litestream_base_place_t  ngx_litestream_base_db_place = {
    "in \"dbs\"",
    ngx_litestream_base_db_keys, NULL
};

static ngx_litestream_base_key_t  ngx_litestream_base_top_keys[] = {
    { ngx_string("addr"), NGX_LITESTREAM_KIND_REFUSED,
      NULL, 0, "say \"litestream_metrics_addr\"" },
    { ngx_string("mcp-addr"), NGX_LITESTREAM_KIND_REFUSED,
      NULL, 0, "say \"litestream_mcp_addr\"" },
    { ngx_string("socket"), NGX_LITESTREAM_KIND_REFUSED,
      NULL, 0, "it is below \"litestream_state_path\"" },
    { ngx_string("exec"), NGX_LITESTREAM_KIND_REFUSED,
      NULL, 0, "nginx runs Litestream, not the other way" },
    { ngx_string("shutdown-sync-timeout"), NGX_LITESTREAM_KIND_REFUSED,
      NULL, 0, "say \"litestream_shutdown_timeout\"" },
    { ngx_string("shutdown-sync-interval"), NGX_LITESTREAM_KIND_POSITIVE,
      NULL, 0, NULL },
    { ngx_string("levels"), NGX_LITESTREAM_KIND_LIST,
      NULL, 0, &ngx_litestream_base_levels_place },
    { ngx_string("snapshot"), NGX_LITESTREAM_KIND_MAP,
      NULL, 0, &ngx_litestream_base_snapshot_place },
    { ngx_string("validation"), NGX_LITESTREAM_KIND_MAP,
      NULL, 0, &ngx_litestream_base_validation_place },
    { ngx_string("l0-retention"), NGX_LITESTREAM_KIND_DURATION, NULL, 0, NULL },
    { ngx_string("l0-retention-check-interval"), NGX_LITESTREAM_KIND_POSITIVE,
      NULL, 0, NULL },
    { ngx_string("verify-compaction"), NGX_LITESTREAM_KIND_BOOL,
      NULL, 0, NULL },
    { ngx_string("retention"), NGX_LITESTREAM_KIND_MAP,
      NULL, 0, &ngx_litestream_base_retention_place },
    { ngx_string("heartbeat-url"), NGX_LITESTREAM_KIND_TEXT,
      NULL, NGX_LITESTREAM_PRIVATE, NULL },
    { ngx_string("heartbeat-interval"), NGX_LITESTREAM_KIND_MINUTE,
      NULL, 0, NULL },
    { ngx_string("logging"), NGX_LITESTREAM_KIND_MAP,
      NULL, 0, &ngx_litestream_base_logging_place },
    { ngx_string("dbs"), NGX_LITESTREAM_KIND_LIST,
      NULL, 0, &ngx_litestream_base_db_place },
    { ngx_null_string, 0, NULL, 0, NULL }
};

ngx_litestream_base_place_t  ngx_litestream_base_top_place = {
    "at the top of the file",
    ngx_litestream_base_top_keys, ngx_litestream_base_setting_keys
};


/* where a message says that a key belongs */

ngx_litestream_base_place_t  *ngx_litestream_base_places[] = {
    &ngx_litestream_base_db_place,
    &ngx_litestream_base_replica_place,
    &ngx_litestream_base_snapshot_place,
    &ngx_litestream_base_levels_place,
    &ngx_litestream_base_validation_place,
    &ngx_litestream_base_retention_place,
    &ngx_litestream_base_logging_place,
    NULL
};


static ngx_litestream_base_key_t *
ngx_litestream_base_lookup(ngx_litestream_base_key_t *keys, ngx_str_t *name)
{
    for ( /* void */ ; keys->name.len; keys++) {

        if (keys->name.len == name->len
            && ngx_memcmp(keys->name.data, name->data, name->len) == 0)
        {
            return keys;
        }
    }

    return NULL;
}


/*
 * A key that may stand there, or NULL.
 */

ngx_litestream_base_key_t *
ngx_litestream_base_known(ngx_litestream_base_place_t *place, ngx_str_t *name)
{
    ngx_litestream_base_key_t  *key;

    key = ngx_litestream_base_lookup(place->keys, name);

    if (key == NULL && place->more) {
        key = ngx_litestream_base_lookup(place->more, name);
    }

    return key;
}


/*
 * 1: a key of replicas, which may stand outside of them as their default.
 */

ngx_uint_t
ngx_litestream_base_setting(ngx_str_t *name)
{
    return ngx_litestream_base_lookup(ngx_litestream_base_setting_keys, name)
           != NULL;
}


/*
 * What a key is to a replica of that type: NGX_LITESTREAM_BASE_XXX.
 */

ngx_uint_t
ngx_litestream_base_of(ngx_str_t *name, ngx_str_t *type)
{
    ngx_litestream_base_key_t  *key;

    key = ngx_litestream_base_known(&ngx_litestream_base_replica_place, name);

    if (key == NULL) {
        return NGX_LITESTREAM_BASE_OTHER;
    }

    if (key->types[0] == '\0') {
        return NGX_LITESTREAM_BASE_URL;
    }

    if (key->types[0] == '*') {
        return NGX_LITESTREAM_BASE_ANY;
    }

    return ngx_litestream_base_word(type, key->types)
           ? NGX_LITESTREAM_BASE_TYPE : NGX_LITESTREAM_BASE_OTHER;
}


/*
 * NGX_LITESTREAM_MASKED or _PRIVATE: the value of such a key is a secret, also
 * of one that is not known; else 0.
 */

ngx_uint_t
ngx_litestream_base_secret(ngx_str_t *name)
{
    size_t                       i;
    char                       **part;
    ngx_litestream_base_key_t   *key;

    static char  *parts[] = {
        "secret", "token", "pass", "key", "jwt", "seed", "credential",
        "heartbeat-url", NULL
    };

    key = ngx_litestream_base_lookup(ngx_litestream_base_setting_keys, name);

    if (key) {
        return key->secret;
    }

    for (part = parts; *part; part++) {
        for (i = 0; i < name->len; i++) {

            /* names are NUL-ended */

            if (ngx_strncasecmp(name->data + i, (u_char *) *part,
                                ngx_strlen(*part))
                == 0)
            {
                return NGX_LITESTREAM_PRIVATE;
            }
        }
    }

    return 0;
}
