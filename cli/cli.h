
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

/* bytes of output that are kept of a program */
#define CLI_RUN_OUTPUT       (64 * 1024 * 1024)

#define CLI_ERROR_LEN        1024

/* ms that Litestream may take, or go without progress, unless -t is said */
#define CLI_LITESTREAM_TIMEOUT  60000

/* 9999-12-31T23:59:59.999Z: RFC 3339 has no later one */
#define CLI_MAX_TIME         253402300799999LL


/* what a command takes */

#define CLI_OPT_STATE        0x0001     /* -path, -c, -g, -p, -nginx */
#define CLI_OPT_JSON         0x0002
#define CLI_OPT_TIME         0x0004
#define CLI_OPT_NAMES        0x0008     /* may be followed by databases */
#define CLI_OPT_NEEDED       0x0010     /* must be */
#define CLI_OPT_ONE          0x0020     /* by one */
#define CLI_OPT_CONFIG       0x0040
#define CLI_OPT_LEVEL        0x0080
#define CLI_OPT_OLD          0x0100     /* of Litestream 0.3 */
#define CLI_OPT_OUTPUT       0x0200     /* -o */
#define CLI_OPT_DRY          0x0400
#define CLI_OPT_RESTORE      0x0800     /* of restore alone */
#define CLI_OPT_FROM         0x1000
#define CLI_OPT_INIT         0x2000
#define CLI_OPT_MODE         0x4000


typedef struct {
    const char                     *command;
    char                           *path;      /* -path, or NULL */
    char                           *nginx;     /* -nginx, or NULL */
    char                           *nginx_args[CLI_MAX_NGINX_ARGS];
    int                             n_nginx_args;   /* -c, -g, -p */
    int64_t                         timeout;   /* ms, -1: not said */
    int                             json;
    char                          **names;     /* aliases or paths */
    int                             n_names;

    /* Litestream's own, NULL: not said */

    char                           *config;
    int                             no_expand_env;
    char                           *mode;      /* of verify */
    char                           *level;
    char                           *replica;
    char                           *generation;
    char                           *index;
    char                           *output;
    char                           *from;
    char                           *django;    /* of init */
    char                           *to;
    char                           *env;
    char                           *base;
    char                           *txid;
    char                           *timestamp;
    char                           *parallelism;
    char                           *integrity_check;
    char                           *follow_interval;
    int                             follow;
    int                             dry_run;
    int                             force;
    int                             old;
    int                             if_db_not_exists;
    int                             if_replica_exists;
} cli_options_t;


typedef struct {
    char                           *data;      /* NUL-ended, or NULL */
    size_t                          len;
    size_t                          size;
} cli_buffer_t;


/* a program that is run: cli_run.c */

typedef struct {
    void                          (*exec)(void *data);  /* in the child */
    int                           (*tick)(void *data);  /* 1: progress */
    void                           *data;      /* of exec */
    void                           *tick_data;
    int64_t                         timeout;   /* ms without progress */

    cli_buffer_t                    out;
    cli_buffer_t                    err;
    int                             status;    /* of waitpid() */
    char                            error[CLI_ERROR_LEN];
} cli_run_t;


/* what the status file says; texts are NUL-ended, numbers are in range */

typedef struct {
    char                            path[PATH_MAX];  /* STATE */
    char                            why[CLI_ERROR_LEN];   /* this path */
    char                            error[CLI_ERROR_LEN];
    int                             guessed;   /* the default path */
    int                             said;      /* by whoever asks */
    int64_t                         now;       /* ms since 1970 */
    int                             alive;

    ngx_litestream_super_status_t   super;

    ngx_litestream_group_status_t   groups[NGX_LITESTREAM_MAX_GROUPS];
    int                             n_groups;

    ngx_litestream_dir_status_t    *dirs;
    unsigned char                  *dir_chosen;
    int                             n_dirs;

    ngx_litestream_db_status_t     *dbs;
    unsigned char                  *chosen;    /* of dbs, cli_choose() */
    int                             n_dbs;
} cli_state_t;


/*
 * What a command of Litestream is about, and how Litestream is run for it:
 * cli_target.c.
 */

