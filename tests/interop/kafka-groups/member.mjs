// One member of a group of kafkajs: says what it is given and what it reads, a JSON object a line. See member.py.
import { createInterface } from "node:readline";
import { Kafka, logLevel } from "kafkajs";

const ask = JSON.parse(process.argv[2]);
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

const kafka = new Kafka({ clientId: "member", brokers: [ask.bootstrap], logLevel: logLevel.NOTHING });
const consumer = kafka.consumer({
  groupId: ask.group,
  sessionTimeout: ask.session ?? 6000,
  heartbeatInterval: 500,
  rebalanceTimeout: 10000,
  maxWaitTimeInMs: 200,
});
consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
  say({ assigned: (payload.memberAssignment[ask.topic] ?? []).sort() }));
consumer.on(consumer.events.CRASH, ({ payload }) => say({ error: String(payload.error) }));
await consumer.connect();
await consumer.subscribe({ topic: ask.topic, fromBeginning: true });
await consumer.run({
  autoCommitInterval: 200,
  eachMessage: async ({ partition, message }) =>
    say({ read: [partition, Number(message.offset), message.value.toString()] }),
});
createInterface({ input: process.stdin }).once("line", async () => {
  await consumer.disconnect();
  say({ ended: Date.now() / 1000 });
  process.exit(0);
});
