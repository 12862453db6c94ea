
/*
 * Copyright (C) the ngx_litestream authors
 */


/*
 * install-litestream: the script tools/install-litestream, which this command
 * has in it, run by the shell.  It says itself what it does.
 */


#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>


#define CLI_INSTALL_DEST  "/usr/local/bin/litestream"


static const char  cli_install_script[] =
#include "install-litestream.h"
;


int
cli_install(cli_options_t *o)
{
    int        n, status;
    char      *argv[12], dest[PATH_MAX], from[PATH_MAX];
    pid_t      pid;
    sigset_t   all, old;

    if (cli_absolute(o->output ? o->output : CLI_INSTALL_DEST, dest)
        != CLI_YES
        || (o->from && cli_absolute(o->from, from) != CLI_YES))
    {
        cli_error("%s", strerror(errno));
        return CLI_USAGE;
    }

    n = 0;
    argv[n++] = (char *) "sh";
    argv[n++] = (char *) "-c";
    argv[n++] = (char *) cli_install_script;
    argv[n++] = (char *) "nginx-litestream";
    argv[n++] = (char *) "-o";
    argv[n++] = dest;

    if (o->old) {
        argv[n++] = (char *) "-version";
        argv[n++] = (char *) "0.3.13";
    }

    if (o->from) {
        argv[n++] = (char *) "-from";
        argv[n++] = from;
    }

    argv[n] = NULL;

    (void) sigfillset(&all);
    (void) sigprocmask(SIG_SETMASK, &all, &old);
    (void) fflush(NULL);

    pid = fork();

    if (pid == 0) {
        (void) setpgid(0, 0);
        (void) signal(SIGINT, SIG_DFL);
        (void) signal(SIGTERM, SIG_DFL);
        (void) signal(SIGHUP, SIG_DFL);
        (void) sigprocmask(SIG_SETMASK, &old, NULL);

        (void) execv("/bin/sh", argv);

        cli_error("/bin/sh: %s", strerror(errno));
        _exit(127);
    }

    if (pid != -1) {
        (void) setpgid(pid, pid);
        cli_child = pid;
        cli_child_signal = SIGTERM;
    }

    (void) sigprocmask(SIG_SETMASK, &old, NULL);

    if (pid == -1) {
        cli_error("fork() failed: %s", strerror(errno));
        return CLI_NO;
    }

    while (waitpid(pid, &status, 0) == -1) {

        if (errno != EINTR) {
            cli_error("waitpid() failed: %s", strerror(errno));
            return CLI_NO;
        }
    }

    cli_child = 0;

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        cli_say("%s is in place", dest);
        return CLI_YES;
    }

    return CLI_NO;
}
