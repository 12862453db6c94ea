package Test::Litestream::TLS;

# Certificates that sign themselves, made by openssl.

use warnings;
use strict;

use Test::Litestream::Command qw/ run_command /;


# [ certificate, key ], files in the directory of the test; name => what it is
# for, as openssl has it, else that of the tests' servers

sub cert {
    my ($class, $t, $file, %opt) = @_;

    my ($cert, $key) = map { "$t->{testdir}/$file.$_" } qw/ crt key /;

    my ($rc, undef, $err) = run_command(qw/ openssl req -x509 -nodes -days 3
            -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 /,
        '-subj', "/CN=$file", '-addext',
        'subjectAltName=' . ($opt{name} // 'IP:127.0.0.1'),
        '-keyout', $key, '-out', $cert);
    die "openssl: $err\n" if $rc;

    chmod 0644, $cert;

    return [ $cert, $key ];
}


1;
