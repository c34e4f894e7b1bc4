"""The stock SDK of the cloud's HTTP protocol, PyPI mq_http_sdk, against a broker."""

import hashlib
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import expect, finish, scenario, unique, until  # noqa: E402

from mq_http_sdk import mq_client  # noqa: E402
from mq_http_sdk.mq_client import MQClient  # noqa: E402
from mq_http_sdk.mq_exception import MQExceptionBase  # noqa: E402
from mq_http_sdk.mq_producer import TopicMessage  # noqa: E402

HOST = "http://" + os.environ["HTTP_ADDR"]
USER = os.environ.get("ACL_USER", "anyone")
SECRET = os.environ.get("ACL_SECRET", "anything")
# The broker's http.mq.invisible_time and http.mq.order_invisible_time.
LEASE = float(os.environ.get("MQ_LEASE_SECONDS", "300"))
HAS_USERS = "ACL_USER" in os.environ


def client(user=USER, secret=SECRET):
    return MQClient(HOST, user, secret)


def names():
    return unique("topic"), "GID_" + unique("group")


def publish(topic, body, tag="", instance="", **properties):
    message = TopicMessage(body, tag)
    for name, value in properties.items():
        if name == "key":
            message.set_message_key(value)
        elif name == "sharding_key":
            message.set_sharding_key(value)
        elif name == "at":
            message.set_start_deliver_time(value)
        elif name == "check":
            message.set_trans_check_immunity_time(value)
        else:
            message.put_property(name, value)
    return client().get_producer(instance, topic).publish_message(message)


def fails(kind, call, *args):
    try:
        call(*args)
    except MQExceptionBase as error:
        expect("the error", error.type, kind)
        return error
    raise AssertionError(f"no {kind}")


def none(consumer, *args):
    fails("MessageNotExist", consumer.consume_message, *args)


def everything_comes_back():
    topic, group = names()
    body = "grün € 😀 <tag a='1'>&amp; \"quoted\"</tag>\n\ttab, line\n ]]> end "
    sent = publish(topic, body, "TagA", key="order-17", colour="red")
    expect("digest", sent.message_body_md5, hashlib.md5(body.encode()).hexdigest().upper())
    consumer = client().get_consumer("", topic, group)
    [got] = consumer.consume_message(16, 10)
    expect("body", got.message_body, body)
    expect("id", got.message_id, sent.message_id)
    expect("digest", got.message_body_md5, sent.message_body_md5)
    expect("tag", got.message_tag, "TagA")
    expect("key", got.get_message_key(), "order-17")
    expect("property", got.get_property("colour"), "red")
    expect("times", got.consumed_times, 1)
    now = time.time() * 1000
    for moment in (got.publish_time, got.first_consume_time):
        assert abs(now - moment) < 30000, moment
    lease = got.next_consume_time - now
    assert (LEASE - 30) * 1000 < lease < (LEASE + 30) * 1000, lease
    consumer.ack_message([got.receipt_handle])
    none(consumer)


def tags_select():
    topic, group = names()
    for tag in ("A", "B", "C"):
        publish(topic, "of " + tag, tag)
    consumer, bodies = client().get_consumer("", topic, group, "A||C"), set()

    def take():
        for message in consumer.consume_message(16, 10):
            bodies.add(message.message_body)
            consumer.ack_message([message.receipt_handle])

    while len(bodies) < 2:
        take()
    expect("bodies", sorted(bodies), ["of A", "of C"])
    none(consumer)


def long_poll_wakes():
    topic, group = names()
    publish(topic, "first")
    consumer = client().get_consumer("", topic, group)
    consumer.ack_message([consumer.consume_message(1, 5)[0].receipt_handle])
    timer = threading.Timer(0.5, publish, (topic, "second"))
    began = time.monotonic()
    timer.start()
    expect("body", consumer.consume_message(1, 30)[0].message_body, "second")
    assert 0.4 < time.monotonic() - began < 25  # before the poll's own end
    began = time.monotonic()
    none(consumer, 1, 1)
    assert 0.8 < time.monotonic() - began < 25


