"""Stock `stomp.py` against a broker: what its users do, in each version it speaks."""

import os
import random
import time

import stomp.exception

from harness import expect, finish, scenario, tried, unique, until
from session import BYTES_OVER_WEBSOCKET, Session, notices_close, over_websocket


def a_queue():
    return "/queue/" + unique("q")


def a_topic():
    return "/topic/" + unique("t")


def bodies(messages):
    return [m.body.decode() for m in messages]


def expect_nothing_but_sentinel(s, destination):
    """Nothing else may come before a message sent now."""
    s.send(destination, "sentinel")
    expect("next message", s.message().body, b"sentinel")


def connect(v):
    with Session(v) as s:
        connected = s.inbox.connected.headers
        expect("version", connected.get("version", "1.0"), v)
        expect("session", bool(connected.get("session")), True)


def body_bytes(v):
    sent = [bytes(range(256)) * 4, b"", "Grüße, 世界 🦀".encode(), random.Random(7).randbytes(1 << 20), b"a\0b"]
    with Session(v) as s:
        to = a_queue()
        for body in sent:
            s.send_sure(to, body, content_type="application/octet-stream")
        s.subscribe(to)
        for body in sent:
            got = s.message()
            expect("body", got.body == body, True)
            expect("content-length", got.headers.get("content-length"), str(len(body)))
            expect("content-type", got.headers.get("content-type"), "application/octet-stream")


def queue_starts_at_the_earliest(v):
    with Session(v) as s:
        to = a_queue()
        for i in range(5):
            s.send_sure(to, f"m{i}")
        s.subscribe(to)
        got = s.messages(5)
        expect("order", bodies(got), ["m0", "m1", "m2", "m3", "m4"])
        expect("destination", got[0].headers["destination"], to)
        expect("subscription", got[0].headers.get("subscription"), "1")


def queue_competing_consumers(v):
    to = a_queue()
    with Session(v) as a, Session(v) as b, Session(v) as sender:
        for s in (a, b):
            s.subscribe(to, ack="client", prefetch_count="1")
        for i in range(20):
            sender.send_sure(to, f"m{i}")
        got = []
        for _ in range(10):  # each acknowledges only when the other had its turn
            pair = [(s, s.message()) for s in (a, b)]
            for s, m in pair:
                s.ack_sure(m)
                got.append(m.body.decode())
        expect("all, once", sorted(got), sorted(f"m{i}" for i in range(20)))


def redelivery_to_the_other_after_a_drop(v):
    to = a_queue()
    with Session(v) as a, Session(v) as b:
        a.subscribe(to, ack="client")
        for i in range(3):
            a.send_sure(to, f"m{i}")
        expect("first", bodies(a.messages(3)), ["m0", "m1", "m2"])
        b.subscribe(to, ack="client")
        a.drop()
        again = b.messages(3)
        expect("in order", bodies(again), ["m0", "m1", "m2"])
        expect("redelivered", {m.headers["redelivered"] for m in again}, {"true"})
        b.ack_sure(again[2])
        expect_nothing_but_sentinel(b, to)


def topic_only_new_and_to_each(v):
    to = a_topic()
    with Session(v) as a, Session(v) as b:
        a.send_sure(to, "before")
        a.subscribe(to)
        b.subscribe(to)
        wanted = [f"m{i}" for i in range(6)]
        for body in wanted:
            a.send(to, body)
        for s in (a, b):
            expect("bodies", sorted(bodies(s.messages(6))), wanted)


def topic_sees_what_follows_subscribe_at_once(v):
    to = a_topic()
    with Session(v) as s:
        s.client.subscribe(to, id="1")
        s.send(to, "right behind")
        expect("body", s.message().body, b"right behind")


