
/*
 * Copyright (C) the ngx_litestream authors
 */


/* the files that litestream_vfs makes for applications: their names */


#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>


static int cli_vfs_filter(const struct dirent *de);


/*
 * "vfs", as far as the folder tells: what is in a file is its user's alone.
 * null: it cannot be read.
 */

void
cli_json_vfs(cli_json_t *json, cli_state_t *st)
{
    int              i, n;
    char             dir[PATH_MAX + 8], path[PATH_MAX + 300], user[32];
    struct stat      fs;
    struct passwd   *pw;
    struct dirent  **de;

    cli_copy(dir, sizeof(dir), "%s/vfs", st->path);

    n = scandir(dir, &de, cli_vfs_filter, alphasort);

    if (n < 0 && errno != ENOENT) {
        cli_json_null(json, "vfs");
        return;
    }

    cli_json_open(json, "vfs", '[');

    for (i = 0; i < n; i++) {

        cli_copy(path, sizeof(path), "%s/%s", dir, de[i]->d_name);

        if (lstat(path, &fs) == 0 && S_ISREG(fs.st_mode)) {

            pw = getpwuid(fs.st_uid);

            if (pw == NULL) {
                cli_copy(user, sizeof(user), "%lu",
                         (unsigned long) fs.st_uid);
            }

            de[i]->d_name[strlen(de[i]->d_name) - 4] = '\0';

            cli_json_open(json, NULL, '{');
            cli_json_text(json, "name", de[i]->d_name);
            cli_json_null(json, "replica");
            cli_json_text(json, "user", pw ? pw->pw_name : user);
            cli_json_null(json, "max_lag_seconds");
            cli_json_text(json, "environment", path);
            cli_json_close(json, '}');
        }

        free(de[i]);
    }

    if (n >= 0) {
        free(de);
    }

    cli_json_close(json, ']');
}


static int
cli_vfs_filter(const struct dirent *de)
{
    size_t  len;

    len = strlen(de->d_name);

    return len > 4 && strcmp(de->d_name + len - 4, ".env") == 0;
}
