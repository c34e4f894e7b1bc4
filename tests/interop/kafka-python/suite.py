"""Stock Kafka clients for Python, and kcat, against the broker at KAFKA_ADDR: records there and back, without groups."""

import asyncio, os, re, subprocess, sys, time, uuid

ADDR = os.environ["KAFKA_ADDR"]
ONLY = re.compile(os.environ.get("ONLY", ""))
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TEXTS = [("a", b"1"), ("a", b"\x00\xff"), ("c", b"")]  # kafka-python sends no null
HEADERS = [("a", b"1"), ("b", None), ("a", b"\x00\xff"), ("c", b"")]
# Key and value: null, empty and binary are three things.
RECORDS = [(b"key", b"value"), (None, b"no key"), (b"tombstone", None), (b"", b""), (b"\xff\x00", bytes(range(256)))]
BIG = os.urandom(900_000)
scenarios = []


def scenario(function):
    scenarios.append(function)
    return function


def each(name, values):
    def wrap(function):
        for value in values:
            def run(value=value):
                return function(value)
            run.__name__ = f"{function.__name__}-{value}"
            scenarios.append(run)
        return function
    return wrap


def topic():
    return f"kafka.interop-{uuid.uuid4().hex[:12]}"  # the dot is no letter of the other wires


def same(got, want):
    assert got == want, f"{got!r} instead of {want!r}"


# confluent-kafka: librdkafka

def confluent_consume(name, count, partition=0, offset=0, **more):
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": ADDR, "group.id": "unused", "enable.auto.commit": False, **more})
    consumer.assign([TopicPartition(name, partition, offset)])
    got, deadline = [], time.time() + 20
    while len(got) < count and time.time() < deadline:
        message = consumer.poll(0.5)
        if message is not None:
            assert message.error() is None, message.error()
            got.append(message)
    consumer.close()
    same(len(got), count)
    return got


def confluent_produce(name, records=RECORDS, **config):
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": ADDR, **config})
    reports = []
    for at, (key, value) in enumerate(records):
        producer.produce(name, key=key, value=value, partition=0, headers=HEADERS, timestamp=1_700_000_000_000 + at,
                         on_delivery=lambda error, message: reports.append((error, message.offset())))
    same(producer.flush(20), 0)
    same(reports, [(None, at) for at in range(len(records))])


def check(got):
    same([(m.key(), m.value()) for m in got], RECORDS)
    same([m.offset() for m in got], list(range(len(RECORDS))))
    same([m.timestamp() for m in got], [(1, 1_700_000_000_000 + at) for at in range(len(RECORDS))])
    for message in got:
        same(message.headers(), HEADERS)


@each("codec", CODECS)
def confluent_codec(codec):
    name = topic()
    confluent_produce(name, **{"compression.type": codec, "linger.ms": 100})
    check(confluent_consume(name, len(RECORDS)))


@each("acks", ["0", "1", "all"])
def confluent_acks(acks):
    name = topic()
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": ADDR, "acks": acks})
    for n in range(10):
        producer.produce(name, str(n), partition=0)
    same(producer.flush(20), 0)
    same([m.value() for m in confluent_consume(name, 10)], [str(n).encode() for n in range(10)])


@scenario
def confluent_idempotent():
    name = topic()
    confluent_produce(name, **{"enable.idempotence": True})
    check(confluent_consume(name, len(RECORDS)))


@scenario
def confluent_many():
    name, count = topic(), 20_000
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": ADDR, "enable.idempotence": True, "linger.ms": 20, "compression.type": "lz4",
                         "queue.buffering.max.messages": 100_000})
    for n in range(count):
        producer.produce(name, f"{n:08}", partition=0)
    same(producer.flush(60), 0)
    got = confluent_consume(name, count)
    same([m.value() for m in got], [f"{n:08}".encode() for n in range(count)])


@scenario
def confluent_big():
    name = topic()
    confluent_produce(name, [(b"k", BIG), (b"l", b"after")])
    got = confluent_consume(name, 2, **{"fetch.message.max.bytes": 1000})
    same([m.value() for m in got], [BIG, b"after"])


@scenario
def confluent_offsets():
    from confluent_kafka import Consumer, TopicPartition
    name = topic()
    confluent_produce(name)
    consumer = Consumer({"bootstrap.servers": ADDR, "group.id": "unused"})
    same(consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=10), (0, len(RECORDS)))
    for time_, offset in [(0, 0), (1_700_000_000_002, 2), (1_700_000_000_004, 4), (1_800_000_000_000, -1)]:
        found = consumer.offsets_for_times([TopicPartition(name, 0, time_)], timeout=10)
        same(found[0].offset, offset)
    consumer.close()


