
/*
 * Copyright (C) the ngx_litestream authors
 */


/* restore: how far it has come */


#include "cli_restore.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>


/* ms between two lines of progress */
#define CLI_RESTORE_STEP     200


static void cli_restore_exact(cli_restore_t *r, cli_buffer_t *plan);
static uint32_t cli_be32(const unsigned char *p);
static void cli_restore_show(cli_restore_t *r, int64_t bytes);


/*
 * How large it will be, for the line of progress: what the newest file to be
 * fetched says, where it can be opened; else as large as the database is now.
 */

void
cli_restore_total(cli_restore_t *r)
{
    int          n;
    cli_run_t    run;
    const char  *args[24];

    r->about = 1;
    r->total = r->t.db ? r->t.db->size : 0;

    if (r->t.old || r->t.db == NULL
        || strncmp(r->t.db->replica_url, "file:///", 8) != 0)
    {
        return;
    }

    memset(&run, 0, sizeof(cli_run_t));

    n = 0;
    args[n++] = "-dry-run";
    args[n++] = "-json";
    args[n++] = "-o";
    args[n++] = r->temp;

    cli_restore_args(r, args, n);

    if (cli_litestream(r->o, &r->t, "restore", args, &run) == CLI_YES) {
        cli_restore_exact(r, &run.out);
    }

    cli_run_free(&run);
}


static void
cli_restore_exact(cli_restore_t *r, cli_buffer_t *plan)
{
    int             fd;
    char            file[64], level[8], name[PATH_MAX];
    ssize_t         n;
    unsigned char   h[16];

    if (cli_json_last(plan, "name", file, sizeof(file)) != CLI_YES
        || cli_json_last(plan, "level", level, sizeof(level)) != CLI_YES
        || strchr(file, '/'))
    {
        return;
    }

    cli_copy(name, sizeof(name), "%s/ltx/%s/%s", r->t.db->replica_url + 7,
             level, file);

    fd = open(name, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        return;
    }

    n = read(fd, h, sizeof(h));

    (void) close(fd);

    /* size of a page, and pages */

    if (n == (ssize_t) sizeof(h) && memcmp(h, "LTX1", 4) == 0) {
        r->total = (int64_t) cli_be32(&h[8]) * (int64_t) cli_be32(&h[12]);
        r->about = 0;
    }
}


static uint32_t
cli_be32(const unsigned char *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
           | (uint32_t) p[2] << 8 | p[3];
}


/*
 * Progress is bytes of the temporary file, and once that is complete, while
 * Litestream checks it, CPU time.
 */

int
cli_restore_tick(void *data)
{
    cli_restore_t *r = data;

    char         name[PATH_MAX + 8];
    int64_t      bytes;
    uint64_t     cpu;
    struct stat  sb;

    bytes = 0;
    cpu = 0;

    cli_copy(name, sizeof(name), "%s.tmp", r->temp);

    if (stat(name, &sb) == 0) {
        bytes = sb.st_size;

    } else if (stat(r->temp, &sb) == 0) {
        bytes = sb.st_size;
        cpu = cli_cpu(cli_child);
    }

    if (r->terminal && cli_clock() - r->shown >= CLI_RESTORE_STEP) {
        r->shown = cli_clock();
        cli_restore_show(r, bytes);
    }

    if (bytes == r->bytes && cpu == r->cpu) {
        return 0;
    }

    r->bytes = bytes;
    r->cpu = cpu;

    return 1;
}


static void
cli_restore_show(cli_restore_t *r, int64_t bytes)
{
    char  done[64], total[64], name[4 * CLI_ERROR_LEN];

    cli_size(done, sizeof(done), bytes);
    cli_size(total, sizeof(total), r->total);

    (void) cli_escape(name, sizeof(name), r->t.name);
    (void) fprintf(stderr, "\r\033[K%.200s: %s", name, done);

    if (r->total > 0) {
        (void) fprintf(stderr, " of %s%s", r->about ? "about " : "", total);
    }

    (void) fflush(stderr);
}
