
/*
 * Copyright (C) the ngx_litestream authors
 */


/* in a job: who has a database open that is not there any more? */


#include "ngx_litestream_supervisor.h"

#include <dirent.h>


/*
 * In the job, still root: who else holds the database that is not there?  A
 * process with the deleted file open would go on writing to it, unseen.
 */

void
ngx_litestream_place_prepare(ngx_litestream_job_t *job)
{
    DIR                  *proc, *fds;
    char                  name[64], link[4200], comm[32], *tail;
    FILE                 *fp;
    ssize_t               n;
    struct stat           st;
    struct dirent        *de, *fde;
    ngx_litestream_db_t  *db;

    db = job->rdb->db;

    if (job->in.rc != NGX_OK
        || db->restore == NGX_LITESTREAM_RESTORE_OFF
        || (lstat((char *) db->path.data, &st) == 0 && st.st_size > 0))
    {
        return;
    }

    proc = opendir("/proc");
    if (proc == NULL) {
        return;
    }

    while ((de = readdir(proc)) != NULL) {

        if (de->d_name[0] < '0' || de->d_name[0] > '9'
            || atoi(de->d_name) == (int) getpid())
        {
            continue;
        }

        (void) snprintf(name, sizeof(name), "/proc/%.16s/fd", de->d_name);

        fds = opendir(name);
        if (fds == NULL) {
            continue;
        }

        while ((fde = readdir(fds)) != NULL) {

            if (fde->d_name[0] == '.') {
                continue;
            }

            (void) snprintf(name, sizeof(name), "/proc/%.16s/fd/%.16s",
                            de->d_name, fde->d_name);

            n = readlink(name, link, sizeof(link) - 1);

            if (n < (ssize_t) db->path.len
                || ngx_memcmp(link, db->path.data, db->path.len) != 0)
            {
                continue;
            }

            link[n] = '\0';

            tail = &link[db->path.len];

            if (strcmp(tail, " (deleted)") != 0 && strcmp(tail, "-wal") != 0
                && strcmp(tail, "-wal (deleted)") != 0)
            {
                continue;
            }

            (void) snprintf(name, sizeof(name), "/proc/%.16s/comm",
                            de->d_name);

            comm[0] = '\0';

            fp = fopen(name, "re");
            if (fp) {
                if (fgets(comm, sizeof(comm), fp)) {
                    comm[strcspn(comm, "\n")] = '\0';
                }

                (void) fclose(fp);
            }

            /* judged in run(), when it is clear that there is a backup */

            (void) snprintf(job->in.text, sizeof(job->in.text),
                            "process %s (%s) still holds the deleted \"%.600s"
                            "\": stop it first, what it writes there is lost",
                            de->d_name, comm, (char *) db->path.data);

            (void) closedir(fds);
            (void) closedir(proc);
            return;
        }

        (void) closedir(fds);
    }

    (void) closedir(proc);
}
