
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * Folders of groups that are no more: keys must not stay behind in them; and
 * what was left in those of others by who could not end by itself.
 */


#include "ngx_litestream_supervisor.h"

#include <dirent.h>


static ngx_uint_t ngx_litestream_sweep_name(char *name);


/*
 * Removes the configurations of groups that no database belongs to any more,
 * for example since a key was changed, and their folders when nothing else is
 * there.  Supervisor, under the lock, when what used them has gone; small
 * local files only.
 */

void
ngx_litestream_sweep(void)
{
    DIR                       *dir;
    char                       name[4400];
    ngx_uint_t                 i, n;
    struct dirent             *de;
    ngx_litestream_conf_t     *conf;
    ngx_litestream_group_t   **groups;

    static char  *files[] = {
        "litestream.yml", "litestream.yml.new", "jobs.yml", "jobs.yml.new",
        "jobs.env", "jobs.env.new", "litestream", "litestream.new"
    };

    conf = ngx_litestream_sup->conf;
    groups = conf->groups.elts;

    dir = opendir((char *) conf->state_path.data);
    if (dir == NULL) {
        return;
    }

    while ((de = readdir(dir)) != NULL) {

        if (!ngx_litestream_sweep_name(de->d_name)) {
            continue;
        }

        for (i = 0; i < conf->groups.nelts; i++) {
            if (strcmp((char *) groups[i]->name.data, de->d_name) == 0) {
                break;
            }
        }

        if (i < conf->groups.nelts) {
            continue;
        }

        for (n = 0; n < sizeof(files) / sizeof(char *); n++) {
            (void) snprintf(name, sizeof(name), "%.4000s/%.128s/%s",
                            (char *) conf->state_path.data, de->d_name,
                            files[n]);
            (void) unlink(name);
        }

        /* what a user has in its own folder is not looked at */

        (void) snprintf(name, sizeof(name), "%.4000s/%.128s/run",
                        (char *) conf->state_path.data, de->d_name);
        (void) rmdir(name);

        (void) snprintf(name, sizeof(name), "%.4000s/%.128s",
                        (char *) conf->state_path.data, de->d_name);
        (void) rmdir(name);
    }

    (void) closedir(dir);
}


/* UID-TYPE-HASH, as ngx_litestream_group_get() names them */

static ngx_uint_t
ngx_litestream_sweep_name(char *name)
{
    size_t  n;

    n = strspn(name, "0123456789");
    if (n == 0 || n > 20 || name[n] != '-') {
        return 0;
    }

    name += n + 1;

    n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789");
    if (n == 0 || n > 16 || name[n] != '-') {
        return 0;
    }

    name += n + 1;

    return strspn(name, "0123456789abcdef") == 8 && name[8] == '\0';
}


/*
 * Removes from a group's own folder what begins so: copies of verifications
 * that were killed with their supervisor, and what Litestream was uploading,
 * which it keeps there for WebDAV.  Both may be large.  Supervisor, under the
 * lock, while nobody makes such files; only entries of the user's own folder,
 * whatever the user has put there.
 */

void
ngx_litestream_sweep_left(ngx_litestream_group_t *group, char *prefix)
{
    int             fd;
    DIR            *dir;
    size_t          len;
    struct dirent  *de;

    fd = open((char *) group->run.data,
              O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
    if (fd == -1) {
        return;
    }

    dir = fdopendir(fd);

    if (dir == NULL) {
        (void) close(fd);
        return;
    }

    len = strlen(prefix);

    while ((de = readdir(dir)) != NULL) {
        if (strncmp(de->d_name, prefix, len) == 0) {
            (void) unlinkat(fd, de->d_name, 0);
        }
    }

    (void) closedir(dir);
}
