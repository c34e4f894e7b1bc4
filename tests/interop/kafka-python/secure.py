"""Stock clients over TLS, by every way of logging in: who is right comes in, who is wrong does not, and what a user may
not do stays undone. Registered by suite.py where the broker asks who is there (see ../README.md for the environment)."""

import asyncio, os, ssl, subprocess, tempfile, time, uuid

ADDR, CA = os.environ["KAFKA_ADDR"], os.environ["TLS_CA"]
USER, SECRET = os.environ["ACL_USER"], os.environ["ACL_SECRET"]
LIMITED, LIMITED_SECRET = os.environ["ACL_LIMITED_USER"], os.environ["ACL_LIMITED_SECRET"]
CERTIFICATE, KEY = os.environ["TLS_CLIENT_CERT"], os.environ["TLS_CLIENT_KEY"]
BEARER = os.environ["BEARER"]
PASSWORDS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
WAYS = [*PASSWORDS, "OAUTHBEARER", "certificate"]
FORGED = BEARER[:-8] + "AAAAAAAA"


def topic():
    return f"secure-{uuid.uuid4().hex[:12]}"


def stranger():
    """A certificate that signs for itself, and its key."""
    folder = tempfile.mkdtemp()
    pem, key = f"{folder}/stranger.pem", f"{folder}/stranger.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={USER}", "-out", pem, "-keyout", key],
        check=True, capture_output=True,
    )
    return pem, key


# What clients say who are not let in; one that shows no certificate that counts is told nothing and hears the end.
REFUSALS = ["authentication", "closed", "connection", "brokers", "transport", "timeout"]


def must_fail(what, call):
    try:
        call()
    except Exception as error:
        said = f"{type(error).__name__} {error}".lower()
        assert any(word in said for word in REFUSALS), f"{what}: {said}"
        return
    raise AssertionError(f"{what} was let in")


# confluent-kafka

QUIET = {"log_level": 0, "reconnect.backoff.ms": 300}


def confluent(way, wrong=False, user=USER, secret=SECRET):
    config = {"bootstrap.servers": ADDR, "ssl.ca.location": CA, "security.protocol": "SASL_SSL", **QUIET}
    if way == "certificate":
        pem, key = stranger() if wrong else (CERTIFICATE, KEY)
        return config | {"security.protocol": "SSL", "ssl.certificate.location": pem, "ssl.key.location": key}
    if way == "OAUTHBEARER":
        token = FORGED if wrong else BEARER
        return config | {"sasl.mechanism": way, "oauth_cb": lambda _: (token, time.time() + 600)}
    return config | {"sasl.mechanism": way, "sasl.username": user, "sasl.password": "wrong" if wrong else secret}


