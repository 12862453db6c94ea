package Test::Litestream::Init;

# What "nginx-litestream init" prints, and whether nginx accepts it.

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT_OK = qw/ accepted databases generated /;

use File::Basename qw/ dirname /;

use Test::Litestream::HTTP qw/ port /;


# "ALIAS PATH, ..." of what is not commented out

sub databases {
    my ($text) = @_;

    return join ', ',
        $text =~ /^    litestream_db  (\S+ (?:"[^"]*"|[^\s;]+))/mg;
}


# "ok", or what nginx says: it is as printed, but for the module, which is not
# where it is installed, and for the port

sub accepted {
    my ($t, $text, %env) = @_;

    my $load = $t->{module} =~ /^(static)?$/ ? ''
        : "load_module $t->{module};";

    $text =~ s!^load_module modules/ngx_litestream_module\.so;$!$load!m
        or return 'no module is loaded';
    $text =~ s/listen 80;/'listen 127.0.0.1:' . port(8080) . ';'/e
        or return 'no port';

    # some defaults are root's

    $text =~ s!^http \{\n!$& . $t->globals_http!me if $> != 0;

    $t->write_file('init.conf', $text);

    my ($rc, $err) = _nginx($t, '-t', %env);
    return $rc == 0 ? 'ok' : $err;
}


# what Litestream would run with, as "nginx -T" prints it, secrets masked

sub generated {
    my ($t, %env) = @_;

    my ($rc, $text) = _nginx($t, '-T', %env);
    return $text =~ s/.*?(?=^# configuration file \S+\/litestream\.yml)//msr;
}


sub _nginx {
    my ($t, $option, %env) = @_;

    return $t->nginx({ conf => $t->testdir . '/init.conf',
            env => { PATH => dirname($t->litestream) . ":$ENV{PATH}", %env } },
        $option, '-g', 'pid ' . $t->testdir . '/init.pid;');
}


1;
