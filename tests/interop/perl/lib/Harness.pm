package Harness;

# Runs named scenarios and prints one line each: `ok NAME`, `FAIL NAME why`, `skip NAME`.
#
# ONLY and SKIP in the environment are regular expressions over the names; SKIP is for
# running the same scenarios against brokers that lack an extension.
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(scenario unique expect expect_list finish);

use constant DEADLINE => 120;

my %count = (ok => 0, FAIL => 0, skip => 0);
my $serial = 0;
$| = 1;

sub scenario {
    my ($name, $body) = @_;
    return if $ENV{ONLY} && $name !~ /$ENV{ONLY}/;
    return _report('skip', $name) if $ENV{SKIP} && $name =~ /$ENV{SKIP}/;
    my $done = eval {
        local $SIG{ALRM} = sub { die 'not done within ' . DEADLINE . " s\n" };
        alarm DEADLINE;
        $body->();
        alarm 0;
        1;
    };
    my $why = $@;
    alarm 0;
    return _report('ok', $name) if $done;
    $why =~ s/\s+/ /g;
    _report('FAIL', $name, " $why");
}

sub _report {
    my ($verdict, $name, $why) = @_;
    $count{$verdict}++;
    print "$verdict $name", $why // '', "\n";
}

# A name no other scenario or run uses, so that nothing left behind can be mistaken for ours.
sub unique {
    my ($kind) = @_;
    return sprintf 'it-perl-%s-%d-%06x-%d', $kind, $$, int rand 16**6, ++$serial;
}

sub expect {
    my ($what, $got, $wanted) = @_;
    $got = '(none)' unless defined $got;
    return if $got eq $wanted;
    my (undef, undef, $line) = caller;
    die sprintf "%s: got %.200s, wanted %.200s (line %d)\n", $what, $got, $wanted, $line;
}

sub expect_list {
    my ($what, $got, @wanted) = @_;
    expect($what, join(' ', @$got), join ' ', @wanted);
}

sub finish {
    my $line = "$count{ok} passed, $count{FAIL} failed";
    $line .= ", $count{skip} skipped" if $count{skip};
    print "$line\n";
    exit($count{ok} && !$count{FAIL} ? 0 : 1);
}

1;
