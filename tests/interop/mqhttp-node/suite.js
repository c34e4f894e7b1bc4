'use strict';

// The stock SDK of the cloud's HTTP protocol, npm @aliyunmq/mq-http-sdk, against a broker.
const crypto = require('crypto');
const { spawnSync } = require('child_process');
const { MQClient, MessageProperties } = require('@aliyunmq/mq-http-sdk');
const { scenario, unique, expect, finish } = require('../node/harness');

const { HTTP_ADDR, ACL_USER = 'anyone', ACL_SECRET = 'anything' } = process.env;
// The broker's http.mq.invisible_time and http.mq.order_invisible_time.
const LEASE = Number(process.env.MQ_LEASE_SECONDS || 300);
const HAS_USERS = 'ACL_USER' in process.env;
const HAS_TLS = process.env.TLS === '1';
const ENDPOINT = `${HAS_TLS ? 'https' : 'http'}://${HTTP_ADDR}`;
const client = (user = ACL_USER, secret = ACL_SECRET) => new MQClient(ENDPOINT, user, secret);
const names = () => [unique('topic'), `GID_${unique('group')}`];

function publish(topic, body, tag, fill = () => {}, instance = '') {
  const properties = new MessageProperties();
  fill(properties);
  return client().getProducer(instance, topic).publishMessage(body, tag, properties);
}

async function fails(code, promise) {
  try {
    await promise;
  } catch (error) {
    expect('the error', error.Code, code);
    expect('its request id', error.RequestId.length, 24);
    return error;
  }
  throw new Error(`no ${code}`);
}

const none = (consumer, wait) => fails('MessageNotExist', consumer.consumeMessage(1, wait));
const bodies = (messages) => messages.map((m) => m.MessageBody);

// Another process, which does not know the authority.
function stranger() {
  const script = `
    const { MQClient } = require('@aliyunmq/mq-http-sdk');
    new MQClient('${ENDPOINT}', 'a', 'b').getConsumer('', 't', 'g').consumeMessage(1, 0)
      .then(() => console.log('let in'), (error) => console.log(error.code || error.name));`;
  const env = { ...process.env };
  delete env.NODE_EXTRA_CA_CERTS;
  const out = spawnSync(process.execPath, ['-e', script], { cwd: __dirname, env, timeout: 30000, encoding: 'utf8' });
  return out.stdout.trim();
}

