"""SEND, SUBSCRIBE, UNSUBSCRIBE, MESSAGE, RECEIPT, ERROR, DISCONNECT."""

from spec import case, may, must, should, states
from wire import check, encode

ALL = "1.0 1.1 1.2"
LATER = "1.1 1.2"


@case(may(LATER, "A client MAY send a frame not in this list, but for such a frame a STOMP server MAY respond with an `ERROR` frame and then close the connection."))
def an_unknown_command(t):
    peer = t.connect()
    peer.say("PUBLISH", {"destination": t.queue()})
    peer.error()


@case(
    states(ALL, "It has one REQUIRED header, `destination`, which indicates where to send the message."),
    must(LATER, "If the server cannot successfully process the `SEND` frame for any reason, the server MUST send the client an `ERROR` frame and then close the connection."),
)
def send_without_a_destination(t):
    peer = t.connect()
    peer.say("SEND", {"content-type": "text/plain"}, b"x")
    peer.error()


@case(must(LATER, "If the server cannot successfully process the `SEND` frame for any reason, the server MUST send the client an `ERROR` frame and then close the connection."))
def send_in_an_unknown_transaction(t):
    peer = t.connect()
    peer.say("SEND", {"destination": t.queue(), "transaction": "never-begun"}, b"x")
    peer.error()


@case(
    states(ALL, "The body of the `SEND` frame is the message to be sent."),
    states(ALL, "Any messages received on the subscribed destination will henceforth be delivered as `MESSAGE` frames from the server to the client."),
)
def what_is_sent_arrives(t):
    queue, sender, receiver = t.queue(), t.connect(), t.connect()
    t.subscribe(receiver, queue)
    sender.say("SEND", {"destination": queue}, b"hello queue a\n")
    receiver.message(b"hello queue a\n")


