"""The stock client for Python, PyPI rocketmq with the C++ library it brings, against a broker."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from harness import expect, finish, scenario, unique, until  # noqa: E402

from rocketmq.client import Message, Producer, PullConsumer, PushConsumer, SendStatus  # noqa: E402
from rocketmq.ffi import MessageModel, dll  # noqa: E402

NAME_SERVER = os.environ["NAMESRV_ADDR"]
USER = os.environ.get("ACL_USER")
SECRET = os.environ.get("ACL_SECRET")
LIMITED = os.environ.get("ACL_LIMITED_USER"), os.environ.get("ACL_LIMITED_SECRET")

# The library is not made for clients that start and stop beside each other, nor for some that end before the process:
# its threads outlive its objects. So these take turns, what was started is kept, and few are shut down.
turn = threading.Lock()
everything = []
# A callback that raises makes the message come again, and ctypes tells about each.
sys.unraisablehook = lambda _: None


def prepare(client, user=USER, secret=SECRET):
    client.set_namesrv_addr(NAME_SERVER)
    if user:
        client.set_session_credentials(user, secret, "ALIYUN")
    everything.append(client)
    return client


def producer(*who):
    """A started one. Those of one instance share their connections, and with them who they are."""
    made = prepare(Producer(unique("producers")), *who)
    dll.SetProducerInstanceName(made._handle, unique("instance").encode())
    with turn:
        made.start()
    return made


def message(topic, body, tag=None, keys=None, level=None, **properties):
    made = Message(topic)
    made.set_body(body)
    if tag:
        made.set_tags(tag)
    if keys:
        made.set_keys(keys)
    if level:
        made.set_delay_time_level(level)
    for name, value in properties.items():
        made.set_property(name, value)
    return made


class Sending:
    """A topic of its own, and who sends to it."""

    def __init__(self, by=None):
        self.topic = unique("topic")
        self.producer = by or usual

    def send(self, body, **more):
        result = self.producer.send_sync(message(self.topic, body, **more))
        expect("status", result.status, SendStatus.OK)
        return result


class Got:
    """What is kept of a message; its own memory lasts as long as the callback."""

    def __init__(self, m):
        self.body, self.tag, self.keys, self.id = m.body.decode(), m.tags, m.keys, m.id
        self.queue, self.offset, self.attempt = m.queue_id, m.queue_offset, m.reconsume_times
        self.colour, self.born, self.stored = m["colour"], m.born_timestamp, m.store_timestamp
        self.at = time.time()


class Consuming:
    """A started push consumer that keeps what it gets, and wants what `refuses` is true of again."""

    def __init__(self, topic, group=None, expression="*", orderly=False, broadcast=False, refuses=None, who=()):
        self.got = []
        self.refuses = refuses or (lambda got: False)
        model = MessageModel.BROADCASTING if broadcast else MessageModel.CLUSTERING
        self.consumer = prepare(PushConsumer(group or unique("group"), orderly, model), *who)
        self.consumer.set_instance_name(unique("instance"))
        self.consumer.subscribe(topic, self._take, expression)

    def _take(self, m):
        got = Got(m)
        self.got.append(got)
        if self.refuses(got):
            raise RuntimeError("again, please")

    def __enter__(self):
        with turn:
            self.consumer.start()
        return self

    def __exit__(self, *_):
        with turn:
            self.consumer.shutdown()

    def bodies(self):
        return sorted(got.body for got in self.got)

    def wait_for(self, *bodies, seconds=30):
        until(f"{bodies}, got {self.bodies()}", lambda: len(self.got) >= len(bodies), seconds)
        expect("bodies", self.bodies(), sorted(bodies))


def everything_comes_back():
    s = Sending()
    sent = s.send("Grüße, 世界", tag="A", keys="k1 k2", colour="rot")
    with Consuming(s.topic) as c:
        c.wait_for("Grüße, 世界")
        got = c.got[0]
        expect("tag, keys", (got.tag, got.keys), (b"A", b"k1 k2"))
        expect("property", got.colour.decode(), "rot")
        expect("id, offset", (got.id, got.offset), (sent.msg_id, sent.offset))
        expect("times", got.born <= got.stored + 1000, True)


def sent_after_the_consumer_started():
    s = Sending()
    s.send("first")
    with Consuming(s.topic) as c:
        c.wait_for("first")
        start = time.time()
        s.send("second")
        c.wait_for("first", "second")
        expect("a waiting pull is answered", c.got[1].at - start < 15, True)


def sent_async():
    s = Sending()
    results, errors = [], []
    for i in range(20):
        s.producer.send_async(message(s.topic, f"m{i}"), results.append, errors.append)
    until("20 results", lambda: len(results) + len(errors) == 20)
    expect("errors", errors, [])
    expect("status", {r.status for r in results}, {SendStatus.OK})
    with Consuming(s.topic) as c:
        c.wait_for(*(f"m{i}" for i in range(20)))


def sent_one_way():
    s = Sending()
    s.send("first")
    for i in range(5):
        s.producer.send_oneway(message(s.topic, f"m{i}"))
    with Consuming(s.topic) as c:
        c.wait_for("first", *(f"m{i}" for i in range(5)))


def in_order():
    s = Sending()
    for i in range(30):
        result = s.producer.send_orderly(message(s.topic, f"{i:02}"), i % 3)
        expect("status", result.status, SendStatus.OK)
    with Consuming(s.topic, orderly=True) as c:
        until("all of them", lambda: len(c.got) >= 30, 30)
        for key in range(3):
            own = [got for got in c.got if int(got.body) % 3 == key]
            expect(f"order of {key}", [got.body for got in own], [f"{i:02}" for i in range(key, 30, 3)])
            expect(f"queues of {key}", len({got.queue for got in own}), 1)


def tags_select():
    s = Sending()
    for tag in ("A", "B", "C"):
        s.send(f"of {tag}", tag=tag)
    s.send("of none")
    with Consuming(s.topic, expression="A || C") as c:
        c.wait_for("of A", "of C")
        s.send("B again", tag="B")
        s.send("A again", tag="A")
        c.wait_for("of A", "of C", "A again")


def delayed():
    s = Sending()
    s.send("now")
    with Consuming(s.topic) as c:
        c.wait_for("now")
        start = time.time()
        s.send("later", level=2)
        c.wait_for("now", "later")
        late = c.got[1].at - start
        expect(f"after its five seconds, and soon ({late:.1f} s)", 4.9 < late < 20, True)


def wanted_again():
    s = Sending()
    s.send("once")
    with Consuming(s.topic, refuses=lambda got: got.attempt == 0) as c:
        c.wait_for("once", "once", seconds=40)
        expect("attempts", [got.attempt for got in c.got], [0, 1])
        expect("id", c.got[1].id, c.got[0].id)
        waited = c.got[1].at - c.got[0].at
        expect(f"after its ten seconds, and soon ({waited:.1f} s)", 9 < waited < 30, True)


def goes_on_where_it_was():
    group = unique("group")
    s = Sending()
    for i in range(4):
        s.send(f"a{i}")
    with Consuming(s.topic, group) as c:
        c.wait_for("a0", "a1", "a2", "a3")
    s.send("b")
    with Consuming(s.topic, group) as c:
        c.wait_for("b")


def two_share_a_group():
    group = unique("group")
    s = Sending()
    s.send("first")
    with Consuming(s.topic, group) as a, Consuming(s.topic, group) as b:
        until("the first", lambda: a.got or b.got, 30)
        sent = ["first"]

        def both():
            for _ in range(8):
                sent.append(f"m{len(sent)}")
                s.send(sent[-1])
            until("all of them", lambda: len(a.got) + len(b.got) >= len(sent), 30)
            return a.got and b.got

        until("both get some", both, 30)
        expect("all, once", sorted(a.bodies() + b.bodies()), sorted(sent))


def broadcast():
    group = unique("group")
    s = Sending()
    s.send("first")
    with Consuming(s.topic, group, broadcast=True) as a, Consuming(s.topic, group, broadcast=True) as b:
        sent = []

        def both():  # each starts at the end, once it has heard of its queues
            sent.append(f"m{len(sent)}")
            s.send(sent[-1])
            return a.got and b.got

        until("both have begun", both, 30)
        for body in ("x", "y", "z"):
            s.send(body)
        for consuming in (a, b):
            until("the rest", lambda c=consuming: {"x", "y", "z"} <= set(c.bodies()), 30)
            expect("once", len(set(consuming.bodies())), len(consuming.got))


def large_and_compressed():
    body = "Sluice " * 15_000  # the client takes 128 KiB
    s = Sending()
    s.send(body)
    with Consuming(s.topic) as c:
        until("it", lambda: c.got, 30)
        expect("body", c.got[0].body == body, True)


def pulled():
    s = Sending()
    for i in range(40):
        s.send(f"m{i}")
    consumer = prepare(PullConsumer(unique("group")))
    with turn:
        consumer.start()
    expect("bodies", sorted(m.body.decode() for m in consumer.pull(s.topic)), sorted(f"m{i}" for i in range(40)))
    s.send("one more")
    rest = []
    until("the rest", lambda: rest.extend(m.body.decode() for m in consumer.pull(s.topic)) or rest)
    expect("the rest", rest, ["one more"])


def refused(topic, *who):
    sender = producer(*who)
    try:
        result = sender.send_sync(message(topic, "x"))
    except Exception:
        return
    raise AssertionError(f"sent by {who}: {result}")


def acl_keeps_out():
    refused(unique("topic"), USER, "wrong")
    refused(unique("topic"), "nobody", SECRET)
    refused("forbidden", *LIMITED)


def acl_limited_gets_the_rest():
    s = Sending(producer(*LIMITED))
    s.send("x")
    with Consuming(s.topic, who=LIMITED) as c:
        c.wait_for("x")


ALL = [
    in_order, everything_comes_back, sent_after_the_consumer_started, sent_async, sent_one_way, tags_select,
    goes_on_where_it_was, two_share_a_group, broadcast, large_and_compressed, pulled,
]
SLOW = [delayed, wanted_again]


def run(body):
    scenario(body.__name__.replace("_", "-"), body)


usual = producer()
Sending().send("connected")  # of threads that connect at the same time the library lets one
# Those that wait for a delay run beside the others.
beside = [threading.Thread(target=run, args=(body,)) for body in SLOW]
for thread in beside:
    thread.start()
for body in ALL:
    run(body)
for thread in beside:
    thread.join(60)
if USER:
    run(acl_limited_gets_the_rest)
    run(acl_keeps_out)  # last: whoever guesses at secrets has to wait, and so has all else from here
finish()
