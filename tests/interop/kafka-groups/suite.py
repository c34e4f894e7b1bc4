"""Consumer groups of the stock clients: who gets what when members come, go and crash, and what is kept.

It starts brokers of its own (SLUICE_BIN), because it kills them. Messages come and progress is looked at over HTTP.
Most of the time is spent waiting, so the scenarios are dealt to lanes, which run side by side, each with its broker.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "python"))
from broker import Broker  # noqa: E402
from harness import expect, finish, scenario, unique, until  # noqa: E402

LANES = 6
# How long to wait for what should come soon: the machine may have a lot to do.
PATIENCE = 60
SESSION = 10000
# Long enough that what is lost within it was not lost because it ran out.
LONG_SESSION = 45000
# The same for members that cannot say it themselves.
SHARED_BY_BROKER = {"SLUICE_KAFKA__GROUPS__SESSION": f"{SESSION}ms", "SLUICE_KAFKA__GROUPS__HEARTBEAT": "500ms"}
PARTITIONS = [0, 1, 2, 3]
CLIENTS = ["confluent", "kafka-python", "aiokafka", "kafkajs", "java"]
STATIC = ["confluent", "kafka-python", "aiokafka", "java"]
COOPERATIVE = ["confluent", "kafka-python", "java"]
SERVER_SIDE = ["confluent", "java"]


class GroupBroker(Broker):
    def __init__(self):
        super().__init__("KAFKA", "HTTP", **SHARED_BY_BROKER)

    def topic(self):
        name = unique("groups")
        self.http("PUT", f"topics/{name}", {"queues": len(PARTITIONS)})
        return name

    def send(self, topic, values):
        for value in values:
            self.http("POST", f"topics/{topic}/messages:batch", {"messages": [{"body": value}]})

    def consumed(self, group, topic):
        """How many messages the group is done with, as HTTP tells it."""
        try:
            rows = self.http("GET", f"groups/{group}/offsets?topic={topic}")["items"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return 0  # nothing has been committed yet
            raise
        return sum(row["committed"] for row in rows)


BROKER = None  # the lane's


class Member:
    """A member in a process of its own."""

    def __init__(self, client, group, topic, **more):
        asks = {"client": client, "bootstrap": BROKER.listen["KAFKA"], "group": group, "topic": topic}
        asks |= {"session": SESSION} | more
        if client == "kafkajs":
            command = ["node", os.path.join(HERE, "member.mjs"), json.dumps(asks)]
        elif client == "java":
            classes = os.path.join(HERE, "target", "classes") + ":" + os.path.join(HERE, "target", "lib", "*")
            options = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
            command = ["java", *options, "-cp", classes, "Member", asks["bootstrap"], group, topic]
            command += [str(asks["session"]), more.get("strategy", "range"), more.get("instance", "")]
        else:
            command = [sys.executable, os.path.join(HERE, "member.py"), json.dumps(asks)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.given = []
        self.read = []
        self.errors = []
        self.ended = False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if "assigned" in event:
                self.given.append(event["assigned"])
            elif "read" in event:
                self.read.append(event["read"])
            elif "error" in event:
                self.errors.append(event["error"])
            elif "ended" in event:
                self.ended = True

    @property
    def partitions(self):
        return self.given[-1] if self.given else []

    def values(self):
        return sorted(value for _, _, value in self.read)

    def crash(self):
        self.process.kill()
        self.process.wait()

    def leave(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        until("the member ends", lambda: self.ended, PATIENCE)
        self.process.wait()


class Members:
    """Members that are gone at the end, however it comes."""

    def __init__(self):
        self.all = []

    def __call__(self, *args, **more):
        self.all.append(Member(*args, **more))
        return self.all[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.all:
            member.process.kill()


def shared(*members):
    """Every partition is one member's, and each has one."""
    lists = [m.partitions for m in members]
    return all(lists) and sorted(p for ps in lists for p in ps) == PARTITIONS


def resumes(client):
    topic, group = BROKER.topic(), unique("group")
    values = [f"v{n}" for n in range(12)]
    BROKER.send(topic, values)
    with Members() as member:
        first = member(client, group, topic)
        until("everything is read", lambda: first.values() == sorted(values), PATIENCE)
        until("progress is seen over HTTP", lambda: BROKER.consumed(group, topic) == 12, PATIENCE)
        first.leave()
        BROKER.send(topic, ["w0", "w1", "w2", "w3"])
        second = member(client, group, topic)
        until("the rest is read", lambda: second.values() == ["w0", "w1", "w2", "w3"], PATIENCE)
        second.leave()
        expect("what is done", BROKER.consumed(group, topic), 16)


