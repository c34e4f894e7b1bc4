"""What RabbitMQ and ActiveMQ mean by headers of their own: run against Sluice, and against the broker that they are from."""

import uuid

from spec import dialect
from wire import check


def named(kind):
    return f"conformance-{kind}-{uuid.uuid4().hex[:12]}"


@dialect("rabbitmq")
def rabbitmq_durable_subscription(t):
    topic, ident, sender = "/topic/" + named("topic"), named("durable"), t.connect()
    durable = {"durable": "true", "auto-delete": "false"}
    for body in (b"1", b"2"):
        peer = t.connect()
        peer.ask("SUBSCRIBE", {"id": ident, "destination": topic, **durable})
        if body == b"2":
            peer.message(b"while away")
        sender.ask("SEND", {"destination": topic}, body)
        peer.message(body)
        peer.disconnect()
        sender.ask("SEND", {"destination": topic}, b"while away")
    peer = t.connect()
    peer.ask("SUBSCRIBE", {"id": ident, "destination": topic, **durable})
    peer.message(b"while away")
    peer.ask("UNSUBSCRIBE", {"id": ident, "destination": topic, **durable})
    sender.ask("SEND", {"destination": topic}, b"to nobody")
    peer.ask("SUBSCRIBE", {"id": ident, "destination": topic, **durable})
    peer.quiet()
    peer.ask("UNSUBSCRIBE", {"id": ident, "destination": topic, **durable})


@dialect("rabbitmq")
def rabbitmq_durable_subscriptions_are_shared(t):
    topic, ident, sender = "/topic/" + named("topic"), named("durable"), t.connect()
    durable = {"durable": "true", "auto-delete": "false"}
    peers = [t.connect(), t.connect()]
    one_at_a_time = {"ack": "client-individual", "prefetch-count": "1"}
    for peer in peers:
        peer.ask("SUBSCRIBE", {"id": ident, "destination": topic, **durable, **one_at_a_time})
    for n in range(4):
        sender.ask("SEND", {"destination": topic}, b"%d" % n)
    bodies = []
    for _ in range(2):  # who has one that waits for its ACK gets no other, so each gets two
        messages = [peer.message() for peer in peers]
        bodies += [message.body for message in messages]
        for peer, message in zip(peers, messages):
            peer.ask(*t.ack(message))
    check(sorted(bodies) == [b"0", b"1", b"2", b"3"], f"they got {bodies}")


@dialect("rabbitmq")
def rabbitmq_answers_without_a_subscription(t):
    queue, client, service = t.queue(), t.connect(), t.connect()
    t.subscribe(service, queue)
    for number in ("42", "43"):
        client.ask("SEND", {"destination": queue, "reply-to": "/temp-queue/me", "correlation-id": number}, b"ask")
        asked = service.message(b"ask")
        address = asked.get("reply-to", "")
        check(address.startswith("/reply-queue/"), f"the address is {address!r}")
        service.ask("SEND", {"destination": address, "correlation-id": asked.get("correlation-id")}, b"answer")
        answer = client.message(b"answer")
        check(answer.get("subscription") == "/temp-queue/me", f"another subscription: {answer}")
        check(answer.get("correlation-id") == number, f"another answer: {answer}")


@dialect("rabbitmq")
def rabbitmq_prefetch(t):
    queue, peer = t.queue(), t.connect()
    for n in range(4):
        peer.ask("SEND", {"destination": queue}, b"%d" % n)
    t.subscribe(peer, queue, ack="client-individual", prefetch_count="2")
    first = peer.message(b"0")
    peer.message(b"1")
    peer.quiet()
    peer.say(*t.ack(first))
    peer.message(b"2")
    peer.quiet()


