
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * nginx-litestream, the command.  It shares the layout of the status file and
 * of messages with the module, and nothing else: no type or library of nginx.
 * One process, one thread; it may block wherever it likes, with a time limit.
 */


#ifndef _CLI_H_INCLUDED_
#define _CLI_H_INCLUDED_


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "ngx_litestream_shared.h"


#define CLI_STATE_PATH       "/var/lib/nginx-litestream"

/* exit codes */

#define CLI_YES              0
#define CLI_NO               1
#define CLI_USAGE            2
#define CLI_NOT_RUNNING      3
#define CLI_TIMEOUT          124

#define CLI_MAX_NGINX_ARGS   32
#define CLI_ERROR_LEN        1024

/* 9999-12-31T23:59:59.999Z: RFC 3339 has no later one */
#define CLI_MAX_TIME         253402300799999LL


typedef struct {
    char                           *path;      /* -path, or NULL */
    char                           *nginx;     /* -nginx, or NULL */
    char                           *nginx_args[CLI_MAX_NGINX_ARGS];
    int                             n_nginx_args;   /* -c, -g, -p */
    int64_t                         timeout;   /* ms, -1: not said */
    int                             json;
    char                          **names;     /* aliases or paths */
    int                             n_names;
} cli_options_t;


/* what the status file says; texts are NUL-ended, numbers are in range */

typedef struct {
    char                            path[PATH_MAX];  /* STATE */
    char                            why[CLI_ERROR_LEN];   /* this path */
    char                            error[CLI_ERROR_LEN];
    int                             guessed;   /* the default path */
    int64_t                         now;       /* ms since 1970 */
    int                             alive;

    ngx_litestream_super_status_t   super;

    ngx_litestream_group_status_t   groups[NGX_LITESTREAM_MAX_GROUPS];
    int                             n_groups;

    ngx_litestream_db_status_t     *dbs;
    unsigned char                  *chosen;    /* of dbs, cli_choose() */
    int                             n_dbs;
} cli_state_t;


typedef struct {
    FILE                           *out;
    int                             comma;
} cli_json_t;


/* the commands: exit codes */

int cli_status(cli_options_t *o);
int cli_verify(cli_options_t *o);
int cli_sync(cli_options_t *o);
int cli_wait(cli_options_t *o);
int cli_config(cli_options_t *o);


/*
 * Where the state is: cli_find.c.  Fills st->path, and st->why with what may
 * explain that it is not there.  CLI_YES or an exit code, having said why.
 * May run nginx -T, for 10 s at most.
 */

int cli_find(cli_options_t *o, cli_state_t *st);

/* the litestream_state_path in a configuration: 1, 0: none, -1: unusable */

int cli_find_parse(char *text, size_t len, char *path, size_t size);


/*
 * Reads STATE/status, in which nothing is trusted: cli_file.c.  CLI_YES, or
 * CLI_NOT_RUNNING (there is none), or CLI_NO, and st->error.
 */

int cli_file_read(cli_state_t *st);
void cli_file_free(cli_state_t *st);

/*
 * cli_find() and cli_file_read(), having said what is wrong; st comes from
 * the heap, and stays.
 */

int cli_state(cli_options_t *o, cli_state_t **st);

/* the databases that were named, else all: CLI_YES, or CLI_USAGE: said */

int cli_choose(cli_options_t *o, cli_state_t *st);

/* 1 if this name means this database */

int cli_named(const char *name, ngx_litestream_db_status_t *db);


/* the time's up, or the process was told to end: cli_util.c */

int64_t cli_now(void);       /* ms since 1970 */
int64_t cli_clock(void);     /* ms, monotonic */
void cli_sleep(int64_t ms);
void cli_signals(void);

/* a process group that ends with this process, 0: none */

extern volatile pid_t  cli_child;


/*
 * Texts: cli_util.c.  cli_escape() makes of any bytes what a terminal can be
 * shown, NUL-ended, and returns how many columns that are; control characters
 * become \xHH.  cli_error() is a line on stderr.
 */

size_t cli_escape(char *dst, size_t size, const char *src);
void cli_error(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
void cli_copy(char *dst, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
size_t cli_utf8(const unsigned char *p, size_t len, uint32_t *code);
int cli_invisible(uint32_t code);

/* nginx's times: "500ms", "5m", "1h 30m"; -1: it is none */

int64_t cli_time(const char *text);

void cli_size(char *buf, size_t size, int64_t bytes);
void cli_span(char *buf, size_t size, int64_t ms);
void cli_date(char *buf, size_t size, int64_t ms, int fraction);


/*
 * JSON as the endpoints write it: cli_json.c.  A key is NULL in an array;
 * what is unknown becomes null.
 */

void cli_json_open(cli_json_t *json, const char *key, char bracket);
void cli_json_close(cli_json_t *json, char bracket);
void cli_json_null(cli_json_t *json, const char *key);
void cli_json_bool(cli_json_t *json, const char *key, int value);
void cli_json_number(cli_json_t *json, const char *key, int64_t value);
void cli_json_seconds(cli_json_t *json, const char *key, int64_t ms);
void cli_json_time(cli_json_t *json, const char *key, int64_t ms);
void cli_json_txid(cli_json_t *json, const char *key, uint64_t txid);
void cli_json_text(cli_json_t *json, const char *key, const char *text);

/* {"error":"..."} */

void cli_json_error(const char *error);

/* what a verification's JSON has besides its result */

#define CLI_VERIFY_AT        0x0001
#define CLI_VERIFY_RUNNING   0x0002

void cli_json_verify(cli_json_t *json, const char *key, const char *alias,
    ngx_litestream_verify_result_t *v, unsigned flags);
void cli_json_status(cli_json_t *json, cli_state_t *st);


/* how a database is, for people and programs: cli_status.c */

int cli_ready(cli_state_t *st);

/* cli_wait.c: 1 if an error may pass, like a storage that cannot be reached */

int cli_passing(const char *error);

/*
 * A litestream.yml with its secrets masked, cli_config.c: CLI_YES, or CLI_NO
 * and an error.
 */

int cli_config_mask(const unsigned char *text, size_t len, FILE *out,
    char *error, size_t size);


#endif /* _CLI_H_INCLUDED_ */