@scenario
def confluent_notices_truncation():
    """With an epoch beside an offset the client first asks where that epoch ended, and says so when that lies before."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition
    name = topic()
    confluent_produce(name)
    consumer = Consumer({"bootstrap.servers": ADDR, "group.id": "unused", "enable.auto.commit": False,
                         "auto.offset.reset": "error"})

    def next_message():
        deadline = time.time() + 20
        while time.time() < deadline:
            message = consumer.poll(0.5)
            if message is not None:
                return message
        raise AssertionError("nothing came")

    consumer.assign([TopicPartition(name, 0, 0)])
    same(next_message().leader_epoch(), 0)
    consumer.seek(TopicPartition(name, 0, 2, leader_epoch=0))
    same(next_message().offset(), 2)
    consumer.seek(TopicPartition(name, 0, len(RECORDS) + 1, leader_epoch=0))
    error = next_message()
    while error.error() is None:  # what was under way before
        error = next_message()
    same(error.error().code(), KafkaError._AUTO_OFFSET_RESET)
    assert "truncation detected" in error.error().str() and f"end offset is {len(RECORDS)} " in error.error().str(), error.error()
    consumer.close()


@scenario
def confluent_admin():
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec
    admin, name = AdminClient({"bootstrap.servers": ADDR}), topic()
    admin.create_topics([NewTopic(name, 3, 1, config={"retention.ms": "3600000"})])[name].result(10)
    try:
        admin.create_topics([NewTopic(name, 3, 1)])[name].result(10)
        raise AssertionError("a topic was made twice")
    except Exception as error:
        assert "exists" in str(error).lower(), error
    for config, word in [({"cleanup.policy": "compact"}, "compaction"), ({"nonsense": "1"}, "no meaning")]:
        try:
            other = topic()
            admin.create_topics([NewTopic(other, 1, 1, config=config)])[other].result(10)
            raise AssertionError(f"{config} was taken")
        except Exception as error:
            assert word in str(error), error
    same(len(admin.list_topics(name, timeout=10).topics[name].partitions), 3)
    admin.create_partitions([NewPartitions(name, 5)])[name].result(10)
    same(len(admin.list_topics(name, timeout=10).topics[name].partitions), 5)
    resource = ConfigResource("topic", name)
    settings = admin.describe_configs([resource])[resource].result(10)
    same(settings["retention.ms"].value, "3600000")
    confluent_produce(name)
    spec = {TopicPartition(name, 0): OffsetSpec.max_timestamp()}
    same(admin.list_offsets(spec)[TopicPartition(name, 0)].result(10).offset, len(RECORDS) - 1)
    admin.delete_records([TopicPartition(name, 0, 2)])[TopicPartition(name, 0, 2)].result(10)
    spec = {TopicPartition(name, 0): OffsetSpec.earliest()}
    same(admin.list_offsets(spec)[TopicPartition(name, 0)].result(10).offset, 2)
    cluster = admin.describe_cluster().result(10)
    same(len(cluster.nodes), 1)
    admin.delete_topics([name])[name].result(10)
    assert name not in admin.list_topics(timeout=10).topics


# kafka-python

@each("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def kafka_python_codec(codec):
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    name = topic()
    producer = KafkaProducer(bootstrap_servers=ADDR, compression_type=None if codec == "none" else codec, linger_ms=50)
    sent = [producer.send(name, key=key, value=value, partition=0, headers=TEXTS, timestamp_ms=1_700_000_000_000 + at)
            for at, (key, value) in enumerate(RECORDS)]
    same([future.get(20).offset for future in sent], list(range(len(RECORDS))))
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=ADDR, group_id=None, consumer_timeout_ms=20_000)
    consumer.assign([TopicPartition(name, 0)])
    consumer.seek(TopicPartition(name, 0), 0)
    got = []
    for record in consumer:
        got.append(record)
        if len(got) == len(RECORDS):
            break
    same([(r.key, r.value) for r in got], RECORDS)
    same([list(r.headers) for r in got], [TEXTS] * len(RECORDS))
    same([r.timestamp for r in got], [1_700_000_000_000 + at for at in range(len(RECORDS))])
    consumer.close()


# aiokafka

@scenario
def aiokafka_there_and_back():
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

    async def run():
        name = topic()
        async with AIOKafkaProducer(bootstrap_servers=ADDR, enable_idempotence=True) as producer:
            for at, (key, value) in enumerate(RECORDS):
                if value is not None or key is not None:
                    told = await producer.send_and_wait(name, value, key=key, partition=0, headers=HEADERS)
                    same(told.offset, at)
        async with AIOKafkaConsumer(bootstrap_servers=ADDR) as consumer:
            consumer.assign([TopicPartition(name, 0)])
            consumer.seek(TopicPartition(name, 0), 0)
            got = [await asyncio.wait_for(consumer.getone(), 20) for _ in RECORDS]
        same([(r.key, r.value) for r in got], RECORDS)
        same([list(r.headers) for r in got], [HEADERS] * len(RECORDS))

    asyncio.run(run())


# kcat: librdkafka 2.0

def kcat(*arguments, say=None):
    done = subprocess.run(["kcat", "-b", ADDR, *arguments], input=say, capture_output=True, timeout=40)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@each("codec", CODECS)
def kcat_codec(codec):
    name = topic()
    kcat("-P", "-t", name, "-p", "0", "-z", codec, "-K:", "-H", "h=1", say=b"k1:one\nk2:two\n")
    same(kcat("-C", "-t", name, "-p", "0", "-e", "-q", "-f", "%o %k %s %h\\n"), "0 k1 one h=1\n1 k2 two h=1\n")


@scenario
def kcat_lists():
    name = topic()
    kcat("-P", "-t", name, say=b"x\n")
    assert f'topic "{name}"' in kcat("-L")


if "TLS_CLIENT_CERT" in os.environ:
    # The others speak plain text; here is who may come in, and how.
    scenarios.clear()
    import secure
    secure.register(scenario)

passed = failed = 0
for run in scenarios:
    if not ONLY.search(run.__name__):
        continue
    try:
        run()
        passed += 1
        print(f"ok {run.__name__}", flush=True)
    except Exception as error:
        failed += 1
        print(f"FAIL {run.__name__} {type(error).__name__}: {error}", flush=True)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