@dialect("activemq")
def activemq_durable_subscription(t):
    topic, name, client, sender = "/topic/" + named("topic"), named("name"), named("client"), t.connect()
    durable = {"id": "1", "destination": topic, "activemq.subscriptionName": name}
    for body in (b"1", b"2"):
        peer = t.connect(client_id=client)
        peer.ask("SUBSCRIBE", durable)
        if body == b"2":
            peer.message(b"while away")
        sender.ask("SEND", {"destination": topic}, body)
        peer.message(body)
        peer.disconnect()
        sender.ask("SEND", {"destination": topic}, b"while away")
    peer = t.connect(client_id=client)
    peer.ask("SUBSCRIBE", durable)
    peer.message(b"while away")
    peer.ask("UNSUBSCRIBE", {"id": "1"})
    sender.ask("SEND", {"destination": topic}, b"still waits")
    peer.ask("SUBSCRIBE", durable)
    peer.message(b"still waits")
    peer.ask("UNSUBSCRIBE", {"id": "1"})
    peer.ask("UNSUBSCRIBE", {"id": "1", "activemq.subscriptionName": name})
    sender.ask("SEND", {"destination": topic}, b"to nobody")
    peer.ask("SUBSCRIBE", durable)
    peer.quiet()


@dialect("activemq")
def activemq_durable_subscription_needs_a_client_id(t):
    peer = t.connect()
    peer.say("SUBSCRIBE", {"id": "1", "destination": "/topic/" + named("topic"), "activemq.subscriptionName": "n"})
    peer.error()


@dialect("activemq")
def activemq_temporary_queue(t):
    queue, client, service = t.queue(), t.connect(), t.connect()
    t.subscribe(service, queue)
    t.subscribe(client, "/temp-queue/me", "answers")
    client.ask("SEND", {"destination": queue, "reply-to": "/temp-queue/me"}, b"ask")
    address = service.message(b"ask").get("reply-to", "")
    service.ask("SEND", {"destination": address}, b"answer")
    check(client.message(b"answer").get("subscription") == "answers", "another subscription")


@dialect("activemq")
def activemq_prefetch(t):
    queue, peer = t.queue(), t.connect()
    for n in range(4):
        peer.ask("SEND", {"destination": queue}, b"%d" % n)
    peer.ask("SUBSCRIBE", {"id": "s", "destination": queue, "ack": "client-individual", "activemq.prefetchSize": "2"})
    first = peer.message(b"0")
    peer.message(b"1")
    peer.quiet()
    peer.say(*t.ack(first))
    peer.message(b"2")
    peer.quiet()


@dialect("activemq")
def activemq_selector(t):
    queue, peer = t.queue(), t.connect()
    t.subscribe(peer, queue, selector="colour = 'red'")
    for colour in ("blue", "red"):
        peer.say("SEND", {"destination": queue, "colour": colour}, colour.encode())
    peer.message(b"red")
    peer.quiet()


@dialect("activemq")
def activemq_request_id(t):
    peer = t.connect(request_id="request-7")
    check(peer.connected.get("response-id") == "request-7", f"it is not told: {peer.connected}")


@dialect("activemq")
def activemq_browser(t):
    queue, client = t.queue(), t.connect()
    for body in (b"1", b"2"):
        client.ask("SEND", {"destination": queue}, body)
    client.ask("SUBSCRIBE", {"id": "look", "destination": queue, "browser": "true"})
    check(client.bodies(2) == [b"1", b"2"], "other messages")
    end = client.message(b"")
    told = (end.get("browser"), end.get("subscription"), end.get("destination"))
    check(told == ("end", "look", queue), f"another end: {end}")
    client.ask("UNSUBSCRIBE", {"id": "look"})
    t.subscribe(client, queue, "take")
    check(client.bodies(2) == [b"1", b"2"], "something was taken")


@dialect("activemq")
def activemq_no_local(t):
    topic, client, other = "/topic/" + named("topic"), t.connect(), t.connect()
    client.ask("SUBSCRIBE", {"id": "1", "destination": topic, "activemq.noLocal": "true"})
    client.ask("SEND", {"destination": topic}, b"own")
    other.ask("SEND", {"destination": topic}, b"another's")
    client.message(b"another's")
    client.quiet()
