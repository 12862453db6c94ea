
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * version: of this command, and, as far as that can be told, of the module,
 * of nginx and of Litestream.
 */


#include "cli.h"


static void cli_version_line(const char *name, const char *version);


int
cli_version(cli_options_t *o)
{
    int            i, rc;
    char           litestream[CLI_ERROR_LEN];
    cli_json_t     json;
    cli_state_t   *st;
    cli_target_t   t;

    st = calloc(1, sizeof(cli_state_t));

    if (st == NULL) {
        cli_fail(o, "no memory");
        return CLI_NO;
    }

    rc = cli_find(o, st);

    if (rc != CLI_YES) {
        return rc;
    }

    /* without it, it is unknown what nginx runs with */

    (void) cli_file_read(st);

    litestream[0] = '\0';

    for (i = 0; i < st->n_groups && litestream[0] == '\0'; i++) {
        cli_copy(litestream, sizeof(litestream), "%s", st->groups[i].version);
    }

    if (litestream[0] == '\0' && cli_target_path(&t) == CLI_YES
        && cli_litestream_version(t.bin, t.env, litestream,
                                  sizeof(litestream))
           != CLI_YES)
    {
        litestream[0] = '\0';
    }

    if (o->json) {
        json.out = stdout;
        json.comma = 0;

        cli_json_open(&json, NULL, '{');
        cli_json_text(&json, "command_version", NGX_LITESTREAM_VERSION);
        cli_json_text(&json, "module_version", st->super.module_ver);
        cli_json_text(&json, "nginx_version", st->super.nginx_ver);
        cli_json_text(&json, "litestream_version", litestream);
        cli_json_close(&json, '}');

        (void) putchar('\n');

        return CLI_YES;
    }

    (void) printf("nginx-litestream %s\n", NGX_LITESTREAM_VERSION);

    cli_version_line("ngx_litestream", st->super.module_ver);
    cli_version_line("nginx", st->super.nginx_ver);
    cli_version_line("litestream", litestream);

    return CLI_YES;
}


static void
cli_version_line(const char *name, const char *version)
{
    char  text[4 * CLI_ERROR_LEN];

    if (version[0]) {
        (void) cli_escape(text, sizeof(text), version);
        (void) printf("%s %s\n", name, text);
    }
}
