
/*
 * Copyright (C) the ngx_litestream authors
 */


/* SQLite databases below a directory, by how they begin */


#include "cli_init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>


#define CLI_SCAN_DEPTH    8
#define CLI_SCAN_ENTRIES  200000


static int cli_scan_dir(cli_init_t *in, int fd, const char *path, int depth,
    int *entries);
static int cli_scan_skip(const char *path, const char *name);


int
cli_init_scan(cli_init_t *in, const char *path)
{
    int          fd, wal, entries, rc;
    char         real[PATH_MAX];
    struct stat  sb;

    if (realpath(path, real) == NULL || stat(real, &sb) == -1) {
        cli_error("\"%s\": %s", path, strerror(errno));
        return CLI_NO;
    }

    cli_copy(in->source, sizeof(in->source), "\"%.4000s\"", real);

    if (!S_ISDIR(sb.st_mode)) {

        if (!cli_init_sqlite(-1, real, &wal)) {
            cli_error("\"%s\" is not a SQLite database", path);
            return CLI_NO;
        }

        return cli_init_add(in, real) ? CLI_YES : CLI_NO;
    }

    fd = open(real, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        cli_error("\"%s\": %s", path, strerror(errno));
        return CLI_NO;
    }

    entries = 0;

    rc = cli_scan_dir(in, fd, strcmp(real, "/") == 0 ? "" : real, 0, &entries);

    if (rc == CLI_YES && entries > CLI_SCAN_ENTRIES) {
        cli_error("\"%s\" has more than %d files, not all of them were looked "
                  "at", path, CLI_SCAN_ENTRIES);
    }

    return rc;
}


/* closes fd; what cannot be read is left out */

static int
cli_scan_dir(cli_init_t *in, int fd, const char *path, int depth,
    int *entries)
{
    int             sub, rc, wal;
    DIR            *dir;
    char           *name;
    size_t          len;
    struct stat     sb;
    struct dirent  *de;

    dir = fdopendir(fd);

    if (dir == NULL) {
        (void) close(fd);
        return CLI_YES;
    }

    rc = CLI_YES;

    while (rc == CLI_YES && (de = readdir(dir)) != NULL
           && ++*entries <= CLI_SCAN_ENTRIES)
    {
        len = strlen(path) + strlen(de->d_name) + 2;

        if (fstatat(dirfd(dir), de->d_name, &sb, AT_SYMLINK_NOFOLLOW) == -1
            || len > PATH_MAX
            || (name = malloc(len)) == NULL)
        {
            continue;
        }

        cli_copy(name, len, "%s/%s", path, de->d_name);

        if (S_ISDIR(sb.st_mode)) {

            if (depth < CLI_SCAN_DEPTH && !cli_scan_skip(name, de->d_name)) {

                sub = openat(dirfd(dir), de->d_name,
                             O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

                if (sub != -1) {
                    rc = cli_scan_dir(in, sub, name, depth + 1, entries);
                }
            }

        } else if (S_ISREG(sb.st_mode) && strstr(de->d_name, ".restored-") == 0
                   && cli_init_sqlite(dirfd(dir), de->d_name, &wal)
                   && cli_init_add(in, name) == NULL)
        {
            rc = CLI_NO;
        }

        free(name);
    }

    (void) closedir(dir);

    return rc;
}


/*
 * Hidden ones, among which are those of Litestream and of versions of code,
 * and what is no place for a database.
 */

static int
cli_scan_skip(const char *path, const char *name)
{
    return name[0] == '.'
           || strcmp(name, "node_modules") == 0
           || strcmp(name, "__pycache__") == 0
           || strcmp(path, "/proc") == 0
           || strcmp(path, "/sys") == 0
           || strcmp(path, "/dev") == 0
           || strcmp(path, "/run") == 0
           || strcmp(path, CLI_STATE_PATH) == 0;
}


int
cli_init_sqlite(int dir, const char *name, int *wal)
{
    int          fd;
    ssize_t      n;
    struct stat  sb;

    unsigned char  h[20];

    *wal = 0;

    fd = openat(dir == -1 ? AT_FDCWD : dir, name,
                O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC
                |(dir == -1 ? 0 : O_NOFOLLOW));

    if (fd == -1) {
        return 0;
    }

    n = -1;

    if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode)) {
        n = pread(fd, h, sizeof(h), 0);
    }

    (void) close(fd);

    if (n != (ssize_t) sizeof(h) || memcmp(h, "SQLite format 3", 16) != 0) {
        return 0;
    }

    *wal = (h[18] == 2);

    return 1;
}