def group_shares_and_groups_do_not(v):
    x = unique("x")
    one, two = (f"/group/{unique('g')}/{x}" for _ in range(2))
    with Session(v) as a, Session(v) as b, Session(v) as c:
        a.send_sure("/queue/" + x, "m0")  # a new group starts at the earliest
        c.subscribe(two)
        a.subscribe(one, ack="client", prefetch_count="1")
        shared = [a.message()]
        b.subscribe(one, ack="client", prefetch_count="1")
        c.send_sure("/topic/" + x, "m1")
        shared.append(b.message())  # a still holds its only message
        expect("shared", sorted(bodies(shared)), ["m0", "m1"])
        expect("other group", sorted(bodies(c.messages(2))), ["m0", "m1"])


def group_from_latest(v):
    x = unique("x")
    with Session(v) as s:
        s.send_sure("/queue/" + x, "before")
        s.subscribe(f"/group/{unique('g')}/{x}", **{"from": "latest"})
        expect_nothing_but_sentinel(s, "/queue/" + x)


def ack_auto(v):
    to = a_queue()
    with Session(v) as s:
        s.send_sure(to, "seen")
        s.subscribe(to)
        expect("ack header", "ack" in s.message().headers, False)
    with Session(v) as s:
        s.subscribe(to)
        expect_nothing_but_sentinel(s, to)


def ack_client_is_cumulative(v):
    to = a_queue()
    with Session(v) as s:
        for i in range(4):
            s.send_sure(to, f"m{i}")
        s.subscribe(to, ack="client")
        s.ack_sure(s.messages(4)[2])
    with Session(v) as s:
        s.subscribe(to, ack="client")
        expect("left", s.message().body, b"m3")
        expect_nothing_but_sentinel(s, to)


def ack_client_individual(v):
    to = a_queue()
    with Session(v) as s:
        for i in range(3):
            s.send_sure(to, f"m{i}")
        s.subscribe(to, ack="client-individual")
        s.ack_sure(s.messages(3)[1])
    with Session(v) as s:
        s.subscribe(to)
        got = s.messages(2)
        expect("left", bodies(got), ["m0", "m2"])
        expect("redelivered", [m.headers["redelivered"] for m in got], ["true", "true"])


def nack_redelivers(v):
    to = a_queue()
    with Session(v) as s:
        s.send_sure(to, "again")
        s.subscribe(to, ack="client-individual")
        first = s.message()
        s.nack(first)
        second = s.message()
        expect("redelivered", [m.headers["redelivered"] for m in (first, second)], ["false", "true"])
        expect("message-id", second.headers["message-id"], first.headers["message-id"])
        s.ack_sure(second)
        expect_nothing_but_sentinel(s, to)


def nack_without_requeue_is_a_dead_letter(v):
    x, group = unique("q"), unique("g")
    with Session(v) as s:
        s.send_sure("/queue/" + x, "poison")
        s.subscribe(f"/group/{group}/{x}", ack="client-individual")
        s.nack(s.message(), requeue="false")
        expect_nothing_but_sentinel(s, "/queue/" + x)
        s.subscribe(f"/amq/queue/%DLQ%{group}", id="dead")
        expect("dead letter", s.message(id="dead").body, b"poison")


def receipts_in_order(v):
    with Session(v) as s:
        to = a_queue()
        for i in range(100):
            s.send(to, f"m{i}", receipt=f"s-{i}")
        got = [s.frame("RECEIPT").headers["receipt-id"] for _ in range(100)]
        expect("order", got, [f"s-{i}" for i in range(100)])


def disconnect_receipt(v):
    to = a_queue()
    with Session(v) as s:
        s.send(to, "last words")
        s.client.disconnect(receipt="bye")
        until("receipt and close", lambda: s.inbox.closed and "bye" in s.inbox.receipts)
    with Session(v) as s:
        s.subscribe(to)
        expect("body", s.message().body, b"last words")


