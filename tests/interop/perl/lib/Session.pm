package Session;

# One STOMP session of the stock Net::Stomp, with deadlines: frames that arrive while another
# one is awaited are kept, and an unexpected ERROR fails the scenario.
#
# The address comes from STOMP_ADDR (host:port), TLS and TLS_CA, STOMP_LOGIN and STOMP_PASSCODE,
# STOMP_VHOST (the `host` header).
use strict;
use warnings;
use Net::Stomp;

use constant WAIT => 30;

my ($HOST, $PORT) = ($ENV{STOMP_ADDR} // die "STOMP_ADDR is not set\n") =~ /^(.*):(\d+)$/;

sub client {
    return Net::Stomp->new({
        hostname => $HOST, port => $PORT, timeout => WAIT,
        initial_reconnect_attempts => 1, reconnect_attempts => 1, connect_delay => 0,
        bufsize => 1 << 16, # a whole TLS record: select() sees nothing of what OpenSSL holds back
        $ENV{TLS} ? (ssl => 1, ssl_options => { SSL_ca_file => $ENV{TLS_CA} }) : (),
    });
}

sub connect_headers {
    my ($version) = @_;
    return {
        defined $ENV{STOMP_LOGIN} ? (login => $ENV{STOMP_LOGIN}, passcode => $ENV{STOMP_PASSCODE}) : (),
        $version eq '1.0' ? () : ('accept-version' => $version, host => $ENV{STOMP_VHOST} // $HOST),
    };
}

sub new {
    my ($class, $version) = @_;
    my $client = client();
    my $connected = $client->connect(connect_headers($version));
    die 'not connected: ' . ($connected ? $connected->as_string : 'no answer') . "\n"
        unless $connected && $connected->command eq 'CONNECTED';
    return bless {
        client => $client, version => $version, connected => $connected, kept => [], receipts => 0,
    }, $class;
}

sub client_of { $_[0]{client} }
sub connected { $_[0]{connected}->headers }

sub send {
    my ($self, $destination, $body, %headers) = @_;
    $self->{client}->send({ destination => $destination, body => $body, %headers });
}

# SEND that returns when the broker has the message.
sub send_sure {
    my ($self, $destination, $body, %headers) = @_;
    $self->with_receipt(sub { $self->send($destination, $body, %headers, @_) });
}

sub subscribe {
    my ($self, $destination, %headers) = @_;
    $self->with_receipt(sub {
        $self->{client}->subscribe({ destination => $destination, id => 'sub-1', ack => 'auto', %headers, @_ });
        # The client would send it again, receipt and all, after a reconnection.
        %{ $self->{client}->subscriptions } = ();
    });
}

sub frame_of { Net::Stomp::Frame->new({ command => $_[1], headers => $_[2] }) }

# A frame for which Net::Stomp has no method of its own.
sub command {
    my ($self, $command, %headers) = @_;
    $self->{client}->send_frame($self->frame_of($command, \%headers));
}

sub ack  { my ($self, $message, %more) = @_; $self->{client}->ack({ $self->_answered($message), %more }) }
sub nack { my ($self, $message, %more) = @_; $self->{client}->nack({ $self->_answered($message), %more }) }

sub ack_sure {
    my ($self, $message, %more) = @_;
    $self->with_receipt(sub { $self->ack($message, %more, @_) });
}

# Net::Stomp always sends message-id; the versions want more beside it.
sub _answered {
    my ($self, $message) = @_;
    my $headers = $message->headers;
    return (frame => $message, id => $headers->{ack}) if $self->{version} eq '1.2';
    return (frame => $message, subscription => $headers->{subscription}) if $self->{version} eq '1.1';
    return (frame => $message);
}

sub with_receipt {
    my ($self, $action) = @_;
    my $id = 'r-' . ++$self->{receipts};
    $action->(receipt => $id);
    $self->receipt($id);
}

sub receipt {
    my ($self, $id) = @_;
    return $self->frame('RECEIPT', sub { $_[0]->headers->{'receipt-id'} eq $id });
}

sub message {
    my ($self, $id) = @_;
    return $self->frame('MESSAGE', sub { !defined $id || $_[0]->headers->{subscription} eq $id });
}

sub messages {
    my ($self, $count) = @_;
    return [map { $self->message } 1 .. $count];
}

sub bodies {
    my ($self, $count) = @_;
    return [map { $_->body } @{ $self->messages($count) }];
}

# The next frame of this kind that the predicate accepts.
sub frame {
    my ($self, $command, $accept) = @_;
    my $kept = $self->{kept};
    for my $i (0 .. $#$kept) {
        next unless $kept->[$i]->command eq $command && $accept->($kept->[$i]);
        return splice @$kept, $i, 1;
    }
    while (1) {
        my $got = $self->{client}->receive_frame({ timeout => WAIT })
            or die "nothing arrived while waiting for $command\n";
        die "ERROR instead of $command: " . ($got->headers->{message} // '') . ' ' . ($got->body // '') . "\n"
            if $got->command eq 'ERROR';
        return $got if $got->command eq $command && $accept->($got);
        push @$kept, $got;
    }
}

# The ERROR frame, after which the broker must close.
sub error_and_close {
    my ($self) = @_;
    my $error;
    while (my $got = $self->{client}->receive_frame({ timeout => WAIT })) {
        $error = $got if $got->command eq 'ERROR';
        last if $error && !$self->_more_to_read;
    }
    die "closed or silent without an ERROR\n" unless $error;
    die "still open after the ERROR\n" if $self->{client}->socket->opened;
    return $error;
}

# Net::Stomp reconnects by itself when it reads from a closed socket, so look before reading on.
sub _more_to_read {
    my ($self) = @_;
    my $client = $self->{client};
    $client->{_framebuf} =~ s/^\n+//; # may follow the frame on its own
    return 1 if length $client->{_framebuf};
    die "still open after the ERROR\n" unless $client->select->can_read(WAIT);
    my $read = $client->_read_data(WAIT);
    return $read;
}

# The socket is gone without a word, as when a process dies.
sub drop { $_[0]{client}->_close_socket if $_[0]{client}->socket->opened }

1;