const scenarios = {
  async 'everything-comes-back'() {
    const [topic, group] = names();
    const body = 'grün € 😀 <tag a="1">&amp;</tag>\n\ttab, end ';
    const sent = await publish(topic, body, 'TagA', (p) => {
      p.messageKey('order-17');
      p.putProperty('colour', 'red');
    });
    expect('status', sent.code, 201);
    expect('request id', sent.requestId.length, 24);
    const digest = crypto.createHash('md5').update(body).digest('hex').toUpperCase();
    expect('digest', sent.body.MessageBodyMD5, digest);
    const consumer = client().getConsumer('', topic, group);
    const got = await consumer.consumeMessage(16, 10);
    expect('status', got.code, 200);
    const [message] = got.body;
    expect('body', message.MessageBody, body);
    expect('id', message.MessageId, sent.body.MessageId);
    expect('tag', message.MessageTag, 'TagA');
    expect('key', message.MessageKey, 'order-17');
    expect('properties', message.Properties, { colour: 'red' });
    expect('times', message.ConsumedTimes, '1');
    const lease = Number(message.NextConsumeTime) - Date.now();
    expect('the lease', Math.abs(lease - LEASE * 1000) < 30000, true);
    const settled = await consumer.ackMessage([message.ReceiptHandle]);
    expect('status', [settled.code, settled.body], [204, undefined]);
    await none(consumer);
  },

  async 'tags-select'() {
    const [topic, group] = names();
    for (const tag of ['A', 'B', 'C']) await publish(topic, `of ${tag}`, tag);
    const consumer = client().getConsumer('', topic, group, 'A||C');
    const got = [];
    while (got.length < 2) {
      const { body } = await consumer.consumeMessage(16, 10);
      got.push(...bodies(body));
      await consumer.ackMessage(body.map((m) => m.ReceiptHandle));
    }
    expect('bodies', got.sort(), ['of A', 'of C']);
    await none(consumer);
  },

  async 'redelivered-after-the-lease'() {
    const [topic, group] = names();
    await publish(topic, 'again');
    const consumer = client().getConsumer('', topic, group);
    const [first] = (await consumer.consumeMessage(1, 5)).body;
    const [second] = (await consumer.consumeMessage(1, 30)).body; // nothing before the lease is over
    expect('not too early', Date.now() >= Number(first.NextConsumeTime) - 50, true);
    expect('times', second.ConsumedTimes, '2');
    // A list of handles is no exception here, but an answer.
    const answer = await consumer.ackMessage([first.ReceiptHandle, second.ReceiptHandle]);
    expect('status', answer.code, 404);
    expect('bad ones', answer.body.map((e) => [e.ErrorCode, e.ReceiptHandle]), [
      ['ReceiptHandleError', first.ReceiptHandle],
    ]);
    await none(consumer);
  },

  async delayed() {
    const [topic, group] = names();
    const at = Date.now() + 2000;
    await publish(topic, 'later', '', (p) => p.startDeliverTime(at));
    const consumer = client().getConsumer('', topic, group);
    const [got] = (await consumer.consumeMessage(1, 30)).body;
    expect('not too early', Date.now() >= at, true);
    expect('message', [got.MessageBody, got.StartDeliverTime], ['later', at]);
  },

  async ordered() {
    const [topic, group] = names();
    for (let n = 0; n < 4; n += 1) await publish(topic, `a${n}`, '', (p) => p.shardingKey('a'));
    const consumer = client().getConsumer('', topic, group);
    const first = (await consumer.consumeMessageOrderly(3, 5)).body;
    expect('a run, in order', bodies(first), ['a0', 'a1', 'a2']);
    expect('sharding key', first[0].ShardingKey, 'a');
    await fails('MessageNotExist', client().getConsumer('', topic, group).consumeMessageOrderly(16));
    await consumer.ackMessage([first[0].ReceiptHandle]);
    const again = (await consumer.consumeMessageOrderly(16, 30)).body;
    expect('after the lease, in order', bodies(again), ['a1', 'a2', 'a3']);
    await consumer.ackMessage(again.map((m) => m.ReceiptHandle));
    await fails('MessageNotExist', consumer.consumeMessageOrderly(16));
  },

  async instances() {
    const [topic, group] = names();
    await publish(topic, 'theirs', '', undefined, 'MQ_INST_1_a');
    await fails('TopicNotExist', client().getConsumer('', topic, group).consumeMessage(1));
    const consumer = client().getConsumer('MQ_INST_1_a', topic, group);
    const [got] = (await consumer.consumeMessage(1, 5)).body;
    expect('body', got.MessageBody, 'theirs');
    expect('status', (await consumer.ackMessage([got.ReceiptHandle])).code, 204);
  },

  async 'error-names'() {
    const [topic, group] = names();
    const consumer = client().getConsumer('', topic, group);
    await fails('TopicNotExist', consumer.consumeMessage(1));
    await publish(topic, 'x');
    await fails('SubscriptionNotExist', consumer.ackMessage(['h']));
    await fails('InvalidArgument', publish('a.b', 'x'));
    await fails('InvalidArgument', publish(topic, ''));
    await fails('MalformedXML', publish(topic, '\u0001'));
    // The SDK puts a body into a CDATA section as it is.
    await fails('MalformedXML', publish(topic, 'a ]]> b'));
    await fails('MissingReceiptHandle', consumer.ackMessage([]));
  },

  async transactions() {
    const [topic, group] = names();
    const consumer = client().getConsumer('', topic, `GID_c${group}`);
    const producer = client().getTransProducer('', topic, group);
    const half = async (body) => {
      const properties = new MessageProperties();
      properties.transCheckImmunityTime(10);
      return (await producer.publishMessage(body, '', properties)).body.ReceiptHandle;
    };
    const [committed, rolledBack] = [await half('committed'), await half('rolled back')];
    await half('asked about');
    await none(consumer);
    expect('status', (await producer.commit(committed)).code, 204);
    expect('status', (await producer.rollback(rolledBack)).code, 204);
    const refused = await producer.commit(rolledBack);
    expect('refused', [refused.code, refused.body[0].ErrorCode], [404, 'ReceiptHandleError']);
    const first = (await consumer.consumeMessage(1, 5)).body;
    expect('body', bodies(first), ['committed']);
    await consumer.ackMessage([first[0].ReceiptHandle]);
    const [asked] = (await producer.consumeHalfMessage(3, 30)).body;
    expect('asked', [asked.MessageBody, asked.ConsumedTimes], ['asked about', '1']);
    expect('status', (await producer.commit(asked.ReceiptHandle)).code, 204);
    expect('body', bodies((await consumer.consumeMessage(1, 5)).body), ['asked about']);
  },
};

if (HAS_TLS) {
  scenarios['tls-stranger-refused'] = async () => {
    const why = stranger();
    expect('the reason', /SELF_SIGNED|UNABLE_TO_(VERIFY|GET)/.test(why) || why, true);
  };
}

if (HAS_USERS) {
  scenarios['who-is-let-in'] = async () => {
    const [topic, group] = names();
    await publish(topic, 'x');
    const consume = (user, secret, of = topic) => client(user, secret).getConsumer('', of, group).consumeMessage(1, 5);
    await fails('SignatureDoesNotMatch', consume(ACL_USER, 'wrong'));
    await fails('InvalidAccessKeyId', consume('stranger', ACL_SECRET));
    const { ACL_LIMITED_USER, ACL_LIMITED_SECRET } = process.env;
    await fails('AccessDenied', consume(ACL_LIMITED_USER, ACL_LIMITED_SECRET, 'forbidden'));
    expect('body', bodies((await consume(ACL_LIMITED_USER, ACL_LIMITED_SECRET)).body), ['x']);
  };
}

// They wait rather than work, so they may all wait together.
Promise.all(Object.entries(scenarios).map(([name, body]) => scenario(name, body))).then(finish);
