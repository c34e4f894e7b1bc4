// kafkajs and @platformatic/kafka over TLS, by every way of logging in: who is right comes in, who is wrong does not.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { Consumer as FlexibleConsumer, Producer as FlexibleProducer, stringDeserializers, stringSerializers } from "@platformatic/kafka";
import kafkajs from "kafkajs";
import { refused, scenario, topic } from "./harness.mjs";

const env = process.env;
const { Kafka, logLevel } = kafkajs;
const USER = env.ACL_USER;
const SECRET = env.ACL_SECRET;
const FORGED = `${env.BEARER?.slice(0, -8)}AAAAAAAA`;
const PASSWORDS = ["plain", "scram-sha-256", "scram-sha-512"];
const WAYS = [...PASSWORDS, "oauthbearer", "certificate"];
// One whose certificate does not count is told nothing, and hears the end.
const REFUSAL = /authentication|closed|connection|ECONNRESET|disconnect|metadata failed/i;

function stranger() {
  const folder = mkdtempSync(`${tmpdir()}/stranger-`);
  const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    "-days", "2", "-subj", `/CN=${USER}`, "-out", cert, "-keyout", key], { stdio: "ignore" });
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

const ours = () => ({ cert: readFileSync(env.TLS_CLIENT_CERT), key: readFileSync(env.TLS_CLIENT_KEY) });
const authority = () => ({ ca: [readFileSync(env.TLS_CA)] });

function js(way, wrong, user = USER, secret = SECRET) {
  const config = {
    clientId: "secure", brokers: [env.KAFKA_ADDR], logLevel: logLevel.NOTHING, ssl: authority(), retry: { retries: 1 },
  };
  if (way === "certificate") return new Kafka({ ...config, ssl: { ...config.ssl, ...(wrong ? stranger() : ours()) } });
  const sasl = way === "oauthbearer"
    ? { mechanism: way, oauthBearerProvider: async () => ({ value: wrong ? FORGED : env.BEARER }) }
    : { mechanism: way, username: user, password: wrong ? "wrong" : secret };
  return new Kafka({ ...config, sasl });
}

async function jsProduce(kafka, name) {
  const producer = kafka.producer();
  await producer.connect();
  try {
    return await producer.send({ topic: name, messages: [{ value: "value", partition: 0 }] });
  } finally {
    await producer.disconnect();
  }
}

async function jsThereAndBack(way) {
  const [name, kafka] = [topic(), js(way)];
  await jsProduce(kafka, name);
  const consumer = kafka.consumer({ groupId: topic(), maxWaitTimeInMs: 200 });
  await consumer.connect();
  await consumer.subscribe({ topic: name, fromBeginning: true });
  const value = await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer.run({ eachMessage: async ({ message }) => resolve(message.value.toString()) }).catch(reject);
  });
  await consumer.disconnect();
  assert.equal(value, "value");
}

function flexible(way, wrong) {
  const config = { clientId: "secure", bootstrapBrokers: [env.KAFKA_ADDR], tls: authority(), retries: 1, connectTimeout: 5000 };
  if (way === "certificate") return { ...config, tls: { ...config.tls, ...(wrong ? stranger() : ours()) } };
  const sasl = way === "oauthbearer"
    ? { mechanism: "OAUTHBEARER", token: wrong ? FORGED : env.BEARER }
    : { mechanism: way.toUpperCase(), username: USER, password: wrong ? "wrong" : SECRET };
  return { ...config, sasl };
}

async function flexibleProduce(way, wrong, name) {
  const producer = new FlexibleProducer({ ...flexible(way, wrong), autocreateTopics: true, serializers: stringSerializers });
  try {
    return await producer.send({ messages: [{ topic: name, partition: 0, value: "value" }] });
  } finally {
    await producer.close(true);
  }
}

async function flexibleThereAndBack(way) {
  const name = topic();
  await flexibleProduce(way, false, name);
  const consumer = new FlexibleConsumer({ ...flexible(way), groupId: topic(), maxWaitTime: 500, deserializers: stringDeserializers });
  const stream = await consumer.consume({ topics: [name], mode: "earliest" });
  for await (const message of stream) {
    assert.equal(message.value, "value");
    break;
  }
  await consumer.close(true);
}

// Failures slow down whoever fails, and all tests come from one address: those who are right come first.
export async function run() {
  for (const way of WAYS) {
    await scenario(`secure-kafkajs-there-and-back-${way}`, () => jsThereAndBack(way));
    await scenario(`secure-platformatic-there-and-back-${way}`, () => flexibleThereAndBack(way));
  }
  await scenario("secure-kafkajs-forbidden", async () => {
    const limited = js("scram-sha-512", false, env.ACL_LIMITED_USER, env.ACL_LIMITED_SECRET);
    await jsProduce(limited, topic());
    await refused("forbidden", jsProduce(limited, "forbidden"), /[Aa]uthoriz|[Nn]ot authorized/);
  });
  await scenario("secure-kafkajs-another-authority", async () => {
    const trusting = new Kafka({
      clientId: "secure", brokers: [env.KAFKA_ADDR], logLevel: logLevel.NOTHING, retry: { retries: 0 },
      ssl: { ca: [stranger().cert] }, sasl: { mechanism: "plain", username: USER, password: SECRET },
    });
    await refused("the broker's certificate", jsProduce(trusting, topic()), /certificate/);
  });
  for (const way of WAYS) {
    await scenario(`secure-kafkajs-kept-out-${way}`, () => refused(way, jsProduce(js(way, true), topic()), REFUSAL));
    await scenario(`secure-platformatic-kept-out-${way}`, () => refused(way, flexibleProduce(way, true, topic()), REFUSAL));
  }
}
