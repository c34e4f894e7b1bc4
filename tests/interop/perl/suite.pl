#!/usr/bin/env perl

# The stock Net::Stomp against a broker: what its users do. It is a 1.0 client that can be
# talked into 1.1 and 1.2 by its headers; it neither escapes nor unescapes header values.
use strict;
use warnings;
use utf8;
use FindBin;
use lib "$FindBin::Bin/lib";
use Encode 'encode_utf8';
use Time::HiRes 'time';
use Harness;
use Session;

sub a_queue { '/queue/' . unique('q') }
sub a_topic { '/topic/' . unique('t') }

# Nothing else may come before a message sent now.
sub expect_nothing_but_sentinel {
    my ($s, $destination) = @_;
    $s->send($destination, 'sentinel');
    expect('next message', $s->message->body, 'sentinel');
}

for my $v ('1.0', '1.1', '1.2') {
    my $session = sub { Session->new($v) };

    scenario "$v/connect" => sub {
        my $connected = $session->()->connected;
        expect('version', $connected->{version} // '1.0', $v);
        expect('session', length($connected->{session} // '') > 0, 1);
    };

    scenario "$v/bodies" => sub {
        my $to = a_queue();
        my @sent = (
            join('', map { chr } 0 .. 255) x 4, 'x', encode_utf8('Grüße, 世界 🦀'), "a\0b" x ((1 << 20) / 3),
        );
        my $s = $session->();
        $s->send_sure($to, $_, bytes_message => 1, 'content-type' => 'application/octet-stream') for @sent;
        $s->subscribe($to);
        for my $body (@sent) {
            my $got = $s->message;
            expect('body is the same', $got->body eq $body, 1);
            expect('content-length', $got->headers->{'content-length'}, length $body);
            expect('content-type', $got->content_type, 'application/octet-stream');
        }
    };

    scenario "$v/bodies-without-content-length" => sub {
        my $to = a_queue();
        my $s = $session->();
        $s->send_sure($to, $_) for 'text', '', encode_utf8('Grüße');
        $s->subscribe($to);
        expect_list('bodies', $s->bodies(3), 'text', '', encode_utf8('Grüße'));
    };

    scenario "$v/queue-starts-at-the-earliest" => sub {
        my $to = a_queue();
        my $s = $session->();
        $s->send_sure($to, "m$_") for 1 .. 5;
        $s->subscribe($to);
        my $got = $s->messages(5);
        expect_list('order', [map { $_->body } @$got], map { "m$_" } 1 .. 5);
        expect('destination', $got->[0]->destination, $to);
    };

    scenario "$v/send-with-receipt" => sub {
        my $to = a_queue();
        my $sender = $session->()->client_of;
        expect('receipt', $sender->send_with_receipt({ destination => $to, body => "m$_", timeout => Session::WAIT }), 1) for 1 .. 3;
        my $s = $session->();
        $s->subscribe($to);
        expect_list('bodies', $s->bodies(3), 'm1', 'm2', 'm3');
    };

    scenario "$v/send-transactional" => sub {
        my $to = a_queue();
        my $sender = $session->()->client_of;
        expect('receipt', $sender->send_transactional({ destination => $to, body => "m$_", timeout => Session::WAIT }), 1) for 1 .. 3;
        $sender->disconnect; # closes at once; the COMMIT before it must still be carried out
        my $s = $session->();
        $s->subscribe($to);
        expect_list('bodies', $s->bodies(3), 'm1', 'm2', 'm3');
    };

    scenario "$v/disconnect-keeps-what-was-sent" => sub {
        my $to = a_queue();
        my $sender = $session->();
        $sender->send($to, "m$_") for 1 .. 20;
        $sender->client_of->disconnect;
        my $s = $session->();
        $s->subscribe($to);
        expect_list('bodies', $s->bodies(20), map { "m$_" } 1 .. 20);
    };

    scenario "$v/disconnect-receipt" => sub {
        my $s = $session->();
        $s->send(a_queue(), 'last words');
        $s->command(DISCONNECT => receipt => 'bye');
        $s->receipt('bye');
        expect('closed by the broker', $s->client_of->receive_frame({ timeout => Session::WAIT }) ? 'a frame' : 'nothing', 'nothing');
        expect('socket', $s->client_of->socket->opened ? 'open' : 'closed', 'closed');
    };

    scenario "$v/queue-competing-consumers" => sub {
        my $to = a_queue();
        my ($a, $b, $sender) = map { $session->() } 1 .. 3;
        $_->subscribe($to, ack => 'client', 'prefetch-count' => 1) for $a, $b;
        $sender->send_sure($to, "m$_") for 10 .. 29;
        my @got;
        for (1 .. 10) { # each acknowledges only when the other had its turn
            my @pair = map { [$_, $_->message] } $a, $b;
            for (@pair) { $_->[0]->ack_sure($_->[1]); push @got, $_->[1]->body }
        }
        expect_list('all, once', [sort @got], map { "m$_" } 10 .. 29);
    };

    scenario "$v/redelivery-to-the-other-after-a-drop" => sub {
        my $to = a_queue();
        my ($a, $b) = map { $session->() } 1 .. 2;
        $a->subscribe($to, ack => 'client');
        $a->send_sure($to, 'precious');
        expect('body', $a->message->body, 'precious');
        $b->subscribe($to, ack => 'client');
        $a->drop;
        my $again = $b->message;
        expect('again', $again->body, 'precious');
        expect('redelivered', $again->headers->{redelivered}, 'true');
        $b->ack_sure($again);
        expect_nothing_but_sentinel($b, $to);
    };

    scenario "$v/topic-only-new-and-to-each" => sub {
        my $to = a_topic();
        my ($a, $b) = map { $session->() } 1 .. 2;
        $a->send_sure($to, 'before');
        $_->subscribe($to) for $a, $b;
        $a->send_sure($to, "m$_") for 1 .. 6;
        expect_list('bodies', [sort @{ $_->bodies(6) }], map { "m$_" } 1 .. 6) for $a, $b;
    };

    scenario "$v/group-shares-and-groups-do-not" => sub {
        my $x = unique('x');
        my ($one, $two) = map { '/group/' . unique('g') . "/$x" } 1 .. 2;
        my ($a, $b, $c) = map { $session->() } 1 .. 3;
        $a->send_sure("/queue/$x", 'm0'); # a new group starts at the earliest
        $c->subscribe($two);
        $a->subscribe($one, ack => 'client', 'prefetch-count' => 1);
        my @shared = $a->message->body;
        $b->subscribe($one, ack => 'client', 'prefetch-count' => 1);
        $c->send_sure("/topic/$x", 'm1');
        push @shared, $b->message->body; # a still holds its only message
        expect_list('shared', [sort @shared], 'm0', 'm1');
        expect_list('other group', [sort @{ $c->bodies(2) }], 'm0', 'm1');
    };

    scenario "$v/ack-client-is-cumulative" => sub {
        my $to = a_queue();
        my $s = $session->();
        $s->send_sure($to, "m$_") for 1 .. 4;
        $s->subscribe($to, ack => 'client');
        $s->ack_sure($s->messages(4)->[2]);
        $s->drop;
        my $next = $session->();
        $next->subscribe($to, ack => 'client');
        expect('left', $next->message->body, 'm4');
        expect_nothing_but_sentinel($next, $to);
    };

    scenario "$v/subscribe-without-an-id" => sub {
        my $to = a_queue();
        my $s = $session->();
        my $client = $s->client_of;
        $client->subscribe({ destination => $to, ack => 'client' });
        $s->send_sure($to, 'm1');
        my $got = $s->message;
        expect('body', $got->body, 'm1');
        expect('subscription', $got->headers->{subscription}, '(none)');
        $s->ack_sure($got);
        $s->with_receipt(sub { $client->unsubscribe({ destination => $to, @_ }) });
        $s->subscribe($to, id => 'other');
        expect_nothing_but_sentinel($s, $to);
    } if $v eq '1.0';

    scenario "$v/transaction-commit-and-abort" => sub {
        my $to = a_queue();
        my $s = $session->();
        $s->subscribe($to);
        $s->command(BEGIN => transaction => $_) for 'kept', 'dropped';
        $s->send($to, $_, transaction => $_) for 'dropped', 'kept';
        $s->send_sure($to, 'outside');
        expect('first', $s->message->body, 'outside');
        $s->with_receipt(sub { $s->command(ABORT => transaction => 'dropped', @_) });
        $s->with_receipt(sub { $s->command(COMMIT => transaction => 'kept', @_) });
        expect('then', $s->message->body, 'kept');
        expect_nothing_but_sentinel($s, $to);
    };

    scenario "$v/header-values-come-back-as-sent" => sub {
        my $to = a_queue();
        my $value = $v eq '1.0' ? 'a:b\\c\\d' : 'a\\cb\\n\\\\d';
        my $s = $session->();
        $s->send_sure($to, 'x', 'x-value' => $value, 'x-unicode' => encode_utf8('ünï ✓'));
        $s->subscribe($to);
        my $got = $s->message->headers;
        expect('value', $got->{'x-value'}, $value);
        expect('unicode', $got->{'x-unicode'}, encode_utf8('ünï ✓'));
    };

    scenario "$v/tag-filter" => sub {
        my $to = a_topic();
        my $s = $session->();
        $s->subscribe($to, tag => 'a||c');
        my $n = 0;
        $s->send_sure($to, $_ . $n++, tag => $_) for qw(a b c b a);
        expect_list('bodies', [sort @{ $s->bodies(3) }], qw(a0 a4 c2));
    };

    scenario "$v/delay" => sub {
        my $to = a_queue();
        my $s = $session->();
        $s->subscribe($to);
        my $started = time;
        $s->send_sure($to, 'later', delay => 1200);
        $s->send_sure($to, 'now');
        my %came = map { ($s->message->body => time - $started) } 1 .. 2;
        expect_list('bodies', [sort keys %came], 'later', 'now');
        expect('waited', $came{later} > 1.15 ? 'at least 1.2 s' : "$came{later} s", 'at least 1.2 s');
    };

    my %provoke = (
        'bad-destination' => sub { $_[0]->send('/queue/', 'x', receipt => 'mine') },
        'unknown-transaction' => sub { $_[0]->command(COMMIT => transaction => 'nope', receipt => 'mine') },
        'missing-destination' => sub { $_[0]->command(SEND => receipt => 'mine') },
        'unknown-ack-id' => sub {
            $_[0]->subscribe(a_queue(), ack => 'client');
            $_[0]->command(ACK => id => 'nope', 'message-id' => 'nope', subscription => 'sub-1', receipt => 'mine');
        },
    );
    for my $name (sort keys %provoke) {
        scenario "$v/error-$name" => sub {
            my $s = $session->();
            $provoke{$name}->($s);
            my $error = $s->error_and_close->headers;
            expect('message', length($error->{message} // '') > 0, 1);
            expect('receipt-id', $error->{'receipt-id'}, 'mine');
        };
    }

    scenario "$v/error-unknown-command" => sub {
        my $s = $session->();
        $s->command(SHOUT => destination => a_queue());
        expect('message', length($s->error_and_close->headers->{message} // '') > 0, 1);
    };

    next if $v eq '1.0';

    scenario "$v/ack-client-individual" => sub {
        my $to = a_queue();
        my $s = $session->();
        $s->send_sure($to, "m$_") for 1 .. 3;
        $s->subscribe($to, ack => 'client-individual');
        $s->ack_sure($s->messages(3)->[1]);
        $s->drop;
        my $next = $session->();
        $next->subscribe($to);
        my $left = $next->messages(2);
        expect_list('left', [map { $_->body } @$left], 'm1', 'm3');
        expect_list('redelivered', [map { $_->headers->{redelivered} } @$left], 'true', 'true');
    };

    scenario "$v/nack-redelivers" => sub {
        my $to = a_queue();
        my $s = $session->();
        $s->send_sure($to, 'again');
        $s->subscribe($to, ack => 'client-individual');
        my $first = $s->message;
        $s->nack($first);
        my $second = $s->message;
        expect_list('redelivered', [map { $_->headers->{redelivered} } $first, $second], 'false', 'true');
        $s->ack_sure($second);
        expect_nothing_but_sentinel($s, $to);
    };

    scenario "$v/nack-without-requeue-is-a-dead-letter" => sub {
        my ($x, $group) = (unique('q'), unique('g'));
        my $s = $session->();
        $s->send_sure("/queue/$x", 'poison');
        $s->subscribe("/group/$group/$x", ack => 'client-individual');
        $s->nack($s->message, requeue => 'false');
        expect_nothing_but_sentinel($s, "/queue/$x");
        $s->subscribe("/amq/queue/%DLQ%$group", id => 'dead');
        expect('dead letter', $s->message('dead')->body, 'poison');
    };
}

scenario 'reconnects-and-subscribes-again' => sub {
    my $to = a_queue();
    my $client = Session::client();
    $client->connect(Session::connect_headers('1.0'));
    $client->subscribe({ destination => $to, ack => 'client' });
    $client->_close_socket;
    Session->new('1.0')->send_sure($to, 'after the break');
    my $got = $client->receive_frame({ timeout => Session::WAIT });
    expect('body', $got ? $got->body : 'nothing', 'after the break');
};

scenario 'wrong-passcode-is-refused' => sub {
    my $answer = Session::client()->connect({ login => $ENV{STOMP_LOGIN}, passcode => 'certainly wrong' });
    expect('answer', $answer ? $answer->command : 'nothing', 'ERROR');
} if defined $ENV{STOMP_LOGIN};

finish();