typedef struct {
    const char                     *name;      /* as it was said */
    const char                     *source;    /* what Litestream is given */
    ngx_litestream_db_status_t     *db;        /* NULL: none of nginx's */
    ngx_litestream_group_status_t  *group;
    cli_state_t                    *st;
    char                            config[PATH_MAX];   /* "": a URL */
    int                             no_expand_env;
    char                           *bin;
    char                          **env;
    int                             old;       /* it is Litestream 0.3 */
} cli_target_t;


/* YAML as a tree: cli_yaml.c */

typedef enum {
    CLI_NODE_NULL = 0,
    CLI_NODE_SCALAR,
    CLI_NODE_MAP,
    CLI_NODE_LIST
} cli_node_e;


typedef struct cli_node_s  cli_node_t;

struct cli_node_s {
    cli_node_t                     *next;
    cli_node_t                     *child;
    char                           *name;      /* in a mapping */
    char                           *value;     /* of a scalar */
    char                           *alias;     /* cli_init_django.c */
    cli_node_e                      type;
    int                             line;
    int                             plain;     /* not quoted */
    int                             left_out;  /* cli_yaml_write() */
};


/* what a replica holds: texts of Litestream */

#define CLI_HELD_LEN         64

typedef struct {
    int                             files;
    char                            min[CLI_HELD_LEN];  /* TXIDs */
    char                            max[CLI_HELD_LEN];
    char                            from[CLI_HELD_LEN]; /* times */
    char                            to[CLI_HELD_LEN];
} cli_held_t;


typedef struct {
    FILE                           *out;
    int                             comma;
} cli_json_t;


/* the commands: exit codes */

int cli_status(cli_options_t *o);
int cli_verify(cli_options_t *o);
int cli_validate(cli_options_t *o);
int cli_sync(cli_options_t *o);
int cli_wait(cli_options_t *o);
int cli_config(cli_options_t *o);
int cli_restore(cli_options_t *o);
int cli_reset(cli_options_t *o);
int cli_databases(cli_options_t *o);
int cli_ltx(cli_options_t *o);
int cli_wal(cli_options_t *o);
int cli_snapshots(cli_options_t *o);
int cli_generations(cli_options_t *o);
int cli_version(cli_options_t *o);
int cli_install(cli_options_t *o);
int cli_init(cli_options_t *o);


/*
 * Takes the arguments of main() apart: cli_option.c.  *name is the command's,
 * NULL: none; *help: -h was said.  CLI_YES, or CLI_USAGE: said.
 */

int cli_option_parse(int argc, char **argv, cli_options_t *o, char **name,
    int *help);

/* what was said, and a command with these CLI_OPT_XXX has not; or NULL */

const char *cli_option_other(unsigned options);

/* help about those that it has */

void cli_option_usage(FILE *out, unsigned options);


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

/*
 * What o->names[0] is, or all of o->config: cli_target.c.  This process is
 * one of that database's user afterwards.  CLI_YES, or an exit code: said.
 */

int cli_target(cli_options_t *o, cli_target_t *t);
int cli_target_config(cli_options_t *o, cli_target_t *t);
int cli_target_state(cli_options_t *o, cli_target_t *t, cli_state_t *st,
    ngx_litestream_db_status_t *db);
int cli_target_path(cli_target_t *t);
int cli_become(cli_options_t *o, uid_t uid, gid_t gid);
int cli_is_url(const char *text);

/* a file in the folder of a group; -1 and errno */

int cli_group_open(cli_state_t *st, const char *group, const char *file);

/*
 * litestream COMMAND [ARGS] for this target: cli_litestream.c.  args ends with
 * NULL.  CLI_YES: it has ended with 0; CLI_NO, CLI_TIMEOUT: the reason is what
 * cli_litestream_reason() says.
 */

int cli_litestream(cli_options_t *o, cli_target_t *t, const char *command,
    const char **args, cli_run_t *run);
char **cli_litestream_argv(cli_target_t *t, const char *command,
    const char **args);
void cli_litestream_reason(cli_options_t *o, cli_run_t *run, int rc,
    char *text, size_t size);
char *cli_line_last(cli_buffer_t *b, const char *text);
int cli_litestream_version(char *bin, char **env, char *text, size_t size);

/* CLI_YES: it is 0.3 and has told of an error, whatever its code: cli_old.c */

int cli_old_error(cli_run_t *run, char *text, size_t size);

/*
 * Why the storage of a target does not answer, if it can be seen, CLI_YES:
 * cli_endpoint.c.
 */

int cli_endpoint_reason(cli_target_t *t, char *text, size_t size);