@case(
    must(LATER, "The user defined headers MUST be passed through in the `MESSAGE` frame."),
    states(LATER, "`MESSAGE` frames will also include all user defined headers that were present when the message was sent to the destination"),
)
def user_headers_are_passed_on(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    headers = {"colour": "red", "x-Mixed-Case": "1", "with.dots": "2", "with blank": "3", "number": "42"}
    peer.say("SEND", {"destination": queue, **headers}, b"x")
    message = peer.message(b"x")
    for name, value in headers.items():
        check(message.get(name) == value, f"{name} came as {message.get(name)!r}")


@case(states(ALL, "Like the `SEND` frame, the `SUBSCRIBE` frame requires a `destination` header"), must(LATER, "If the server cannot successfully create the subscription, the server MUST send the client an `ERROR` frame and then close the connection."))
def subscribe_without_a_destination(t):
    peer = t.connect()
    peer.say("SUBSCRIBE", {"id": "s"})
    peer.error()


@case(
    states(LATER, "The valid values for the `ack` header are `auto`, `client`, or `client-individual`."),
    states("1.0", "The valid values for *ack* are *auto* (the default if the header is not included) and *client*."),
)
def an_unknown_ack_mode(t):
    peer = t.connect()
    peer.say("SUBSCRIBE", {"id": "s", "destination": t.queue(), "ack": "sometimes"})
    peer.error()


@case(
    states(ALL, "If the header is not set, it defaults to `auto`."),
    states(LATER, "The server will assume the client has received the message as soon as it sends it to the client."),
)
def auto_is_the_default(t):
    queue, peer = t.queue(), t.connect()
    peer.ask("SUBSCRIBE", {"id": "s", "destination": queue})
    peer.ask("SEND", {"destination": queue}, b"x")
    message = peer.message(b"x")
    check(message.get("ack") is None, f"it wants an acknowledgement: {message}")
    peer.disconnect()
    t.left(queue, 0)


@case(states("1.0", "The body of the SUBSCRIBE command is ignored."))
def the_body_of_subscribe_is_ignored(t):
    queue, peer = t.queue(), t.connect()
    peer.ask("SUBSCRIBE", {"id": "s", "destination": queue}, b"body")
    peer.say("SEND", {"destination": queue}, b"x")
    peer.message(b"x")


@case(must(LATER, "Since a single connection can have multiple open subscriptions with a server, an `id` header MUST be included in the frame to uniquely identify the subscription."))
def subscribe_without_an_id(t):
    peer = t.connect()
    peer.say("SUBSCRIBE", {"destination": t.queue()})
    peer.error()


@case(must("1.2", "Within the same connection, different subscriptions MUST use different subscription identifiers."))
def one_id_for_two_subscriptions(t):
    peer = t.connect()
    t.subscribe(peer, t.queue(), "same")
    peer.say("SUBSCRIBE", {"id": "same", "destination": t.queue()})
    peer.error()


@case(
    states(LATER, "a single connection can have multiple open subscriptions with a server"),
    must("1.2", "The `MESSAGE` frame MUST also contain a `subscription` header matching the identifier of the subscription that is receiving the message."),
    states("1.1", "The `subscription` header will be set to match the `id` header of the subscription that is receiving the message."),
    should("1.0", "If an *id* header is supplied then Stomp brokers should append a *subscription* header to any MESSAGE commands which are sent to the client"),
)
def messages_name_their_subscription(t):
    peer = t.connect()
    queues = {f"sub-{n}": t.queue() for n in range(5)}
    for ident, queue in queues.items():
        t.subscribe(peer, queue, ident)
    for ident, queue in queues.items():
        peer.say("SEND", {"destination": queue}, ident.encode())
    for message in [peer.message() for _ in queues]:
        ident = message.body.decode()
        check(message.get("subscription") == ident, f"{ident} came as {message.get('subscription')!r}")


@case(states("1.0", "Stomp brokers may support the *selector* header which allows you to specify an SQL 92 selector on the message headers which acts as a filter for content based routing."))
def selectors_select(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue, selector="colour = 'red'")
    for colour in ("blue", "red"):
        peer.say("SEND", {"destination": queue, "colour": colour}, colour.encode())
    peer.message(b"red")
    peer.quiet()


@case(
    states("1.2", "Once the subscription is removed the STOMP connections will no longer receive messages from that subscription."),
    states("1.1", "Once the subscription is removed the STOMP connections will no longer receive messages from that destination."),
    states("1.0", "The UNSUBSCRIBE command is used to remove an existing subscription - to no longer receive messages from that destination."),
)
def after_unsubscribe_nothing_comes(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    peer.ask("UNSUBSCRIBE", {"id": "s"})
    peer.ask("SEND", {"destination": queue}, b"x")
    peer.quiet()
    check(t.left(queue, 1) == [b"x"], "another message")


@case(must(LATER, "an `id` header MUST be included in the frame to uniquely identify the subscription to remove."))
def unsubscribe_without_an_id(t):
    peer = t.connect()
    queue = t.queue()
    t.subscribe(peer, queue)
    peer.say("UNSUBSCRIBE", {"destination": queue})
    peer.error()


@case(must("1.2", "This header MUST match the subscription identifier of an existing subscription."))
def unsubscribe_of_nothing(t):
    peer = t.connect()
    peer.say("UNSUBSCRIBE", {"id": "never-subscribed"})
    peer.error()


@case(states("1.0", "It requires either a *destination* header or an *id* header (if the previous SUBSCRIBE operation passed an id value)."))
def unsubscribe_by_destination(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue, None)
    peer.ask("UNSUBSCRIBE", {"destination": queue})
    peer.ask("SEND", {"destination": queue}, b"x")
    peer.quiet()


@case(
    must("1.2", "The `MESSAGE` frame MUST include a `destination` header indicating the destination the message was sent to."),
    should("1.2", "If the message has been sent using STOMP, this `destination` header SHOULD be identical to the one used in the corresponding `SEND` frame."),
    states("1.0 1.1", "The MESSAGE frame will include a header, *destination*, indicating the destination the message was delivered to."),
)
def messages_name_their_destination(t):
    queue, peer = t.queue() + ".with.dots", t.connect()
    t.subscribe(peer, queue)
    peer.say("SEND", {"destination": queue}, b"x")
    destination = peer.message(b"x").get("destination")
    check(destination == queue, f"it is {destination!r}")


@case(
    must("1.2", "The `MESSAGE` frame MUST also contain a `message-id` header with a unique identifier for that message"),
    states("1.0 1.1", "It will also contain a `message-id` header with a unique identifier for that message."),
)
def message_ids_are_unique(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue)
    for n in range(20):
        peer.say("SEND", {"destination": queue}, b"%d" % n)
    idents = [peer.message().get("message-id") for _ in range(20)]
    check(all(idents) and len(set(idents)) == 20, f"they are {idents}")


@case(must("1.2", "If the message is received from a subscription that requires explicit acknowledgment (either `client` or `client-individual` mode) then the `MESSAGE` frame MUST also contain an `ack` header with an arbitrary value."))
def messages_that_want_an_ack_say_so(t):
    peer = t.connect()
    for mode in ("client", "client-individual"):
        queue = t.queue()
        t.subscribe(peer, queue, mode, mode)
        peer.say("SEND", {"destination": queue}, b"x")
        check(peer.message(b"x").get("ack"), f"none in mode {mode}")


@case(
    may("1.1 1.2", "Any client frame other than `CONNECT` MAY specify a `receipt` header with an arbitrary value."),
    states("1.0", "Any client frame other than CONNECT may specify a *receipt* header with an arbitrary value."),
    must("1.2", "A `RECEIPT` frame MUST include the header `receipt-id`, where the value is the value of the `receipt` header in the frame which this is a receipt for."),
    states("1.0 1.1", "A `RECEIPT` frame will include the header `receipt-id`, where the value is the value of the `receipt` header in the frame which this is a receipt for."),
    states("1.0 1.1", "The receipt body will be empty."),
)
def receipts_for_every_frame(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue, ack="client")
    peer.ask("BEGIN", {"transaction": "t"})
    peer.ask("COMMIT", {"transaction": "t"})
    peer.ask("BEGIN", {"transaction": "u"})
    peer.ask("ABORT", {"transaction": "u"})
    peer.ask("SEND", {"destination": queue}, b"1")
    peer.ask(*t.ack(peer.message(b"1")))
    if t.version != "1.0":
        peer.ask("SEND", {"destination": queue}, b"2")
        peer.ask(*t.ack(peer.message(b"2"), "NACK"))
    peer.ask("UNSUBSCRIBE", {"id": "s"})
    peer.ask("DISCONNECT")


@case(states(ALL, "a `receipt` header with an arbitrary value"))
def receipts_are_arbitrary(t):
    peer, queue = t.connect(), t.queue()
    receipts = ["message-12345", "a b", "x" * 200, "{\"json\"}"]
    receipts += ["a:b\\c\nd", "ü✓"] if t.version != "1.0" else []
    for receipt in receipts:
        peer.say("SEND", {"destination": queue, "receipt": receipt}, b"x")
        got = peer.frame()
        check(got.command == "RECEIPT" and got.get("receipt-id") == receipt, f"for {receipt!r}: {got}")


@case(
    states("1.2", "the receipt is also a cumulative acknowledgment that all the previous frames have been _received_ by the server"),
)
def receipts_come_in_order(t):
    queue, peer = t.queue(), t.connect()
    frames = [encode("SEND", {"destination": queue, "receipt": f"{n}"}, b"x", t.version) for n in range(300)]
    peer.raw(b"".join(frames))
    got = [peer.frame().get("receipt-id") for _ in frames]
    check(got == [f"{n}" for n in range(300)], "they do not")


@case(
    should("1.2", "If the client disconnects, previously received frames SHOULD continue to get processed by the server."),
)
def what_was_sent_before_a_close_counts(t):
    queue, peer = t.queue(), t.connect()
    peer.raw(b"".join(encode("SEND", {"destination": queue}, b"%d" % n, t.version) for n in range(20)))
    peer.raw(b"DISCONNECT\n\n\0")
    peer.close()
    receiver = t.connect()
    t.subscribe(receiver, queue)
    check(receiver.bodies(20) == [b"%d" % n for n in range(20)], "not all of them, in order")


@case(
    must(LATER, "The server MAY send `ERROR` frames if something goes wrong. In this case, it MUST then close the connection just after sending the `ERROR` frame."),
    should(ALL, "The `ERROR` frame SHOULD contain a `message` header with a short description of the error"),
    should(LATER, "if the frame included a receipt header, the `ERROR` frame SHOULD set the `receipt-id` header to match the value of the `receipt` header of the frame which the error is related to"),
)
def errors_say_what_went_wrong(t):
    peer = t.connect()
    peer.say("SEND", {"receipt": "message-12345"}, b"x")
    error = peer.error()
    check(error.get("message"), f"no message: {error}")
    check(t.version == "1.0" or error.get("receipt-id") == "message-12345", f"no receipt-id: {error}")


@case(
    states(LATER, "To do a graceful shutdown, where the client is assured that all previous frames have been received by the server"),
    states("1.0", "DISCONNECT does a graceful disconnect from the server."),
)
def a_graceful_end(t):
    queue, peer = t.queue(), t.connect()
    for n in range(20):
        peer.say("SEND", {"destination": queue}, b"%d" % n)
    peer.ask("DISCONNECT")
    peer.end()
    check(t.left(queue, 20) == [b"%d" % n for n in range(20)], "not all of them, in order")


@case(states(LATER, "A client can disconnect from the server at anytime by closing the socket"))
def no_messages_after_the_receipt_of_disconnect(t):
    queue, sender, peer = t.queue(), t.connect(), t.connect()
    t.subscribe(peer, queue)
    frames = [encode("SEND", {"destination": queue}, b"x", t.version) for _ in range(100)]
    sender.raw(b"".join(frames))
    peer.message(b"x")
    peer.ask("DISCONNECT")
    peer.end()


@case(
    must("1.1", "STOMP servers MUST support clients which rapidly connect and disconnect."),
    states("1.2", "STOMP servers must be able to support clients which rapidly connect and disconnect."),
)
def clients_that_come_and_go(t):
    queue = t.queue()
    for n in range(50):
        peer = t.connect()
        peer.say("SEND", {"destination": queue}, b"x")
        peer.say("DISCONNECT")
        peer.close()
    receiver = t.connect()
    t.subscribe(receiver, queue)
    check(receiver.bodies(50) == [b"x"] * 50, "not all messages are there")