def confluent_there_and_back(way):
    from confluent_kafka import Consumer, Producer, TopicPartition
    name, reports = topic(), []
    producer = Producer(confluent(way))
    producer.produce(name, b"value", partition=0, on_delivery=lambda error, _: reports.append(error))
    assert producer.flush(20) == 0 and reports == [None], reports
    consumer = Consumer(confluent(way) | {"group.id": topic(), "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(name, 0, 0)])
    message, deadline = None, time.time() + 20
    while message is None and time.time() < deadline:
        message = consumer.poll(0.5)
    assert message is not None and message.error() is None and message.value() == b"value", message
    consumer.close()


def confluent_kept_out(way):
    from confluent_kafka import KafkaError, Producer
    errors = []
    producer = Producer(confluent(way, wrong=True) | {"error_cb": errors.append})
    wanted = KafkaError._ALL_BROKERS_DOWN if way == "certificate" else KafkaError._AUTHENTICATION
    deadline = time.time() + 20
    while not any(error.code() == wanted for error in errors):
        assert time.time() < deadline, errors
        producer.poll(0.2)


def confluent_forbidden():
    from confluent_kafka import KafkaError, Producer
    reports = []
    producer = Producer(confluent("SCRAM-SHA-256", user=LIMITED, secret=LIMITED_SECRET))
    for name in ["forbidden", topic()]:
        producer.produce(name, b"v", on_delivery=lambda error, _: reports.append(error and error.code()))
        assert producer.flush(20) == 0
    assert reports == [KafkaError.TOPIC_AUTHORIZATION_FAILED, None], reports


# kafka-python

def kafka_python(way, wrong=False):
    config = {"bootstrap_servers": ADDR, "ssl_cafile": CA, "security_protocol": "SASL_SSL", "sasl_mechanism": way}
    if way == "certificate":
        pem, key = stranger() if wrong else (CERTIFICATE, KEY)
        return config | {"security_protocol": "SSL", "sasl_mechanism": None, "ssl_certfile": pem, "ssl_keyfile": key}
    if way == "OAUTHBEARER":
        from kafka.net.sasl.oauth import AbstractTokenProvider

        class Provider(AbstractTokenProvider):
            def token(self):
                return FORGED if wrong else BEARER

        return config | {"sasl_oauth_token_provider": Provider()}
    return config | {"sasl_plain_username": USER, "sasl_plain_password": "wrong" if wrong else SECRET}


def kafka_python_there_and_back(way):
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition
    name = topic()
    producer = KafkaProducer(**kafka_python(way))
    assert producer.send(name, b"value", partition=0).get(20).offset == 0
    producer.close()
    consumer = KafkaConsumer(**kafka_python(way), group_id=None, consumer_timeout_ms=20_000)
    consumer.assign([TopicPartition(name, 0)])
    consumer.seek(TopicPartition(name, 0), 0)
    assert next(iter(consumer)).value == b"value"
    consumer.close()


def kafka_python_kept_out(way):
    from kafka import KafkaProducer
    must_fail(way, lambda: KafkaProducer(**kafka_python(way, wrong=True), api_version_auto_timeout_ms=5000)
              .send(topic(), b"x").get(10))


# aiokafka

def aiokafka(way, wrong=False):
    context = ssl.create_default_context(cafile=CA)
    config = {"bootstrap_servers": ADDR, "ssl_context": context, "security_protocol": "SASL_SSL"}
    if way == "certificate":
        context.load_cert_chain(*(stranger() if wrong else (CERTIFICATE, KEY)))
        return config | {"security_protocol": "SSL"}
    config["sasl_mechanism"] = way
    if way == "OAUTHBEARER":
        from aiokafka.abc import AbstractTokenProvider

        class Provider(AbstractTokenProvider):
            async def token(self):
                return FORGED if wrong else BEARER

        return config | {"sasl_oauth_token_provider": Provider()}
    return config | {"sasl_plain_username": USER, "sasl_plain_password": "wrong" if wrong else SECRET}


def aiokafka_there_and_back(way):
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

    async def run():
        name = topic()
        async with AIOKafkaProducer(**aiokafka(way)) as producer:
            assert (await producer.send_and_wait(name, b"value", partition=0)).offset == 0
        async with AIOKafkaConsumer(**aiokafka(way)) as consumer:
            consumer.assign([TopicPartition(name, 0)])
            consumer.seek(TopicPartition(name, 0), 0)
            assert (await asyncio.wait_for(consumer.getone(), 20)).value == b"value"

    asyncio.run(run())


def aiokafka_kept_out(way):
    from aiokafka import AIOKafkaProducer

    async def run():
        producer = AIOKafkaProducer(**aiokafka(way, wrong=True))
        try:
            await asyncio.wait_for(producer.start(), 20)
        finally:
            await producer.stop()

    must_fail(way, lambda: asyncio.run(run()))


# kcat: librdkafka 2.0

def kcat(way, wrong=False):
    arguments = []
    for name, value in confluent(way, wrong).items():
        arguments += ["-X", f"{name}={value}"] if isinstance(value, str) and name != "bootstrap.servers" else []
    return subprocess.run(["kcat", "-b", ADDR, "-L", "-m", "5", *arguments], capture_output=True, timeout=30)


def kcat_there_and_back(way):
    done = kcat(way)
    assert done.returncode == 0, done.stderr


def kcat_kept_out(way):
    assert kcat(way, wrong=True).returncode != 0


# All of them

def another_authority():
    """A client that trusts somebody else does not say its password."""
    from confluent_kafka import KafkaError, Producer
    errors = []
    producer = Producer(confluent("PLAIN") | {"ssl.ca.location": stranger()[0], "error_cb": errors.append})
    deadline = time.time() + 20
    while not any(error.code() == KafkaError._SSL for error in errors):
        assert time.time() < deadline, errors
        producer.poll(0.2)


def plain_text_is_refused():
    from confluent_kafka.admin import AdminClient
    admin = AdminClient({"bootstrap.servers": ADDR, **QUIET})
    must_fail("plain text", lambda: admin.list_topics(timeout=3))


def register(scenario):
    def add(name, function, *args):
        def run():
            function(*args)

        run.__name__ = f"secure_{name}"
        scenario(run)

    # Failures slow down whoever fails, and all tests come from one address: those who are right come first.
    for act in ["there_and_back", "kept_out"]:
        for client in [confluent, kafka_python, aiokafka, kcat]:
            for way in WAYS:
                # kcat's option is a program that signs; it cannot be given a token.
                if client is not kcat or way != "OAUTHBEARER":
                    name = f"{client.__name__}_{act}"
                    add(f"{name}-{way}", globals()[name], way)
        if act == "there_and_back":
            add("confluent_forbidden", confluent_forbidden)
    for function in [another_authority, plain_text_is_refused]:
        add(function.__name__, function)