def redelivered_after_the_lease():
    topic, group = names()
    publish(topic, "again")
    consumer = client().get_consumer("", topic, group)
    [first] = consumer.consume_message(1, 5)
    [second] = consumer.consume_message(1, 30)  # nothing before the lease is over
    assert time.time() * 1000 >= first.next_consume_time - 50, "too early"
    expect("times", second.consumed_times, 2)
    expect("first", second.first_consume_time, first.first_consume_time)
    expect("id", second.message_id, first.message_id)
    error = fails("ReceiptHandleError", consumer.ack_message, [first.receipt_handle, second.receipt_handle])
    expect("bad handles", [e["ReceiptHandle"] for e in error.sub_errors], [first.receipt_handle])
    consumer.ack_message([second.receipt_handle])  # the good one of the two is settled, and saying so again is fine
    none(consumer)


def delayed():
    topic, group = names()
    at = int(time.time() * 1000) + 2000
    publish(topic, "later", at=at)
    publish(topic, "past", at=1000)
    consumer = client().get_consumer("", topic, group)
    came = {}
    for _ in range(2):
        [got] = consumer.consume_message(1, 30)
        came[got.message_body] = got, time.time() * 1000
        consumer.ack_message([got.receipt_handle])
    expect("bodies", sorted(came), ["later", "past"])
    later, moment = came["later"]
    assert moment >= at, "too early"
    expect("time", later.get_start_deliver_time(), at)
    fails("InvalidArgument", lambda: publish(topic, "x", at=int(time.time() * 1000) + 100 * 86400 * 1000))


def ordered():
    topic, group = names()
    for n in range(4):
        publish(topic, f"a{n}", sharding_key="a")
    publish(topic, "b0", sharding_key="b")
    consumer = client().get_consumer("", topic, group)
    got = []

    def take():
        try:
            got.extend(consumer.consume_message_orderly(3, 1))
        except MQExceptionBase as error:
            expect("the error", error.type, "MessageNotExist")
        return len([m for m in got if m.get_sharding_key() == "a"]) >= 3

    until("three of a", take)
    of_a = [m for m in got if m.get_sharding_key() == "a"]
    expect("a run, in order", [m.message_body for m in of_a], ["a0", "a1", "a2"])
    other = client().get_consumer("", topic, group)
    try:
        more = [m.message_body for m in other.consume_message_orderly(16)]
    except MQExceptionBase:
        more = []
    assert not [body for body in more if body.startswith("a")], more
    consumer.ack_message([of_a[0].receipt_handle, of_a[1].receipt_handle])
    got.clear()
    until("the rest of a", lambda: take() or len([m for m in got if m.get_sharding_key() == "a"]) == 2)
    rest = [m for m in got if m.get_sharding_key() == "a"]
    expect("what was not settled, then the next", [m.message_body for m in rest], ["a2", "a3"])
    expect("times", [m.consumed_times for m in rest], [2, 1])


def transactions():
    topic, group = names()
    consumer = client().get_consumer("", topic, "GID_c" + group)
    producer = client().get_trans_producer("", topic, group)
    halves = {}
    for body in ("committed", "rolled back", "asked about"):
        message = TopicMessage(body)
        message.set_trans_check_immunity_time(10)
        halves[body] = producer.publish_message(message).receipt_handle
        assert halves[body]
    began = time.monotonic()
    none(consumer, 1)
    producer.commit(halves["committed"])
    producer.commit(halves["committed"])
    producer.rollback(halves["rolled back"])
    fails("ReceiptHandleError", producer.commit, halves["rolled back"])
    [got] = consumer.consume_message(1, 5)
    expect("body", got.message_body, "committed")
    consumer.ack_message([got.receipt_handle])
    fails("MessageNotExist", producer.consume_half_message, 3)
    [half] = producer.consume_half_message(3, 30)
    assert time.monotonic() - began > 9, "asked too early"
    expect("body", half.message_body, "asked about")
    expect("times", half.consumed_times, 1)
    producer.commit(half.receipt_handle)
    [got] = consumer.consume_message(1, 5)
    expect("body", got.message_body, "asked about")
    expect("immunity", got.get_trans_check_immunity_time(), 10)