def transaction_commit(v):
    to = a_queue()
    with Session(v) as s:
        s.subscribe(to)
        tx = s.client.begin()
        for i in range(2):
            s.send(to, f"in{i}", transaction=tx)
        s.send_sure(to, "outside")
        expect("first", s.message().body, b"outside")
        s.with_receipt(lambda r: s.client.commit(tx, receipt=r))
        expect("then", bodies(s.messages(2)), ["in0", "in1"])


def transaction_abort(v):
    to = a_queue()
    with Session(v) as s:
        s.subscribe(to)
        tx = s.client.begin()
        s.send(to, "never", transaction=tx)
        s.with_receipt(lambda r: s.client.abort(tx, receipt=r))
        expect_nothing_but_sentinel(s, to)


def transaction_ack(v):
    to = a_queue()
    with Session(v) as s:
        s.send_sure(to, "once")
        s.subscribe(to, ack="client")
        got = s.message()
        tx = s.client.begin()
        s.ack(got, transaction=tx)
        s.with_receipt(lambda r: s.client.abort(tx, receipt=r))
        tx = s.client.begin()
        s.ack(got, transaction=tx)  # the id outlives the aborted transaction
        s.with_receipt(lambda r: s.client.commit(tx, receipt=r))
    with Session(v) as s:
        s.subscribe(to)
        expect_nothing_but_sentinel(s, to)


def header_escapes(v):
    value = {"1.0": "a:b ünï ✓", "1.1": "a:b\\c\nd ünï ✓ ", "1.2": "a:b\\c\nd\re ünï ✓ "}[v]
    with Session(v) as s:
        to = a_queue()
        s.send_sure(to, "x", x_value=value)
        s.subscribe(to)
        expect("value", s.message().headers.get("x-value"), value)


def repeated_headers(v):
    with Session(v) as s:
        to = a_queue()
        s.send_sure(to, "x", x_many=("one", "two"))  # a tuple is sent as repeated lines
        s.subscribe(to)
        expect("the first counts", s.message().headers.get("x-many"), "one")


def heart_beats(v):
    with Session(v, heartbeats=(1000, 1000)) as s:
        until("three beats", lambda: s.inbox.beats >= 3)
        s.send_sure(a_queue(), "still there")


def silent_client_is_dropped(v):
    to = a_queue()
    with Session(v) as other, Session(v, headers={"heart-beat": "1000,0"}) as s:
        other.send_sure(to, "held by the silent")
        s.subscribe(to, ack="client")
        s.message()
        other.subscribe(to)
        if notices_close():
            until("closed", lambda: s.inbox.closed)
        expect("redelivered", other.message().body, b"held by the silent")


def error(provoke, receipt="mine"):
    def body(v):
        with Session(v) as s:
            provoke(s)
            frame = s.error_and_close()
            expect("message", bool(frame.headers.get("message")), True)
            expect("receipt-id", frame.headers.get("receipt-id"), receipt)
    return body


def ack_of_nothing(s):
    s.subscribe(a_queue(), ack="client")
    s.ack(stomp.utils.Frame("MESSAGE", {"ack": "nope", "message-id": "nope", "subscription": "1"}), receipt="mine")


def tag_filter(v):
    with Session(v) as s:
        to = a_topic()
        s.subscribe(to, tag="a||c")
        for i, tag in enumerate("abcba"):
            s.send_sure(to, f"{tag}{i}", tag=tag)
        got = s.messages(3)
        expect("bodies", sorted(bodies(got)), ["a0", "a4", "c2"])
        expect("tags", sorted(m.headers.get("tag", "") for m in got), ["a", "a", "c"])


def selector(v):
    with Session(v) as s:
        to = a_topic()
        s.subscribe(to, selector="price > 9.5 AND kind LIKE 'a%' AND note IS NULL")
        for price, kind in [("9", "a1"), ("10", "b1"), ("10", "a2"), ("11.5", "a3")]:
            s.send_sure(to, kind + price, price=price, kind=kind)
        s.send_sure(to, "noted", price="20", kind="a", note="x")
        s.send_sure(to, "last", price="20", kind="az")
        expect("bodies", sorted(bodies(s.messages(3))), ["a210", "a311.5", "last"])


