package Test::Litestream::Prometheus;

# The text format 0.0.4, read strictly: more so than Prometheus does, which
# accepts samples without HELP and TYPE, and in any order.

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT_OK = qw/ metrics sample /;

my $name = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
my $label = qr/[a-zA-Z_][a-zA-Z0-9_]*/;
my $quoted = qr/"((?:[^"\\\n]|\\[\\"n])*)"/;
my $number = qr/-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|NaN|[+-]Inf/;


# { NAME => { type, help, samples => [ { labels => { }, value } ] } }, and
# what is wrong; in scalar context the first of these

sub metrics {
    my ($text) = @_;

    my (%m, %seen, @wrong, $current);

    push @wrong, 'no newline at the end;' if $text !~ /\n\z/;

    my $n = 0;

    for (split /\n/, $text, -1) {
        $n++;

        if (/^# HELP ($name) ((?:[^\\]|\\[\\n])+)$/) {
            push @wrong, "$n: $1 once more;" if $m{$1};
            $m{$1} = { help => $2, samples => [] };
            $current = $1;
            next;
        }

        if (/^# TYPE ($name) (counter|gauge)$/) {
            push @wrong, "$n: TYPE of another;" if $1 ne ($current // '');
            push @wrong, "$n: TYPE is late;"
                if defined $m{$1}{type} || @{ $m{$1}{samples} };
            $m{$1}{type} = $2;
            next;
        }

        if ($_ eq '') {
            push @wrong, "$n: empty;" if $n <= ($text =~ tr/\n//);
            next;
        }

        unless (/^($name)(?:\{($label=$quoted(?:,$label=$quoted)*)\})?
                 [ ]($number)$/x)
        {
            push @wrong, "$n: $_;";
            next;
        }

        my ($metric, $labels, $value) = ($1, $2 // '', $+);
        my %labels;

        while ($labels =~ /\G,?($label)=$quoted/g) {
            my ($l, $v) = ($1, $2);

            push @wrong, "$n: $l once more;" if exists $labels{$l};
            $v =~ s/\\(.)/$1 eq 'n' ? "\n" : $1/ge;
            $labels{$l} = $v;
        }

        my $key = "$metric " . join ',', map { "$_=$labels{$_}" }
            sort keys %labels;

        push @wrong, "$n: not with the others;" if $metric ne ($current // '');
        push @wrong, "$n: no TYPE;" unless defined $m{$metric}{type};
        push @wrong, "$n: twice;" if $seen{$key}++;

        push @{ $m{$metric}{samples} }, { labels => \%labels,
            value => $value };
    }

    push @wrong, map { "$_: no samples;" }
        grep { !@{ $m{$_}{samples} } } sort keys %m;

    return wantarray ? (\%m, @wrong) : \%m;
}


# the value of the sample with exactly these labels

sub sample {
    my ($m, $metric, %labels) = @_;

    for my $s (@{ ($m->{"nginx_litestream_$metric"} || {})->{samples} }) {
        my %l = %{ $s->{labels} };

        return $s->{value} if keys %l == keys %labels
            && !grep { ($l{$_} // '') ne $labels{$_} } keys %labels;
    }

    return undef;
}


1;
