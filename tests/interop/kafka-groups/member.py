"""One member of a group, of any of the Python clients: says what it is given and what it reads, a JSON object a line.

The argument is a JSON object: client, bootstrap, group, topic, session (ms), instance, strategy. A line on standard
input ends it as an application would; killing it is a crash.
"""

import asyncio
import json
import sys
import threading
import time

ask = json.loads(sys.argv[1])
SESSION = ask.get("session", 6000)
STRATEGY = ask.get("strategy", "range")
# An application that is asked to end, ends.
ending = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), ending.set()), daemon=True).start()


def say(**event):
    print(json.dumps(event), flush=True)


def assigned(partitions):
    say(assigned=sorted(p.partition for p in partitions))


def read(partition, offset, value):
    say(read=[partition, offset, value.decode()])


def confluent():
    from confluent_kafka import Consumer

    settings = {
        "bootstrap.servers": ask["bootstrap"],
        "group.id": ask["group"],
        "auto.offset.reset": "earliest",
        "auto.commit.interval.ms": 200,
        "topic.metadata.refresh.interval.ms": 2000,
    }
    if STRATEGY == "consumer":
        settings["group.protocol"] = "consumer"
    else:
        settings |= {
            "session.timeout.ms": SESSION,
            "heartbeat.interval.ms": 500,
            "partition.assignment.strategy": STRATEGY,
        }
    if "instance" in ask:
        settings["group.instance.id"] = ask["instance"]
    consumer = Consumer(settings)
    consumer.subscribe([ask["topic"]])
    before = None
    while not ending.is_set():
        message = consumer.poll(0.1)
        now = consumer.assignment()
        if now != before:
            before = now
            assigned(now)
        if message is None:
            continue
        if message.error():
            say(error=str(message.error()))
        else:
            read(message.partition(), message.offset(), message.value())
    consumer.close()


def kafka_python():
    from kafka import KafkaConsumer
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

    strategies = {"range": RangePartitionAssignor, "cooperative-sticky": CooperativeStickyAssignor}
    consumer = KafkaConsumer(
        bootstrap_servers=ask["bootstrap"],
        group_id=ask["group"],
        auto_offset_reset="earliest",
        auto_commit_interval_ms=200,
        session_timeout_ms=SESSION,
        heartbeat_interval_ms=500,
        partition_assignment_strategy=[strategies[STRATEGY]],
        group_instance_id=ask.get("instance"),
    )
    consumer.subscribe([ask["topic"]])
    before = None
    while not ending.is_set():
        # When its time runs out while it joins again because a topic became known, it forgets what it is given.
        records = consumer.poll(timeout_ms=100 if before else 4000)
        now = consumer.assignment()
        if now != before:
            before = set(now)
            assigned(now)
        for batch in records.values():
            for record in batch:
                read(record.partition, record.offset, record.value)
    consumer.close()


async def aio():
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor

    class Told(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, revoked):
            pass

        async def on_partitions_assigned(self, now):
            assigned(now)

    consumer = AIOKafkaConsumer(
        bootstrap_servers=ask["bootstrap"],
        group_id=ask["group"],
        auto_offset_reset="earliest",
        auto_commit_interval_ms=200,
        session_timeout_ms=SESSION,
        heartbeat_interval_ms=500,
        partition_assignment_strategy=[RangePartitionAssignor],
        group_instance_id=ask.get("instance"),
    )
    consumer.subscribe([ask["topic"]], listener=Told())
    await consumer.start()
    while not ending.is_set():
        for batch in (await consumer.getmany(timeout_ms=100)).values():
            for record in batch:
                read(record.partition, record.offset, record.value)
    await consumer.stop()


if ask["client"] == "confluent":
    confluent()
elif ask["client"] == "kafka-python":
    kafka_python()
else:
    asyncio.run(aio())
say(ended=time.time())
