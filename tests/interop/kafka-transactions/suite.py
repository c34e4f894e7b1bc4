"""Transactions of the stock clients: what readers of every kind see of them, who is refused, and what a crash leaves.

It starts a broker of its own (SLUICE_BIN), because it kills it.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "python"))
from broker import Broker  # noqa: E402
from harness import expect, finish, scenario, unique, until  # noqa: E402

# How long to wait for what should come soon: the machine may have a lot to do.
PATIENCE = 60
BROKER = Broker("KAFKA", "HTTP", "STOMP")


def new_topic(queues=1):
    name = unique("txn")
    BROKER.http("PUT", f"topics/{name}", {"queues": queues})
    return name


def kafka(**more):
    return {"bootstrap.servers": BROKER.listen["KAFKA"], **{key.replace("_", "."): value for key, value in more.items()}}


def producer(name, **more):
    made = Producer(kafka(transactional_id=name, **more))
    made.init_transactions(PATIENCE)
    return made


def send(to, topic, values, partition=0):
    reports = []
    for value in values:
        to.produce(topic, value=value.encode(), partition=partition, on_delivery=lambda e, m: reports.append(e))
    expect("left to send", to.flush(PATIENCE), 0)
    expect("reports", reports, [None] * len(values))


def read(topic, isolation="read_committed", partition=0):
    """Everything to the end of a partition, and where that is."""
    consumer = Consumer(kafka(group_id="unused", enable_auto_commit=False, isolation_level=isolation) | {"enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, 0)])
    values, deadline = [], time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error() is None:
                values.append(message.value().decode())
            elif message.error().code() == KafkaError._PARTITION_EOF:
                return values, message.offset()
            else:
                raise KafkaException(message.error())
        raise AssertionError(f"no end after {values}")
    finally:
        consumer.close()


def refused(what, call, *codes):
    try:
        call()
    except KafkaException as error:
        found = error.args[0]
        if found.code() not in codes:
            raise AssertionError(f"{what}: {found}") from error
        return found
    raise AssertionError(f"{what} was not refused")


def commit_and_abort():
    topic, p = new_topic(2), producer(unique("p"))
    p.begin_transaction()
    send(p, topic, ["a", "b"])
    send(p, topic, ["c"], 1)
    expect("what is open", read(topic), ([], 0))
    expect("what is open, to who wants all", read(topic, "read_uncommitted"), (["a", "b"], 2))
    p.commit_transaction(PATIENCE)
    expect("what is committed", (read(topic), read(topic, partition=1)), ((["a", "b"], 3), (["c"], 2)))
    p.begin_transaction()
    send(p, topic, ["gone"])
    p.abort_transaction(PATIENCE)
    # The reader is at the end although nothing before it is for it.
    expect("what is aborted", read(topic), (["a", "b"], 5))
    expect("what is aborted, to who wants all", read(topic, "read_uncommitted"), (["a", "b", "gone"], 5))
    p.begin_transaction()
    send(p, topic, ["d"])
    p.commit_transaction(PATIENCE)
    expect("behind it", read(topic), (["a", "b", "d"], 7))


def compressed(codec):
    topic, p = new_topic(), producer(unique("p"), compression_type=codec, linger_ms=50)
    for commit in (True, False, True):
        p.begin_transaction()
        send(p, topic, [f"{commit} {n}" for n in range(100)])
        (p.commit_transaction if commit else p.abort_transaction)(PATIENCE)
    expect("what is committed", read(topic)[0], [f"True {n}" for n in range(100)] * 2)
    got = BROKER.http("POST", f"groups/{unique('g')}/receive?topic={topic}&max=256&wait=1s")["messages"]
    expect("the same over HTTP", [m["body"] for m in got], [f"True {n}" for n in range(100)] * 2)


def zombie():
    topic, name = new_topic(), unique("p")
    old = producer(name)
    old.begin_transaction()
    send(old, topic, ["zombie"])
    new = producer(name)
    expect("what the old one left", read(topic), ([], 2))
    error = refused("the old one's commit", lambda: old.commit_transaction(PATIENCE), KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
    expect("it is over for the old one", error.fatal(), True)
    new.begin_transaction()
    send(new, topic, ["alive"])
    new.commit_transaction(PATIENCE)
    expect("what is committed", read(topic)[0], ["alive"])


def read_process_write():
    source, sink, group = new_topic(), new_topic(), unique("g")
    plain = Producer(kafka())
    send(plain, source, [str(n) for n in range(6)])
    consumer = Consumer(kafka(group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"))
    consumer.subscribe([source])
    p = producer(unique("p"))

    def committed():
        return consumer.committed([TopicPartition(source, 0)], PATIENCE)[0].offset

    def step(commit):
        taken, deadline = [], time.monotonic() + PATIENCE
        while len(taken) < 3 and time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                taken.append(message.value().decode())
        p.begin_transaction()
        send(p, sink, [value + "!" for value in taken])
        position = consumer.position(consumer.assignment())
        p.send_offsets_to_transaction(position, consumer.consumer_group_metadata(), PATIENCE)
        (p.commit_transaction if commit else p.abort_transaction)(PATIENCE)
        return taken

    expect("the first three", step(True), ["0", "1", "2"])
    expect("where the group is", committed(), 3)
    expect("the next three", step(False), ["3", "4", "5"])
    expect("where the group is after an abort", committed(), 3)
    consumer.seek(TopicPartition(source, 0, 3))
    expect("the next three again", step(True), ["3", "4", "5"])
    expect("where the group is in the end", committed(), 6)
    expect("the same over HTTP", sum(row["committed"] for row in BROKER.http("GET", f"groups/{group}/offsets?topic={source}")["items"]), 6)
    expect("what came of it", read(sink)[0], [f"{n}!" for n in range(6)])
    consumer.close()


def unsettled():
    """Who asks where a group is waits for the transaction that may change it."""
    source, group = new_topic(), unique("g")
    send(Producer(kafka()), source, ["a", "b"])
    consumer = Consumer(kafka(group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"))
    consumer.subscribe([source])
    until("a message", lambda: consumer.poll(0.5) is not None, PATIENCE)
    p = producer(unique("p"))
    p.begin_transaction()
    p.send_offsets_to_transaction([TopicPartition(source, 0, 2)], consumer.consumer_group_metadata(), PATIENCE)
    refused("the group's offset", lambda: consumer.committed([TopicPartition(source, 0)], 2), KafkaError._TIMED_OUT, KafkaError.UNSTABLE_OFFSET_COMMIT)
    p.commit_transaction(PATIENCE)
    expect("the group's offset", consumer.committed([TopicPartition(source, 0)], PATIENCE)[0].offset, 2)
    consumer.close()


def open_for_too_long():
    topic, p = new_topic(), producer(unique("p"), transaction_timeout_ms=1500, message_timeout_ms=1000)
    p.begin_transaction()
    send(p, topic, ["slow"])
    expect("what is open", read(topic), ([], 0))
    until("the end of its time", lambda: read(topic) == ([], 2), PATIENCE)
    refused("a commit after that", lambda: p.commit_transaction(PATIENCE), KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
    late = Producer(kafka(transactional_id=unique("p"), transaction_timeout_ms=16 * 60 * 1000))
    refused("a longer time than may be", lambda: late.init_transactions(PATIENCE), KafkaError.INVALID_TRANSACTION_TIMEOUT)


def other_wires():
    topic, group, p = new_topic(), unique("g"), producer(unique("p"))

    def over_http():
        got = BROKER.http("POST", f"groups/{group}/receive?topic={topic}&max=100")
        BROKER.http("POST", f"groups/{group}/ack", {"handles": [m["handle"] for m in got["messages"]]})
        return [m["body"] for m in got["messages"]]

    host, port = BROKER.listen["STOMP"].rsplit(":", 1)
    stomp = socket.create_connection((host, int(port)), timeout=PATIENCE)
    stomp.sendall(b"CONNECT\naccept-version:1.2\nhost:h\n\n\0")
    stomp.sendall(f"SUBSCRIBE\nid:1\ndestination:/topic/{topic}\nreceipt:r\nack:auto\n\n\0".encode())
    heard = b""
    while b"RECEIPT" not in heard:
        heard += stomp.recv(4096)
    p.begin_transaction()
    send(p, topic, ["one"])
    expect("what is open over HTTP", over_http(), [])
    p.abort_transaction(PATIENCE)
    expect("what is aborted over HTTP", over_http(), [])
    p.begin_transaction()
    send(p, topic, ["two"])
    expect("what is open over HTTP", over_http(), [])
    p.commit_transaction(PATIENCE)
    expect("what is committed over HTTP", over_http(), ["two"])
    expect("where the topic ends over HTTP", BROKER.http("GET", f"topics/{topic}/messages?limit=10")["messages"][0]["body"], "two")
    while b"two" not in heard:
        heard += stomp.recv(4096)
    expect("what was aborted over STOMP", b"one" in heard, False)
    stomp.close()


def python_client():
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition as Partition

    topic = new_topic()
    p = KafkaProducer(bootstrap_servers=BROKER.listen["KAFKA"], transactional_id=unique("p"))
    p.init_transactions()
    for commit in (True, False, True):
        p.begin_transaction()
        p.send(topic, f"{commit}".encode(), partition=0).get(PATIENCE)
        p.commit_transaction() if commit else p.abort_transaction()
    p.close()
    consumer = KafkaConsumer(bootstrap_servers=BROKER.listen["KAFKA"], isolation_level="read_committed", auto_offset_reset="earliest")
    consumer.assign([Partition(topic, 0)])
    got, deadline = [], time.monotonic() + PATIENCE
    while consumer.position(Partition(topic, 0)) < 6 and time.monotonic() < deadline:
        for records in consumer.poll(500).values():
            got += [record.value.decode() for record in records]
    expect("what is committed", (got, consumer.position(Partition(topic, 0))), (["True", "True"], 6))
    consumer.close()


def aio_client():
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition as Partition

    topic = new_topic()

    async def run():
        p = AIOKafkaProducer(bootstrap_servers=BROKER.listen["KAFKA"], transactional_id=unique("p"))
        await p.start()
        for commit in (True, False, True):
            await p.begin_transaction()
            await p.send_and_wait(topic, f"{commit}".encode(), partition=0)
            await (p.commit_transaction() if commit else p.abort_transaction())
        await p.stop()
        consumer = AIOKafkaConsumer(bootstrap_servers=BROKER.listen["KAFKA"], isolation_level="read_committed", auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([Partition(topic, 0)])
        got = [(await asyncio.wait_for(consumer.getone(), PATIENCE)).value.decode() for _ in range(2)]
        await consumer.stop()
        return got

    expect("what is committed", asyncio.run(run()), ["True", "True"])


def killed_while_open():
    topic, p = new_topic(), producer(unique("p"))
    p.begin_transaction()
    send(p, topic, ["before"])
    BROKER.kill()
    BROKER.start()
    expect("what is still open", read(topic), ([], 0))
    send(p, topic, ["behind"])
    p.commit_transaction(PATIENCE)
    expect("what is committed", read(topic), (["before", "behind"], 3))


def killed_while_it_ends():
    """Transactions over two partitions, while the broker is killed again and again: what was told is there, and of each
    transaction all or nothing."""
    topic, name = new_topic(2), unique("p")
    told = set()
    number = 0
    for life in range(4):
        p = producer(name)
        deadline = time.monotonic() + 0.4 + 0.35 * life
        killer = None
        while killer is None or killer.poll() is None:
            number += 1
            p.begin_transaction()
            for partition in (0, 1):
                p.produce(topic, value=str(number).encode(), partition=partition)
            if killer is None and time.monotonic() > deadline:
                killer = subprocess.Popen(["sh", "-c", f"sleep 0.0{life}; kill -9 {BROKER.process.pid}"])
            try:
                p.commit_transaction(1)
                told.add(number)
            except KafkaException:
                break
        killer.wait()
        BROKER.process.wait()
        BROKER.start()
        del p
    producer(name)  # whoever had the name before is out, and what it had open is aborted
    first, second = (read(topic, partition=partition)[0] for partition in (0, 1))
    expect("both partitions", first, second)
    expect("each once", len(first), len(set(first)))
    missing = told - {int(value) for value in first}
    expect("what was told and is not there", missing, set())
    expect("enough happened", len(told) > 20, True)


for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
    scenario(f"confluent/{codec}", compressed, codec)
for body in [
    commit_and_abort,
    zombie,
    read_process_write,
    unsettled,
    open_for_too_long,
    other_wires,
    python_client,
    aio_client,
    killed_while_open,
    killed_while_it_ends,
]:
    scenario(body.__name__, body)
BROKER.kill()
finish()
