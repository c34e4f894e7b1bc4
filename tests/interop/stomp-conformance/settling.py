"""ACK, NACK, transactions."""

from spec import case, may, must, should, states
from wire import check

ALL = "1.0 1.1 1.2"
LATER = "1.1 1.2"


def filled(t, count, ack):
    """A queue with messages, all of them delivered to a subscriber."""
    queue, peer = t.queue(), t.connect()
    for n in range(count):
        peer.ask("SEND", {"destination": queue}, b"%d" % n)
    t.subscribe(peer, queue, ack=ack)
    return queue, peer, [peer.message(b"%d" % n) for n in range(count)]


def bodies(*numbers):
    return [b"%d" % n for n in numbers]


@case(
    states(LATER, "The `ACK` frames sent by the client will be treated as a cumulative acknowledgment."),
    states(LATER, "the acknowledgment operates on the message specified in the `ACK` frame and all messages sent to the subscription before the `ACK`'ed message"),
)
def client_acks_are_cumulative(t):
    queue, peer, messages = filled(t, 5, "client")
    peer.ask(*t.ack(messages[2]))
    peer.disconnect()
    check(t.left(queue, 2) == bodies(3, 4), "others are left")


@case(
    states("1.0", "messages will only be considered delivered after the client specifically acknowledges them with an ACK frame"),
    may(LATER, "If the connection fails before a client sends an `ACK` frame for the message the server will assume the message has not been processed and MAY redeliver the message to another client."),
)
def a_failed_connection_gives_back(t):
    queue, peer, _ = filled(t, 3, "client")
    peer.reset()
    receiver = t.connect()
    t.subscribe(receiver, queue)
    check(receiver.bodies(3) == bodies(0, 1, 2), "not all of them, in order")


@case(must(LATER, "an `ACK` or `NACK` frame for a subsequent message MUST NOT cause a previous message to get acknowledged"))
def individual_acks_are_not_cumulative(t):
    queue, peer, messages = filled(t, 4, "client-individual")
    peer.ask(*t.ack(messages[2]))
    peer.disconnect()
    check(t.left(queue, 3) == bodies(0, 1, 3), "others are left")


@case(must(LATER, "an `ACK` or `NACK` frame for a subsequent message MUST NOT cause a previous message to get acknowledged"))
def individual_nacks_are_not_cumulative(t):
    queue, peer, messages = filled(t, 3, "client-individual")
    peer.ask(*t.ack(messages[2], "NACK"))
    peer.disconnect()
    receiver = t.connect()
    t.subscribe(receiver, queue)
    check(receiver.bodies(2) == bodies(0, 1), "a previous one is gone")


@case(
    must("1.2", "The `ACK` frame MUST include an `id` header matching the `ack` header of the `MESSAGE` being acknowledged."),
    must("1.1", "`ACK` has two REQUIRED headers: `message-id`, which MUST contain a value matching the `message-id` for the `MESSAGE` being acknowledged and `subscription`"),
    must("1.0", "ACK has one required header, *message-id*, which must contain a value matching the *message-id* for the MESSAGE being acknowledged."),
)
def an_ack_of_nothing(t):
    peer = t.connect()
    t.subscribe(peer, t.queue(), ack="client")
    peer.say("ACK", {"id": "no-such-message", "message-id": "no-such-message", "subscription": "s"})
    peer.error()


@case(
    must("1.2", "`ACK` REQUIRED: `id`"),
    must("1.0 1.1", "`ACK` REQUIRED: `message-id`"),
)
def an_ack_without_a_name(t):
    peer = t.connect()
    t.subscribe(peer, t.queue(), ack="client")
    peer.say("ACK", {"subscription": "s"})
    peer.error()


@case(
    states(LATER, "It is used to tell the server that the client did not consume the message."),
    states(LATER, "The server can then either send the message to a different client, discard it, or put it in a dead letter queue."),
)
def a_nack_is_no_ack_and_no_error(t):
    _, peer, messages = filled(t, 1, "client-individual")
    peer.ask(*t.ack(messages[0], "NACK"))
    peer.disconnect()


@case(
    states("1.2", "`NACK` applies either to one single message (if the subscription's `ack` mode is `client-individual`)"),
)
def a_nack_is_for_one_message(t):
    queue, peer, messages = filled(t, 3, "client-individual")
    peer.say(*t.ack(messages[1], "NACK", requeue="false"))
    peer.disconnect()
    check(t.left(queue, 2) == bodies(0, 2), "others are left")


@case(
    states(LATER, "or to all messages sent before and not yet `ACK`'ed or `NACK`'ed (if the subscription's `ack` mode is `client`)"),
)
def a_client_nack_is_for_all_before_it(t):
    queue, peer, messages = filled(t, 4, "client")
    peer.say(*t.ack(messages[2], "NACK", requeue="false"))
    peer.disconnect()
    check(t.left(queue, 1) == bodies(3), "others are left")


@case(
    must("1.2", "`NACK` takes the same headers as `ACK`: `id` (REQUIRED) and `transaction` (OPTIONAL)."),
    must("1.1", "`NACK` takes the same headers as `ACK`: `message-id` (mandatory), `subscription` (mandatory) and `transaction` (OPTIONAL)."),
)
def a_nack_without_a_name(t):
    peer = t.connect()
    t.subscribe(peer, t.queue(), ack="client")
    peer.say("NACK", {"subscription": "s"})
    peer.error()