/* what its JSON says: cli_held.c */

int cli_json_last(cli_buffer_t *b, const char *name, char *value,
    size_t size);
void cli_held(cli_buffer_t *b, cli_held_t *held);

/*
 * The lock of a database's directory, until this process and what it runs
 * have ended: cli_lock.c.  name: for people.  CLI_YES, or CLI_NO: said.
 */

int cli_lock(cli_options_t *o, const char *path, const char *name);

/*
 * cli_yaml.c: the tree of a text, NULL and an error; a member of a mapping, or
 * its text, or NULL; a tree as a file, CLI_YES or CLI_NO.
 */

cli_node_t *cli_yaml(const char *text, size_t len, char *error, size_t size);
cli_node_t *cli_node(cli_node_t *map, const char *name);
char *cli_node_text(cli_node_t *map, const char *name);
int cli_yaml_write(cli_node_t *root, FILE *out);

/* what it has printed, without control characters */

void cli_print(cli_buffer_t *b, int json);

/* runs a program and keeps what it says: cli_run.c */

int cli_run(cli_run_t *run);
void cli_run_free(cli_run_t *run);
uint64_t cli_cpu(pid_t pid);

/* 1 if this name means this database */

int cli_named(const char *name, ngx_litestream_db_status_t *db);


/* the time's up, or the process was told to end: cli_util.c */

int64_t cli_now(void);       /* ms since 1970 */
int64_t cli_clock(void);     /* ms, monotonic */
void cli_sleep(int64_t ms);
void cli_signals(void);

/* a process group that ends with this process, 0: none; and by what */

extern volatile pid_t  cli_child;
extern volatile int    cli_child_signal;

/* files that are removed when this process ends before they are finished */

void cli_temporary(const char *name);
void cli_temporary_remove(void);


/*
 * Texts: cli_util.c.  cli_escape() makes of any bytes what a terminal can be
 * shown, NUL-ended, and returns how many columns that are; control characters
 * become \xHH.  cli_error() is a line on stderr; cli_fail() is that, and with
 * -json an object on stdout, too; cli_say() is a line on stdout.
 */

size_t cli_escape(char *dst, size_t size, const char *src);
void cli_error(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
void cli_say(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
void cli_fail(cli_options_t *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
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

/* the name of a user, or the number */

void cli_user(uid_t uid, char *buf, size_t size);

/* an absolute path, by text alone; size PATH_MAX.  CLI_YES, or errno */

int cli_absolute(const char *name, char *path);

/* {"error":"..."} */

void cli_json_error(const char *error);

/* what a verification's JSON has besides its result */

#define CLI_VERIFY_AT        0x0001
#define CLI_VERIFY_RUNNING   0x0002

void cli_json_verify(cli_json_t *json, const char *key, const char *alias,
    ngx_litestream_verify_result_t *v, unsigned flags);
void cli_json_status(cli_json_t *json, cli_state_t *st);
void cli_json_vfs(cli_json_t *json, cli_state_t *st);


/*
 * Directories of databases: cli_dir.c.  choose: marks those of that name and
 * their databases, 0: there is none; ready: 1 if those that were chosen are;
 * group: 1 if one of these is of that group.
 */

int cli_dir_named(const char *name, ngx_litestream_dir_status_t *dir);
int cli_dir_of(const char *alias, ngx_litestream_db_status_t *db);
int cli_dir_choose(cli_state_t *st, const char *name);
int cli_dir_ready(cli_state_t *st);
int cli_dir_group(cli_state_t *st, int group);
void cli_dir_json(cli_json_t *json, cli_state_t *st);
void cli_dir_table(cli_state_t *st);

/* how a database is, for people and programs: cli_status.c */

int cli_ready(cli_state_t *st);
const char *cli_db_state(cli_state_t *st, ngx_litestream_db_status_t *db);

/* cli_wait.c: 1 if an error may pass, like a storage that cannot be reached */

int cli_passing(const char *error);

/* cli_config.c: 1 if there is a secret in a URL */

/*
 * A litestream.yml with its secrets masked, cli_config.c: CLI_YES, or CLI_NO
 * and an error.
 */

int cli_url_secret(const char *url);
int cli_config_mask(const unsigned char *text, size_t len, FILE *out,
    char *error, size_t size);


#endif /* _CLI_H_INCLUDED_ */
