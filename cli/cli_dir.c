
/*
 * Copyright (C) the ngx_litestream authors
 */


/* directories of databases, which nginx finds while it runs */


#include "cli.h"


/* of the directories in the status, and of none else */

int
cli_dir_named(const char *name, ngx_litestream_dir_status_t *dir)
{
    return strcmp(name, "all") == 0
           || strcmp(name, dir->alias) == 0
           || strcmp(name, dir->path) == 0;
}


/* 1 if the database was found in the directory of that alias */

int
cli_dir_of(const char *alias, ngx_litestream_db_status_t *db)
{
    size_t  n;

    n = strlen(alias);

    return db->dir && strchr(alias, '/') == NULL
           && strncmp(alias, db->alias, n) == 0 && db->alias[n] == '/';
}


/* marks the directories of that name, and their databases; 0: there is none */

int
cli_dir_choose(cli_state_t *st, const char *name)
{
    int  i, n, found;

    found = 0;

    for (n = 0; n < st->n_dirs; n++) {

        if (!cli_dir_named(name, &st->dirs[n])) {
            continue;
        }

        found = 1;
        st->dir_chosen[n] = 1;

        for (i = 0; i < st->n_dbs; i++) {
            if (st->dbs[i].dir == st->dirs[n].id) {
                st->chosen[i] = 1;
            }
        }
    }

    return found;
}


/* 1 if all of those that were chosen have been looked through */

int
cli_dir_ready(cli_state_t *st)
{
    int  n;

    for (n = 0; n < st->n_dirs; n++) {
        if (st->dir_chosen[n] && !st->dirs[n].in_place) {
            return 0;
        }
    }

    return 1;
}


int
cli_dir_group(cli_state_t *st, int group)
{
    int  n;

    for (n = 0; n < st->n_dirs; n++) {
        if (st->dir_chosen[n] && st->dirs[n].group == (uint32_t) group) {
            return 1;
        }
    }

    return 0;
}


void
cli_dir_json(cli_json_t *json, cli_state_t *st)
{
    int                           n;
    ngx_litestream_dir_status_t  *dir;

    cli_json_open(json, "directories", '[');

    for (n = 0; n < st->n_dirs; n++) {

        dir = &st->dirs[n];

        if (!st->dir_chosen[n]) {
            continue;
        }

        cli_json_open(json, NULL, '{');

        cli_json_text(json, "alias", dir->alias);
        cli_json_text(json, "path", dir->path);
        cli_json_text(json, "state",
                      ngx_litestream_dir_state_names[dir->state]);
        cli_json_number(json, "databases", dir->count);
        cli_json_time(json, "scanned_at", dir->scanned_at);

        if (dir->listed == NGX_LITESTREAM_LISTED_NEVER) {
            cli_json_null(json, "listed");

        } else {
            cli_json_bool(json, "listed",
                          dir->listed == NGX_LITESTREAM_LISTED);
        }

        cli_json_open(json, "replica", '{');
        cli_json_text(json, "type", dir->replica_type);
        cli_json_text(json, "url", dir->replica_url);
        cli_json_close(json, '}');

        cli_json_text(json, "error", dir->error);

        cli_json_close(json, '}');
    }

    cli_json_close(json, ']');
}


/* a line for each, above the table */

void
cli_dir_table(cli_state_t *st)
{
    int                           n;
    char                          alias[4 * (NGX_LITESTREAM_ALIAS_LEN + 1)];
    char                          path[4 * (NGX_LITESTREAM_PATH_LEN + 1)];
    char                          text[4 * NGX_LITESTREAM_ERROR_LEN + 1];
    ngx_litestream_dir_status_t  *dir;

    for (n = 0; n < st->n_dirs; n++) {

        dir = &st->dirs[n];

        if (!st->dir_chosen[n]) {
            continue;
        }

        (void) cli_escape(alias, sizeof(alias), dir->alias);
        (void) cli_escape(path, sizeof(path), dir->path);

        (void) printf("directory %s: %s, %u database%s, %s\n", alias,
                      ngx_litestream_dir_state_names[dir->state],
                      dir->count, dir->count == 1 ? "" : "s", path);

        if (dir->error[0]) {
            (void) cli_escape(text, sizeof(text), dir->error);
            (void) printf("    %s: %s\n",
                          dir->state == NGX_LITESTREAM_DIR_ERROR ? "error"
                                                                 : "note",
                          text);
        }
    }
}
