// Stock Kafka clients for Node against the broker at KAFKA_ADDR: what kafkajs and @platformatic/kafka send is what they
// read; and administration. kafkajs speaks the old encodings alone, the other the new ones alone.
import assert from "node:assert/strict";
import {
  Admin as FlexibleAdmin, Consumer as FlexibleConsumer, Producer as FlexibleProducer, ProduceAcks, stringSerializers,
} from "@platformatic/kafka";
import kafkajs from "kafkajs";
import snappy from "kafkajs-snappy";
import { finish, refused, scenario, topic } from "./harness.mjs";
import { run as runSecure } from "./secure.mjs";

if (process.env.TLS_CLIENT_CERT) {
  // The others speak plain text; here is who may come in, and how.
  await runSecure();
  finish();
}

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = snappy;
const ADDR = process.env.KAFKA_ADDR;
const TIME = 1_700_000_000_000;
// Null, empty and binary are three things.
const RECORDS = [
  { key: "key", value: "value" },
  { key: null, value: "no key" },
  { key: "tombstone", value: null },
  { key: "", value: "" },
  { key: Buffer.from([255, 0]), value: Buffer.from(Array.from({ length: 256 }, (_, at) => at)) },
];
const HEADERS = { a: ["1", "2"], b: Buffer.from([0, 255]), c: "" };
const bytes = (text) => (text === null ? null : Buffer.from(text));

// kafkajs

const kafka = () => new Kafka({ clientId: "suite", brokers: [ADDR], logLevel: logLevel.NOTHING });

async function produce(name, messages, options = {}) {
  const { producer: settings, ...send } = options;
  const producer = kafka().producer(settings);
  await producer.connect();
  try {
    return await producer.send({ topic: name, messages, ...send });
  } finally {
    await producer.disconnect();
  }
}

async function consume(name, count) {
  const consumer = kafka().consumer({ groupId: topic(), maxWaitTimeInMs: 200 });
  const got = [];
  await consumer.connect();
  await consumer.subscribe({ topic: name, fromBeginning: true });
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        got.push({ partition, ...message });
        if (got.length === count) resolve();
      },
    }).catch(reject);
  });
  await consumer.disconnect();
  return got;
}

for (const codec of ["None", "GZIP", "Snappy"]) {
  await scenario(`kafkajs-codec-${codec}`, async () => {
    const name = topic();
    const messages = RECORDS.map((record, at) => ({ ...record, headers: HEADERS, timestamp: String(TIME + at), partition: 0 }));
    const [told] = await produce(name, messages, { compression: CompressionTypes[codec] });
    assert.deepEqual([told.errorCode, told.baseOffset], [0, "0"]);
    const got = await consume(name, RECORDS.length);
    RECORDS.forEach((record, at) => {
      assert.deepEqual([got[at].key, got[at].value], [bytes(record.key), bytes(record.value)]);
      assert.deepEqual([got[at].offset, got[at].timestamp], [String(at), String(TIME + at)]);
      assert.deepEqual(got[at].headers, { a: [bytes("1"), bytes("2")], b: HEADERS.b, c: bytes("") });
    });
  });
}

for (const acks of [0, 1, -1]) {
  await scenario(`kafkajs-acks-${acks}`, async () => {
    const name = topic();
    await produce(name, Array.from({ length: 10 }, (_, at) => ({ value: String(at), partition: 0 })), { acks });
    assert.deepEqual((await consume(name, 10)).map((m) => m.value.toString()), [..."0123456789"]);
  });
}

await scenario("kafkajs-idempotent", async () => {
  const name = topic();
  const producer = kafka().producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  for (let at = 0; at < 20; at += 1) {
    const [told] = await producer.send({ topic: name, messages: [{ value: String(at), partition: 0 }] });
    assert.equal(told.baseOffset, String(at));
  }
  await producer.disconnect();
  assert.equal((await consume(name, 20)).length, 20);
});