def joins_and_leaves(client, strategy="range"):
    topic, group = BROKER.topic(), unique("group")
    with Members() as member:
        first = member(client, group, topic, strategy=strategy)
        until("the first has everything", lambda: shared(first), PATIENCE)
        second = member(client, group, topic, strategy=strategy)
        until("both have their share", lambda: shared(first, second), PATIENCE)
        expect("the shares", [len(first.partitions), len(second.partitions)], [2, 2])
        if strategy != "range":
            expect("what the first never lost", min(len(given) for given in first.given[first.given.index(PARTITIONS):]), 2)
        BROKER.send(topic, [f"v{n}" for n in range(8)])
        until("all is read once", lambda: len(first.read) + len(second.read) == 8, PATIENCE)
        second.leave()
        until("the first has everything again", lambda: shared(first), PATIENCE)


def crashes(client, strategy="range"):
    topic, group = BROKER.topic(), unique("group")
    with Members() as member:
        first = member(client, group, topic, strategy=strategy)
        until("the first has everything", lambda: shared(first), PATIENCE)
        second = member(client, group, topic, strategy=strategy)
        until("both have their share", lambda: shared(first, second), PATIENCE)
        began = time.monotonic()
        second.crash()
        until("the first has everything again", lambda: shared(first), PATIENCE)
        took = time.monotonic() - began
        if took < SESSION / 2000:  # a heartbeat may have come late
            raise AssertionError(f"the crashed member was gone after {took:.1f} s, before its session")


def keeps_its_place(client):
    topic, group = BROKER.topic(), unique("group")
    with Members() as member:
        first = member(client, group, topic, instance="one", session=LONG_SESSION)
        until("the first has everything", lambda: shared(first), PATIENCE)
        second = member(client, group, topic, instance="two", session=LONG_SESSION)
        until("both have their share", lambda: shared(first, second), PATIENCE)
        before, share = len(first.given), second.partitions
        second.crash()
        again = member(client, group, topic, instance="two", session=LONG_SESSION)
        until("it has what it had", lambda: again.partitions == share, LONG_SESSION / 1000 - 5)
        expect("what the other noticed", len(first.given), before)


def one_family_at_a_time(client):
    topic, group = BROKER.topic(), unique("group")
    BROKER.send(topic, ["a"])
    receive = f"groups/{group}/receive?topic={topic}"
    with Members() as member:
        first = member(client, group, topic)
        until("it is read", lambda: first.values() == ["a"], PATIENCE)
        until("the commit is there", lambda: BROKER.consumed(group, topic) == 1, PATIENCE)
        members = BROKER.http("GET", f"groups/{group}/members")["items"]
        expect("members seen over HTTP", len(members), 1)
        try:
            BROKER.http("POST", receive)
        except urllib.error.HTTPError as refused:
            expect("a receive beside it", refused.code, 409)
        else:
            raise AssertionError("a receive beside live members was not refused")
        first.leave()
        BROKER.send(topic, ["b"])
        got = BROKER.http("POST", receive)
        expect("what HTTP goes on with", [m["body"] for m in got["messages"]], ["b"])


def survives_a_kill(client, strategy="range"):
    topic, group = BROKER.topic(), unique("group")
    BROKER.send(topic, [f"v{n}" for n in range(8)])
    with Members() as member:
        first = member(client, group, topic, strategy=strategy)
        until("all is read", lambda: len(first.read) == 8, PATIENCE)
        until("all is committed", lambda: BROKER.consumed(group, topic) == 8, PATIENCE)
        # A commit is seen before it is on disk, and acknowledged after; what is sent after it is behind it in the log.
        BROKER.send(BROKER.topic(), ["acknowledged"])
        BROKER.kill()
        BROKER.start()
        expect("what is done after the crash", BROKER.consumed(group, topic), 8)
        BROKER.send(topic, [f"w{n}" for n in range(8)])
        until("the member goes on", lambda: len({tuple(r) for r in first.read}) == 16, PATIENCE)
        again = [r for r in first.read if r[2].startswith("v")]
        expect("what was committed is read once", len(again), 8)