def instances():
    topic, group = names()
    publish(topic, "theirs", instance="MQ_INST_1_a")
    fails("TopicNotExist", client().get_consumer("", topic, group).consume_message)
    fails("TopicNotExist", client().get_consumer("MQ_INST_2_b", topic, group).consume_message)
    consumer = client().get_consumer("MQ_INST_1_a", topic, group)
    [got] = consumer.consume_message(1, 5)
    expect("body", got.message_body, "theirs")
    consumer.ack_message([got.receipt_handle])


def error_names():
    topic, group = names()
    error = fails("TopicNotExist", client().get_consumer("", topic, group).consume_message)
    expect("host", error.host_id, HOST)
    expect("request id", len(error.req_id), 24)
    publish(topic, "x")
    fails("SubscriptionNotExist", client().get_consumer("", topic, group).ack_message, ["h"])
    fails("InvalidArgument", publish, "a.b", "x")
    fails("MalformedXML", publish, topic, "\x01")
    consumer = client().get_consumer("", topic, group)
    consumer.consume_message(1, 5)
    error = fails("ReceiptHandleError", consumer.ack_message, ["h1", "h2"])
    expect("each", [sorted(e) for e in error.sub_errors], [["ErrorCode", "ErrorMessage", "ReceiptHandle"]] * 2)


def debug_mode():
    """In debug mode the SDK wants the response headers letter for letter."""
    topic, group = names()
    loud = MQClient(HOST, USER, SECRET, debug=True)
    out, sys.stdout = sys.stdout, open(os.devnull, "w")
    try:
        loud.get_producer("", topic).publish_message(TopicMessage("x"))
        consumer = loud.get_consumer("", topic, group)
        [got] = consumer.consume_message(1, 5)
        consumer.ack_message([got.receipt_handle])
    finally:
        sys.stdout = out


def who_is_let_in():
    topic, group = names()
    publish(topic, "x")
    consume = lambda user, secret, of=topic: client(user, secret).get_consumer("", of, group).consume_message  # noqa: E731
    fails("SignatureDoesNotMatch", consume(USER, "wrong"))
    fails("InvalidAccessKeyId", consume("stranger", SECRET))
    limited = os.environ["ACL_LIMITED_USER"], os.environ["ACL_LIMITED_SECRET"]
    fails("AccessDenied", consume(*limited, of="forbidden"))
    forbidden = client(*limited).get_producer("", "forbidden")
    fails("AccessDenied", forbidden.publish_message, TopicMessage("x"))
    expect("body", consume(*limited)(1, 5)[0].message_body, "x")


def clock_is_off():
    topic, group = names()
    publish(topic, "x")
    gmtime = time.gmtime
    # The SDK's module shares the name `time`; its clock is what is turned.
    mq_client.time.gmtime = lambda: gmtime(time.time() - 3600)
    try:
        fails("TimeExpired", client().get_consumer("", topic, group).consume_message)
    finally:
        mq_client.time.gmtime = gmtime


ALL = [
    everything_comes_back,
    tags_select,
    long_poll_wakes,
    redelivered_after_the_lease,
    delayed,
    ordered,
    instances,
    error_names,
    debug_mode,
]
if HAS_USERS:
    ALL += [who_is_let_in, clock_is_off]
# The half message that is asked about takes ten seconds: the others need not wait for it.
slow = threading.Thread(target=scenario, args=("transactions", transactions))
slow.start()
for body in ALL:
    scenario(body.__name__.replace("_", "-"), body)
slow.join(120)
finish()
