
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * What Litestream 0.3 had done, in STATE/replicas: a line that begins with
 * "old", before the one of the database, of the newest position that was seen
 * in its replica and of the file that was replicated there.
 */


#include "ngx_litestream_old.h"


/* NGX_OK: it is such a line; old is untouched else.  Supervisor */

ngx_int_t
ngx_litestream_old_remember(char *line, ngx_litestream_old_memory_t *old)
{
    unsigned long long  v[4];

    if (sscanf(line, "old %16llx %16llx %16llx %16llx", &v[0], &v[1], &v[2],
               &v[3])
        != 4)
    {
        return NGX_DECLINED;
    }

    old->pos.generation = v[0];
    old->pos.at = v[1];
    old->dev = v[2];
    old->ino = v[3];

    return NGX_OK;
}


/* in a job, or at the very end of a process */

void
ngx_litestream_old_save(FILE *fp, ngx_litestream_old_memory_t *old)
{
    if (old->pos.generation == 0) {
        return;
    }

    fprintf(fp, "old %016llx %016llx %llx %llx\n",
            (unsigned long long) old->pos.generation,
            (unsigned long long) old->pos.at,
            (unsigned long long) old->dev,
            (unsigned long long) old->ino);
}
