
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Nothing else may replicate or restore a database meanwhile: the lock of its
 * directory, which nginx's supervisor, its Litestream and its jobs have, too.
 */


#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>


static int cli_lock_holder(int fd, char *name, size_t size);
static int cli_lock_foreign(const char *path, char *name, size_t size);
static int cli_lock_opened(const char *pid, const char *path);
static void cli_lock_comm(const char *pid, char *name, size_t size);


/*
 * The descriptor stays open, and what this process runs inherits it: the lock
 * lives as long as anything that could write.  CLI_YES, or CLI_NO: said.
 */

int
cli_lock(cli_options_t *o, const char *path, const char *name)
{
    int   fd;
    char  dir[PATH_MAX], holder[128], *slash;

    cli_copy(dir, sizeof(dir), "%s", path);

    slash = strrchr(dir, '/');

    if (slash == NULL) {
        cli_fail(o, "\"%.700s\" is not a path", path);
        return CLI_NO;
    }

    slash[slash == dir] = '\0';

    fd = open(dir, O_RDONLY|O_DIRECTORY|O_NOFOLLOW);

    if (fd == -1) {
        cli_fail(o, "directory \"%.700s\": %s", dir, strerror(errno));
        return CLI_NO;
    }

    if (flock(fd, LOCK_EX|LOCK_NB) == -1) {

        if (errno != EWOULDBLOCK) {
            cli_fail(o, "directory \"%.700s\" cannot be locked: %s", dir,
                     strerror(errno));

        } else if (cli_lock_holder(fd, holder, sizeof(holder)) == CLI_YES) {
            cli_fail(o, "database \"%.700s\" is in the care of %s: %s works "
                     "while nginx is down", name, holder, o->command);

        } else {
            cli_fail(o, "database \"%.700s\" is in the care of another "
                     "process: %s works while nginx is down", name,
                     o->command);
        }

        return CLI_NO;
    }

    /* one that was started by hand, or as a service, has no lock */

    if (cli_lock_foreign(path, holder, sizeof(holder)) == CLI_YES) {
        cli_fail(o, "database \"%.700s\" is open in %s: stop that first",
                 name, holder);
        return CLI_NO;
    }

    return CLI_YES;
}


/* who has the lock of what this descriptor is */

static int
cli_lock_holder(int fd, char *name, size_t size)
{
    int                 pid, rc;
    FILE               *fp;
    char                line[256], type[16], text[32];
    unsigned            major, minor;
    struct stat         sb;
    unsigned long long  ino;

    if (fstat(fd, &sb) == -1) {
        return CLI_NO;
    }

    fp = fopen("/proc/locks", "re");

    if (fp == NULL) {
        return CLI_NO;
    }

    rc = CLI_NO;

    while (fgets(line, sizeof(line), fp)) {

        if (sscanf(line, "%*s %15s %*s %*s %d %x:%x:%llu", type, &pid, &major,
                   &minor, &ino)
            == 5
            && strcmp(type, "FLOCK") == 0 && pid > 0
            && makedev(major, minor) == sb.st_dev && ino == sb.st_ino)
        {
            cli_copy(text, sizeof(text), "%d", pid);
            cli_lock_comm(text, name, size);
            rc = CLI_YES;
            break;
        }
    }

    (void) fclose(fp);

    return rc;
}


/* a Litestream that has the database open: as far as it can be seen */

static int
cli_lock_foreign(const char *path, char *name, size_t size)
{
    int             rc;
    DIR            *proc;
    char            comm[128];
    struct dirent  *de;

    proc = opendir("/proc");

    if (proc == NULL) {
        return CLI_NO;
    }

    rc = CLI_NO;

    while (rc == CLI_NO && (de = readdir(proc)) != NULL) {

        if (de->d_name[0] < '0' || de->d_name[0] > '9') {
            continue;
        }

        cli_lock_comm(de->d_name, comm, sizeof(comm));

        if (strstr(comm, "(litestream") && cli_lock_opened(de->d_name, path)) {
            cli_copy(name, size, "%s", comm);
            rc = CLI_YES;
        }
    }

    (void) closedir(proc);

    return rc;
}


static int
cli_lock_opened(const char *pid, const char *path)
{
    DIR            *dir;
    char            name[PATH_MAX], link[PATH_MAX];
    ssize_t         n;
    struct dirent  *de;

    cli_copy(name, sizeof(name), "/proc/%.16s/fd", pid);

    dir = opendir(name);

    if (dir == NULL) {
        return 0;
    }

    while ((de = readdir(dir)) != NULL) {

        n = readlinkat(dirfd(dir), de->d_name, link, sizeof(link) - 1);

        if (n > 0) {
            link[n] = '\0';

            if (strcmp(link, path) == 0) {
                (void) closedir(dir);
                return 1;
            }
        }
    }

    (void) closedir(dir);

    return 0;
}


/* "process 123 (nginx)" */

static void
cli_lock_comm(const char *pid, char *name, size_t size)
{
    FILE  *fp;
    char   path[64], comm[32];

    comm[0] = '\0';

    cli_copy(path, sizeof(path), "/proc/%.16s/comm", pid);

    fp = fopen(path, "re");

    if (fp) {
        if (fgets(comm, sizeof(comm), fp)) {
            comm[strcspn(comm, "\n")] = '\0';
        }

        (void) fclose(fp);
    }

    cli_copy(name, size, "process %.16s (%s)", pid, comm);
}