def delay(v):
    with Session(v) as s:
        to = a_queue()
        s.subscribe(to)
        started = time.monotonic()
        s.send_sure(to, "later", delay="1200")
        s.send_sure(to, "now")
        came = {s.message().body: time.monotonic() - started for _ in range(2)}
        expect("bodies", sorted(came), [b"later", b"now"])
        expect("waited", came[b"later"] > 1.15, True)


def version_mismatch():
    s = Session("1.2", wait=False, accept_version="9.9")
    expect("version", s.error_and_close().headers.get("version"), "1.0,1.1,1.2")


def wrong_passcode():
    try:
        Session("1.2", passcode="certainly wrong")
    except stomp.exception.ConnectFailedException:
        return
    raise AssertionError("connected with a wrong passcode")


EVERY = {
    "connect": connect,
    "bodies": body_bytes,
    "queue-starts-at-the-earliest": queue_starts_at_the_earliest,
    "queue-competing-consumers": queue_competing_consumers,
    "redelivery-to-the-other-after-a-drop": redelivery_to_the_other_after_a_drop,
    "topic-only-new-and-to-each": topic_only_new_and_to_each,
    "topic-sees-what-follows-subscribe-at-once": topic_sees_what_follows_subscribe_at_once,
    "group-shares-and-groups-do-not": group_shares_and_groups_do_not,
    "group-from-latest": group_from_latest,
    "ack-auto": ack_auto,
    "ack-client-is-cumulative": ack_client_is_cumulative,
    "receipts-in-order": receipts_in_order,
    "disconnect-receipt": disconnect_receipt,
    "transaction-commit": transaction_commit,
    "transaction-abort": transaction_abort,
    "transaction-ack": transaction_ack,
    "header-escapes": header_escapes,
    "repeated-headers": repeated_headers,
    "tag-filter": tag_filter,
    "selector": selector,
    "delay": delay,
    "error-bad-destination": error(lambda s: s.send("/queue/", "x", receipt="mine")),
    "error-unknown-transaction": error(lambda s: s.client.commit("nope", receipt="mine")),
    "error-unknown-ack-id": error(ack_of_nothing),
}
FROM_1_1 = {
    "ack-client-individual": ack_client_individual,
    "nack-redelivers": nack_redelivers,
    "nack-without-requeue-is-a-dead-letter": nack_without_requeue_is_a_dead_letter,
    "heart-beats": tried(heart_beats),
    "silent-client-is-dropped": tried(silent_client_is_dropped),
    "error-unknown-unsubscribe-id": error(lambda s: s.client.unsubscribe(id="nope", receipt="mine")),
}

OVER_WEBSOCKET = [
    "connect", "bodies", "queue-starts-at-the-earliest", "redelivery-to-the-other-after-a-drop",
    "topic-sees-what-follows-subscribe-at-once", "ack-client-is-cumulative", "receipts-in-order",
    "transaction-commit", "header-escapes", "nack-redelivers", "heart-beats", "silent-client-is-dropped",
    "error-bad-destination",
]


def websocket(body):
    def run(v):
        with over_websocket():
            body(v)
    return run


for version in ("1.0", "1.1", "1.2"):
    for name, body in EVERY.items():
        scenario(f"{version}/{name}", body, version)
    if version != "1.0":
        for name, body in FROM_1_1.items():
            scenario(f"{version}/{name}", body, version)
for name in OVER_WEBSOCKET:
    if name != "bodies" or BYTES_OVER_WEBSOCKET:
        scenario(f"1.2/ws-{name}", websocket({**EVERY, **FROM_1_1}[name]), "1.2")
scenario("version-mismatch-names-what-is-spoken", version_mismatch)
if os.environ.get("STOMP_LOGIN"):
    scenario("wrong-passcode-is-refused", wrong_passcode)
finish()
