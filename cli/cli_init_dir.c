
/*
 * Copyright (C) the ngx_litestream authors
 */


/* init: a directory of databases in a litestream.yml */


#include "cli_init.h"

#include <sys/stat.h>
#include <unistd.h>


char *
cli_conv_dir(cli_node_t *node, char *dir, const char **why)
{
    int      deep;
    char    *pattern, *recursive, *path;
    size_t   i, len;

    static const char  *on[] = { "true", "yes", "on", "y" };

    *why = NULL;

    for (len = strlen(dir); len > 1 && dir[len - 1] == '/'; len--) {
        dir[len - 1] = '\0';
    }

    pattern = cli_node_text(node, "pattern");
    recursive = cli_node_text(node, "recursive");

    deep = 0;

    for (i = 0; recursive && i < sizeof(on) / sizeof(on[0]); i++) {
        deep |= (strcasecmp(recursive, on[i]) == 0);
    }

    if (pattern == NULL || *pattern == '\0') {
        *why = "it has no pattern";
        return NULL;
    }

    /* of Litestream's characters for patterns nginx has one */

    if (strpbrk(pattern, "?[\\/${") || strstr(pattern, "**")) {
        *why = "in its pattern there can be \"*\" only, and once in a row";
        return NULL;
    }

    if (!deep && strchr(pattern, '*') == NULL) {
        *why = "its pattern means one file: say that by \"path\"";
        return NULL;
    }

    if (strchr(dir, '*') || dir[0] == '~' || strcmp(dir, "/") == 0
        || strlen(dir) + strlen(pattern) + sizeof("/**/") > PATH_MAX)
    {
        *why = "nginx does not take such a path";
        return NULL;
    }

    if (asprintf(&path, "%s%s%s", dir, deep ? "/**/" : "/", pattern) == -1) {
        return NULL;
    }

    return path;
}


/* below the one of the directory, by their paths, as Litestream has them */

void
cli_conv_dir_replica(cli_init_db_t *db)
{
    char    *made;
    size_t   len;

    if (db->replica == NULL) {
        return;
    }

    len = strcspn(db->replica, "?");

    if (asprintf(&made, "%.*s%s$file%s", (int) len, db->replica,
                 (len && db->replica[len - 1] == '/') ? "" : "/",
                 db->replica + len)
        != -1)
    {
        db->replica = made;
    }
}


void
cli_init_check_dir(cli_init_db_t *db)
{
    char         dir[PATH_MAX], user[64], *p;
    struct stat  sb;

    if (db->variables) {
        cli_copy(db->about, sizeof(db->about), "where that is, is not known "
                 "here");
        return;
    }

    for (p = db->path; *p; p++) {

        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            cli_copy(db->why, sizeof(db->why),
                     "nginx does not take such a path");
            return;
        }
    }

    cli_copy(dir, sizeof(dir), "%.*s", (int) db->dir, db->path);

    if (stat(dir, &sb) == -1 || !S_ISDIR(sb.st_mode)) {
        cli_copy(db->why, sizeof(db->why), "the directory is missing");
        return;
    }

    cli_user(sb.st_uid, user, sizeof(user));

    cli_copy(db->about, sizeof(db->about), "databases in a directory of %s",
             user);

    db->uid = sb.st_uid;
    db->root = (sb.st_uid == 0 && geteuid() == 0);
}
