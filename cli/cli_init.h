
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * init: what is found becomes a plan, and the plan an nginx.conf.  All of it
 * is the heap's, and stays until this process ends.
 */


#ifndef _CLI_INIT_H_INCLUDED_
#define _CLI_INIT_H_INCLUDED_


#include "cli.h"


#define CLI_INIT_MAX_DBS   1000
#define CLI_INIT_MAX_ENV   64
#define CLI_INIT_MAX_NOTES 64


typedef struct {
    char                           *path;
    char                           *alias;     /* NULL: one is made */
    char                           *replica;   /* a URL, NULL: as all others */
    char                            params[256];
    char                            about[256];
    char                            why[512];  /* not "": commented out */
    char                            type[16];  /* of the replica, if known */
    int                             replicated;   /* it has a replica */
    uid_t                           uid;       /* the owner's */
    int                             root;      /* root's */
    int                             variables; /* path has ${NAME} in it */
    size_t                          dir;       /* 0, or the length of what is
                                                  the directory in path */
} cli_init_db_t;


typedef struct {
    const char                     *name;
    char                           *value;
} cli_init_var_t;


typedef struct {
    cli_options_t                  *o;
    char                            source[PATH_MAX];

    cli_init_db_t                  *dbs;
    int                             n;

    char                           *replica;   /* of all, or NULL */
    int                             environment;  /* it says the replica */
    char                           *prefix;
    char                           *bin;
    char                           *metrics;
    char                           *mcp;
    char                            interval[32];
    char                            retention[32];
    int                             retained;  /* the source says it */
    char                            shutdown[32];

    char                            base[PATH_MAX];   /* a litestream.yml */

    cli_init_var_t                  secrets[CLI_INIT_MAX_ENV];
    int                             n_secrets;
    cli_init_var_t                  env[CLI_INIT_MAX_ENV];  /* NAME=${X} */
    int                             n_env;
    char                           *needed[CLI_INIT_MAX_ENV];
    int                             n_needed;  /* ${NAME} that are used */
    char                           *notes[CLI_INIT_MAX_NOTES];
    int                             n_notes;
} cli_init_t;


/* a litestream.yml on its way: cli_init_yaml.c, cli_init_replica.c */

typedef struct {
    cli_init_t                     *in;
    const char                     *dir;       /* of relative paths */
    cli_node_t                     *root;
    const char                     *left;      /* has no directive */
    int                             stripped;  /* nginx's keys are in it */
    char                            key[PATH_MAX];     /* of S3, of all */
    char                            secret[PATH_MAX];
} cli_conv_t;


/* one more database, NULL: said.  path is copied */

cli_init_db_t *cli_init_add(cli_init_t *in, const char *path);

/* a comment on top of all, for who reads it */

void cli_init_note(cli_init_t *in, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * The sources: CLI_YES, or an exit code: said.  cli_init_scan.c, which takes a
 * file or a directory; cli_init_yaml.c; cli_init_django.c.
 */

int cli_init_scan(cli_init_t *in, const char *path);
int cli_init_yaml(cli_init_t *in, const char *path);
int cli_init_tree(cli_init_t *in, cli_node_t *root, const char *dir);
int cli_init_django(cli_init_t *in, const char *path);

/*
 * Of a litestream.yml: what no directive says, and a path that has to be
 * another one in a file underneath; a replica, and the key of S3 in a mapping;
 * a text with its variables as nginx has them, NULL: no memory; a path that
 * is absolute, NULL: said.
 */

void cli_conv_left(cli_conv_t *c, const char *name);
void cli_conv_moved(cli_conv_t *c, cli_node_t *node, char *path);
void cli_conv_replica(cli_conv_t *c, cli_init_db_t *db,
    cli_node_t *node);
void cli_conv_pair(cli_conv_t *c, cli_node_t *node);
char *cli_conv_vars(cli_conv_t *c, const char *text);
char *cli_conv_path(cli_conv_t *c, const char *path);

/*
 * Of a directory of databases, cli_init_dir.c: its path with the pattern of
 * the mapping, from the heap, NULL and in why what nginx does not take of it,
 * or NULL in why, too: no memory; dir loses slashes at its end.  Then its
 * replica, as that of each database; and what there is in the file system.
 */

char *cli_conv_dir(cli_node_t *node, char *dir, const char **why);
void cli_conv_dir_replica(cli_init_db_t *db);
void cli_init_check_dir(cli_init_db_t *db);

/* 1 if it begins as a SQLite database; wal: 1 if in WAL mode */

int cli_init_sqlite(int dir, const char *name, int *wal);

/* prints the plan, and writes the files that go with it */

int cli_init_print(cli_init_t *in);
int cli_init_to(const char *to);


#endif /* _CLI_INIT_H_INCLUDED_ */