await scenario("kafkajs-transactions", async () => {
  const [name, groupId] = [topic(), topic()];
  const producer = kafka().producer({ transactionalId: topic(), idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  for (const [at, end] of ["abort", "commit", "abort", "commit"].entries()) {
    const transaction = await producer.transaction();
    await transaction.send({ topic: name, messages: [{ value: String(at), partition: 0 }] });
    const partitions = [{ partition: 0, offset: String(10 + at) }];
    await transaction.sendOffsets({ consumerGroupId: groupId, topics: [{ topic: name, partitions }] });
    await transaction[end]();
  }
  await producer.disconnect();
  assert.deepEqual((await consume(name, 2)).map((message) => message.value.toString()), ["1", "3"]);
  const admin = kafka().admin();
  await admin.connect();
  const [told] = await admin.fetchOffsets({ groupId, topics: [name] });
  await admin.disconnect();
  assert.equal(told.partitions.find((one) => one.partition === 0).offset, "13");
});

await scenario("kafkajs-partitions-by-key", async () => {
  const name = topic();
  await produce(name, Array.from({ length: 40 }, (_, at) => ({ key: `k${at % 10}`, value: String(at) })));
  const got = await consume(name, 40);
  const places = new Map();
  for (const message of got) {
    const key = message.key.toString();
    assert.equal(places.get(key) ?? message.partition, message.partition, "a key stays in its partition");
    places.set(key, message.partition);
  }
  assert.ok(new Set(places.values()).size > 1, "keys are spread");
});

await scenario("kafkajs-administrates", async () => {
  const name = topic();
  const admin = kafka().admin();
  await admin.connect();
  const config = [{ name: "retention.ms", value: "3600000" }];
  assert.equal(await admin.createTopics({ topics: [{ topic: name, numPartitions: 3, configEntries: config }] }), true);
  assert.equal(await admin.createTopics({ topics: [{ topic: name, numPartitions: 3 }] }), false, "it is there already");
  await refused("compaction", admin.createTopics({
    topics: [{ topic: topic(), configEntries: [{ name: "cleanup.policy", value: "compact" }] }],
  }), /./);
  await admin.createPartitions({ topicPartitions: [{ topic: name, count: 5 }] });
  const { topics: [described] } = await admin.fetchTopicMetadata({ topics: [name] });
  assert.equal(described.partitions.length, 5);
  assert.ok((await admin.listTopics()).includes(name));
  const resources = [{ type: ConfigResourceTypes.TOPIC, name }];
  const { resources: [{ configEntries }] } = await admin.describeConfigs({ resources });
  assert.equal(configEntries.find((entry) => entry.configName === "retention.ms").configValue, "3600000");
  const entries = [{ name: "retention.ms", value: "7200000" }];
  await admin.alterConfigs({ validateOnly: false, resources: [{ ...resources[0], configEntries: entries }] });
  await produce(name, RECORDS.map((record) => ({ ...record, partition: 0 })));
  await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: "2" }] });
  const offsets = await admin.fetchTopicOffsets(name);
  assert.deepEqual(offsets.find((o) => o.partition === 0), { partition: 0, offset: "5", high: "5", low: "2" });
  const cluster = await admin.describeCluster();
  assert.deepEqual([cluster.brokers.length, cluster.controller], [1, cluster.brokers[0].nodeId]);
  const group = topic();
  await admin.setOffsets({ groupId: group, topic: name, partitions: [{ partition: 0, offset: "3" }] });
  const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [name] });
  assert.equal(partitions.find((p) => p.partition === 0).offset, "3");
  assert.ok((await admin.listGroups()).groups.some((one) => one.groupId === group));
  await admin.deleteGroups([group]);
  await admin.deleteTopics({ topics: [name] });
  assert.ok(!(await admin.listTopics()).includes(name));
  await admin.disconnect();
});

// @platformatic/kafka

const flexible = { clientId: "suite", bootstrapBrokers: [ADDR] };

for (const compression of ["none", "gzip"]) {
  await scenario(`platformatic-codec-${compression}`, async () => {
    const name = topic();
    const producer = new FlexibleProducer({ ...flexible, autocreateTopics: true });
    const messages = RECORDS.map((record, at) => ({
      topic: name, partition: 0, timestamp: BigInt(TIME + at), headers: new Map([[bytes("a"), bytes("1")]]),
      key: bytes(record.key) ?? undefined, value: bytes(record.value) ?? undefined,
    }));
    const told = await producer.send({ messages, acks: ProduceAcks.ALL, compression });
    assert.equal(told.offsets[0].offset, 0n);
    await producer.close();
    const consumer = new FlexibleConsumer({ ...flexible, groupId: topic(), maxWaitTime: 500, autocommit: true });
    const stream = await consumer.consume({ topics: [name], mode: "earliest" });
    const got = [];
    for await (const message of stream) {
      got.push(message);
      if (got.length === RECORDS.length) break;
    }
    await consumer.close(true);
    const empty = (value) => (value?.length ? value : null); // this client has one word for null and empty
    RECORDS.forEach((record, at) => {
      assert.deepEqual([empty(got[at].key), empty(got[at].value)], [empty(bytes(record.key)), empty(bytes(record.value))]);
      assert.deepEqual([got[at].offset, got[at].timestamp], [BigInt(at), BigInt(TIME + at)]);
      assert.deepEqual([...got[at].headers], [[bytes("a"), bytes("1")]]);
    });
  });
}

await scenario("platformatic-idempotent", async () => {
  const name = topic();
  const producer = new FlexibleProducer({ ...flexible, autocreateTopics: true, idempotent: true, serializers: stringSerializers });
  for (let at = 0; at < 5; at += 1) {
    const told = await producer.send({ messages: [{ topic: name, partition: 0, key: "k", value: String(at) }] });
    assert.equal(told.offsets[0].offset, BigInt(at));
  }
  await producer.close();
});

await scenario("platformatic-administrates", async () => {
  const name = topic();
  const admin = new FlexibleAdmin(flexible);
  const [made] = await admin.createTopics({ topics: [name], partitions: 3, replicas: 1 });
  assert.equal(made.partitions, 3);
  assert.ok((await admin.listTopics()).includes(name));
  await admin.deleteTopics({ topics: [name] });
  assert.ok(!(await admin.listTopics()).includes(name));
  await admin.close();
});

finish();