def administrates():
    """What operators' tools ask: librdkafka's and kafka-python's administrative clients."""
    from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaError
    from confluent_kafka import TopicPartition as Place
    from confluent_kafka.admin import AdminClient
    from kafka import KafkaAdminClient

    topic, group = BROKER.topic(), unique("group.with.dots")
    BROKER.send(topic, [f"v{n}" for n in range(8)])
    admin = AdminClient({"bootstrap.servers": BROKER.listen["KAFKA"]})
    places = [Place(topic, p, 1, metadata=f"note {p}") for p in PARTITIONS]
    put = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])
    expect("errors of the offsets", [p.error for p in put[group].result().topic_partitions], [None] * 4)
    expect("the same over HTTP", BROKER.consumed(group.replace(".", "%252E"), topic), 4)
    BROKER.kill()
    BROKER.start()
    # The old client now and then waits in vain for a broker that was away: one that is new asks.
    admin = AdminClient({"bootstrap.servers": BROKER.listen["KAFKA"]})
    got = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result()
    offsets = sorted((p.partition, p.offset, p.metadata) for p in got.topic_partitions)
    expect("the offsets", offsets, [(p, 1, f"note {p}") for p in PARTITIONS])
    listed = {g.group_id: g.state for g in admin.list_consumer_groups().result().valid}
    expect("its state", listed.get(group), ConsumerGroupState.EMPTY)
    with Members() as member:
        first = member("confluent", group, topic)
        until("it has everything", lambda: shared(first), PATIENCE)
        described = admin.describe_consumer_groups([group])[group].result()
        expect("its state", described.state, ConsumerGroupState.STABLE)
        assigned = described.members[0].assignment.topic_partitions
        expect("what its member has", sorted(p.partition for p in assigned), PARTITIONS)
        refused(lambda: admin.delete_consumer_groups([group])[group].result(), KafkaError.NON_EMPTY_GROUP)
        refused(
            lambda: admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group].result(),
            KafkaError.UNKNOWN_MEMBER_ID,
        )
        first.leave()
    other = KafkaAdminClient(bootstrap_servers=BROKER.listen["KAFKA"])
    expect("kafka-python lists it", group in [g["group_id"] for g in other.list_groups()], True)
    other.close()
    admin.delete_consumer_groups([group])[group].result()
    refused(lambda: admin.delete_consumer_groups([group])[group].result(), KafkaError.GROUP_ID_NOT_FOUND)
    expect("groups over HTTP", BROKER.consumed(group.replace(".", "%252E"), topic), 0)


def refused(call, code):
    from confluent_kafka import KafkaException

    try:
        answer = call()
    except KafkaException as error:
        return expect("the error", error.args[0].code(), code)
    expect("the errors", {p.error.code() for p in answer.topic_partitions if p.error}, {code})


def all_scenarios():
    """The ones that wait longest come first."""
    for name in CLIENTS:
        yield f"{name}/crash", crashes, name
    for name in SERVER_SIDE:
        yield f"{name}/shared-by-broker-crash", crashes, name, "consumer"
    for name in ["confluent", "java"]:
        yield f"{name}/broker-killed", survives_a_kill, name
        yield f"{name}/broker-killed-shared-by-broker", survives_a_kill, name, "consumer"
    for name in STATIC:
        yield f"{name}/static", keeps_its_place, name
    for name in COOPERATIVE:
        yield f"{name}/cooperative", joins_and_leaves, name, "cooperative-sticky"
    for name in SERVER_SIDE:
        yield f"{name}/shared-by-broker", joins_and_leaves, name, "consumer"
    for name in CLIENTS:
        yield f"{name}/joins-and-leaves", joins_and_leaves, name
        yield f"{name}/resumes", resumes, name
    for name in ["confluent", "java"]:
        yield f"{name}/one-family", one_family_at_a_time, name
    yield "admin", administrates


def run_lane(scenarios):
    global BROKER
    BROKER = GroupBroker()
    for name, body, *args in scenarios:
        scenario(name, body, *args)
    BROKER.kill()
    finish()


def main():
    chosen = [s for s in all_scenarios() if re.search(os.environ.get("ONLY", ""), s[0])]
    if not chosen:
        sys.exit("ONLY leaves no scenario")
    if "LANE" in os.environ:
        return run_lane(chosen[int(os.environ["LANE"]) :: LANES])
    lanes = [
        subprocess.Popen([sys.executable, os.path.abspath(__file__)], env=os.environ | {"LANE": str(lane)})
        for lane in range(min(LANES, len(chosen)))
    ]
    sys.exit(max(abs(lane.wait()) for lane in lanes))


main()
