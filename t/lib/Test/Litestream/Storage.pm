package Test::Litestream::Storage;

# A storage that hangs or is slow, as network file systems are: opendir() of
# what is below a directory, preloaded into nginx and what it forks.
#
#   my $storage = Test::Litestream::Storage->new($t);
#   $t->run(env => $storage->env);
#   $storage->mode('sleep 700 /replica/', 'hang /replica/db3/');
#   $storage->opened('/ltx/0');          # paths
#
# The first line whose last word is in the path counts; it is read again while
# it hangs, and a line that has gone lets it go on.

use warnings;
use strict;

use Test::Litestream::Command qw/ run_command /;


sub new {
    my ($class, $t) = @_;

    my $dir = $t->testdir . '/storage';
    my $self = bless { t => $t, dir => $dir }, $class;

    mkdir $dir or die "mkdir($dir) failed: $!\n";
    chmod 0755, $dir;

    chmod 0666, $t->write_file('storage/log', '');
    $self->mode();

    local $/;
    my $source = $t->write_file('storage/storage.c', <DATA>);

    my ($rc, undef, $err) = run_command('gcc', '-shared', '-fPIC', '-Wall',
        '-Werror', "-DDIR_NAME=\"$dir\"", '-o', "$dir/storage.so", $source,
        '-ldl');
    die "storage.c: $err\n" if $rc;

    chmod 0755, "$dir/storage.so";

    return $self;
}


sub env {
    my ($self) = @_;

    return { LD_PRELOAD => "$self->{dir}/storage.so",
        ASAN_OPTIONS => join(':', $ENV{ASAN_OPTIONS} // (),
            'verify_asan_link_order=0') };
}


sub mode {
    my ($self, @lines) = @_;

    my $new = $self->{t}->write_file('storage/mode.new',
        join "\n", @lines, '');
    chmod 0644, $new;
    rename $new, "$self->{dir}/mode" or die "rename() failed: $!\n";
}


sub opened {
    my ($self, $end) = @_;

    return grep { /\Q$end\E$/ }
        split /\n/, $self->{t}->read_file('storage/log');
}


1;


__DATA__
#define _GNU_SOURCE

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


/* 0: nothing, -1: hang, else ms */

static int
mode(const char *path)
{
    int    n;
    FILE  *fp;
    char   line[1024], verb[16], name[1024];

    fp = fopen(DIR_NAME "/mode", "re");

    if (fp == NULL) {
        return 0;
    }

    while (fgets(line, sizeof(line), fp)) {

        n = -1;

        if (sscanf(line, "sleep %d %1000s", &n, name) != 2
            && sscanf(line, "%15s %1000s", verb, name) != 2)
        {
            continue;
        }

        if (strstr(path, name)) {
            fclose(fp);
            return n;
        }
    }

    fclose(fp);

    return 0;
}


DIR *
opendir(const char *path)
{
    int             fd, n;
    DIR          *(*next)(const char *);
    static int      slept;

    next = (DIR *(*)(const char *)) dlsym(RTLD_NEXT, "opendir");

    if (strstr(path, "/ltx/") == NULL) {
        return next(path);
    }

    fd = open(DIR_NAME "/log", O_WRONLY|O_APPEND|O_CLOEXEC);

    if (fd != -1) {
        dprintf(fd, "%s\n", path);
        close(fd);
    }

    n = mode(path);

    if (n > 0 && strcmp(path + strlen(path) - 2, "/0") == 0) {
        for (slept = 0; slept < n; slept += 10) {
            usleep(10000);
        }
    }

    while (n == -1) {
        usleep(10000);
        n = mode(path);
    }

    return next(path);
}