@case(
    states(ALL, "any messages sent or acknowledged during a transaction will be processed atomically based on the transaction"),
    states(ALL, "`SEND` supports a `transaction` header which allows for transactional sends."),
    states(ALL, "`COMMIT` is used to commit a transaction in progress."),
)
def sends_wait_for_commit(t):
    queue, peer, witness = t.queue(), t.connect(), t.connect()
    t.subscribe(witness, queue)
    peer.ask("BEGIN", {"transaction": "tx1"})
    for n in range(3):
        peer.say("SEND", {"destination": queue, "transaction": "tx1"}, b"%d" % n)
    peer.say("SEND", {"destination": queue}, b"outside")
    witness.message(b"outside")
    witness.quiet()
    peer.ask("COMMIT", {"transaction": "tx1"})
    check(witness.bodies(3) == bodies(0, 1, 2), "not all of them, in order")


@case(states(ALL, "`ABORT` is used to roll back a transaction in progress."))
def abort_forgets_sends(t):
    queue, peer = t.queue(), t.connect()
    peer.ask("BEGIN", {"transaction": "tx1"})
    peer.say("SEND", {"destination": queue, "transaction": "tx1"}, b"never")
    peer.ask("ABORT", {"transaction": "tx1"})
    peer.ask("SEND", {"destination": queue}, b"0")
    check(t.left(queue, 1) == bodies(0), "others are left")


@case(
    should(ALL, "a `transaction` header MAY be specified, indicating that the message acknowledgment SHOULD be part of the named transaction"),
)
def acks_wait_for_commit(t):
    queue, peer, messages = filled(t, 2, "client")
    peer.ask("BEGIN", {"transaction": "tx1"})
    peer.ask(*t.ack(messages[0], transaction="tx1"))
    peer.ask("ABORT", {"transaction": "tx1"})
    peer.ask("BEGIN", {"transaction": "tx2"})
    peer.ask(*t.ack(messages[0], transaction="tx2"))
    peer.ask("COMMIT", {"transaction": "tx2"})
    peer.disconnect()
    check(t.left(queue, 1) == bodies(1), "others are left")


@case(should(ALL, "a `transaction` header MAY be specified, indicating that the message acknowledgment SHOULD be part of the named transaction"))
def aborted_acks_are_none(t):
    queue, peer, messages = filled(t, 2, "client")
    peer.ask("BEGIN", {"transaction": "tx1"})
    peer.ask(*t.ack(messages[1], transaction="tx1"))
    peer.ask("ABORT", {"transaction": "tx1"})
    peer.disconnect()
    check(t.left(queue, 2) == bodies(0, 1), "others are left")


@case(states(ALL, "The `transaction` header is REQUIRED"))
def begin_without_a_transaction(t):
    peer = t.connect()
    peer.say("BEGIN")
    peer.error()


@case(must("1.2", "Within the same connection, different transactions MUST use different transaction identifiers."))
def one_identifier_for_two_transactions(t):
    peer = t.connect()
    peer.ask("BEGIN", {"transaction": "tx1"})
    peer.say("BEGIN", {"transaction": "tx1"})
    peer.error()


@case(states("1.2", "the transaction identifier will be used for `SEND`, `COMMIT`, `ABORT`, `ACK`, and `NACK` frames to bind them to the named transaction"))
def two_transactions_side_by_side(t):
    queue, peer = t.queue(), t.connect()
    for name in ("a", "b"):
        peer.ask("BEGIN", {"transaction": name})
    for name in ("a", "b", "a"):
        peer.say("SEND", {"destination": queue, "transaction": name}, name.encode())
    peer.ask("ABORT", {"transaction": "b"})
    peer.ask("COMMIT", {"transaction": "a"})
    check(t.left(queue, 2) == [b"a", b"a"], "others are left")


@case(must(ALL, "The `transaction` header is REQUIRED and MUST specify the identifier of the transaction to commit."))
def commit_without_a_transaction(t):
    for headers in ({}, {"transaction": "never-begun"}):
        peer = t.connect()
        peer.say("COMMIT", headers)
        peer.error()


@case(must(ALL, "The `transaction` header is REQUIRED and MUST specify the identifier of the transaction to abort."))
def abort_without_a_transaction(t):
    for headers in ({}, {"transaction": "never-begun"}):
        peer = t.connect()
        peer.say("ABORT", headers)
        peer.error()


@case(states(LATER, "Any started transactions which have not been committed will be implicitly aborted if the client sends a `DISCONNECT` frame or if the TCP connection fails for any reason."))
def what_is_not_committed_is_aborted(t):
    queue = t.queue()
    for end in ("disconnect", "reset"):
        peer = t.connect()
        peer.ask("BEGIN", {"transaction": "tx1"})
        peer.ask("SEND", {"destination": queue}, end.encode())
        peer.say("SEND", {"destination": queue, "transaction": "tx1"}, b"never")
        getattr(peer, end)()
    check(t.left(queue, 2) == [b"disconnect", b"reset"], "others are left")
