
/*
 * Copyright (C) the ngx_litestream authors
 */


#ifndef _CLI_RESTORE_H_INCLUDED_
#define _CLI_RESTORE_H_INCLUDED_


#include "cli.h"


#define CLI_RESTORE_TXID  16


typedef struct {
    cli_options_t                  *o;
    cli_target_t                    t;
    char                            output[PATH_MAX];
    char                            temp[PATH_MAX];
    char                            txid[CLI_RESTORE_TXID + 1];
    int64_t                         bytes;     /* so far */
    int64_t                         total;     /* 0: unknown */
    uint64_t                        cpu;
    int                             terminal;
    int                             about;     /* the total is an estimate */
    int64_t                         shown;
} cli_restore_t;


/*
 * cli_restore.c.  Nothing is restored, as -if-replica-exists allows: says why,
 * returns the exit code.  The options that Litestream is given in any case go
 * to args[n] and on, with a NULL at the end.
 */

int cli_restore_nothing(cli_restore_t *r, const char *reason);
void cli_restore_args(cli_restore_t *r, const char **args, int n);

/*
 * cli_restore_none.c.  Litestream has ended with rc: says why, which may need
 * the storage; returns the exit code.
 */

int cli_restore_failed(cli_restore_t *r, cli_run_t *run, int rc);

/*
 * cli_restore_progress.c.  Sets r->total, which may need the storage; the
 * other one is called while Litestream runs, and returns 1 when there was
 * progress since the last time.
 */

void cli_restore_total(cli_restore_t *r);
int cli_restore_tick(void *data);


#endif /* _CLI_RESTORE_H_INCLUDED_ */
