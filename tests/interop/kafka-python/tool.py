"""A Kafka client that a test in another language steers: a JSON command a line in, a JSON answer a line out.

  {"op":"send","topic":"t","key":null,"value":"aGk=","headers":[["a","MQ=="],["a",null]],"time":1767686400000}
    -> {"ok":true,"offset":0}                                       once the broker has acknowledged it
  {"op":"receive","topic":"t","group":"g","count":1,"timeoutMs":5000}
    -> {"ok":true,"messages":[{"key":null,"value":"aGk=","headers":[...],"time":1767686400000,"receivedAt":...}]}

`receive` commits what it returns; it returns less than `count` when the time is over. Bytes are in Base64. An `id` is
echoed; a failure is {"ok":false,"error":"..."}. The client is aiokafka, for whom names of headers may hold anything.
"""

import asyncio, base64, json, os, sys, time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

ADDR = os.environ["KAFKA_ADDR"]
LARGEST = 8 << 20
producer = None


def packed(value):
    return None if value is None else base64.b64encode(value).decode()


def unpacked(text):
    return None if text is None else base64.b64decode(text)


async def send(command):
    global producer
    if producer is None:
        producer = AIOKafkaProducer(bootstrap_servers=ADDR, max_request_size=LARGEST, acks="all")
        await producer.start()
    headers = [(name, unpacked(value)) for name, value in command["headers"]]
    told = await producer.send_and_wait(
        command["topic"], unpacked(command["value"]), key=unpacked(command["key"]), headers=headers,
        timestamp_ms=command["time"],
    )
    return {"offset": told.offset}


async def receive(command):
    consumer = AIOKafkaConsumer(
        command["topic"], bootstrap_servers=ADDR, group_id=command["group"], auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    messages, deadline = [], time.monotonic() + command["timeoutMs"] / 1000
    try:
        while len(messages) < command["count"] and time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                at = int(time.time() * 1000)
                messages += [
                    {"key": packed(r.key), "value": packed(r.value), "time": r.timestamp, "receivedAt": at,
                     "headers": [[name, packed(value)] for name, value in r.headers]}
                    for r in records
                ]
        await consumer.commit()
    finally:
        await consumer.stop()
    return {"messages": messages}


async def main():
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        try:
            answer = {"ok": True} | await {"send": send, "receive": receive}[command["op"]](command)
        except Exception as error:
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer | {"id": command.get("id")}), flush=True)
    if producer is not None:
        await producer.stop()


asyncio.run(main())
