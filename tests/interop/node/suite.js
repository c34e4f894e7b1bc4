'use strict';

// The stock Node client `stompit` against a broker: what its users do, in each version it speaks.
const crypto = require('crypto');
const { scenario, tried, within, unique, expect, finish } = require('./harness');
const { Session, isError } = require('./session');

const aQueue = () => `/queue/${unique('q')}`;
const aTopic = () => `/topic/${unique('t')}`;
const numbered = (count) => Array.from({ length: count }, (_, i) => `m${i}`);

// Opens sessions for the scenario and drops them when it is over, however it ends.
async function sessions(version, count, body) {
  const open = [];
  try {
    for (let i = 0; i < count; i += 1) open.push(await Session.open(version));
    await body(...open);
  } finally {
    open.forEach((s) => s.drop());
  }
}

// Nothing else may come before a message sent now.
async function expectNothingButSentinel(s, destination) {
  await s.send(destination, 'sentinel');
  expect('next message', await s.bodies(1), ['sentinel']);
}

async function sendAll(s, destination, list) {
  for (const body of list) await s.send(destination, body);
}

const every = {
  connect: (v) => sessions(v, 1, async (s) => {
    expect('version', s.client.headers.version || '1.0', v);
    expect('session', Boolean(s.client.headers.session), true);
  }),

  bodies: (v) => sessions(v, 1, async (s) => {
    const to = aQueue();
    const every = Buffer.from(Array.from({ length: 1024 }, (_, i) => i & 255));
    const sent = [every, Buffer.alloc(0), Buffer.from('Grüße, 世界 🦀'), crypto.randomBytes(1 << 20), Buffer.from('a\0b')];
    for (const body of sent) await s.send(to, body, { 'content-type': 'application/octet-stream' });
    await s.subscribe(to);
    for (const body of sent) {
      const got = await s.message();
      expect('body is the same', got.body.equals(body), true);
      expect('content-length', got.headers['content-length'], body.length);
      expect('content-type', got.headers['content-type'], 'application/octet-stream');
    }
  }),

  'queue-starts-at-the-earliest': (v) => sessions(v, 1, async (s) => {
    const to = aQueue();
    await sendAll(s, to, numbered(5));
    await s.subscribe(to);
    const got = await s.messages(5);
    expect('order', got.map((m) => m.body.toString()), numbered(5));
    expect('destination', got[0].headers.destination, to);
  }),

  'queue-competing-consumers': (v) => sessions(v, 3, async (a, b, sender) => {
    const to = aQueue();
    for (const s of [a, b]) await s.subscribe(to, { ack: 'client', 'prefetch-count': 1 });
    await sendAll(sender, to, numbered(20));
    const got = [];
    for (let i = 0; i < 10; i += 1) { // each acknowledges only when the other had its turn
      const pair = [[a, await a.message()], [b, await b.message()]];
      for (const [s, m] of pair) {
        await s.ack(m);
        got.push(m.body.toString());
      }
    }
    expect('all, once', got.sort(), numbered(20).sort());
  }),

  'redelivery-to-the-other-after-a-drop': (v) => sessions(v, 2, async (a, b) => {
    const to = aQueue();
    await a.subscribe(to, { ack: 'client' });
    await sendAll(a, to, numbered(3));
    expect('first', await a.bodies(3), numbered(3));
    await b.subscribe(to, { ack: 'client' });
    a.drop();
    const again = await b.messages(3);
    expect('in order', again.map((m) => m.body.toString()), numbered(3));
    expect('redelivered', again.map((m) => m.headers.redelivered), ['true', 'true', 'true']);
    await b.ack(again[2]);
    await expectNothingButSentinel(b, to);
  }),

  'topic-only-new-and-to-each': (v) => sessions(v, 2, async (a, b) => {
    const to = aTopic();
    await a.send(to, 'before');
    for (const s of [a, b]) await s.subscribe(to);
    await sendAll(a, to, numbered(6));
    for (const s of [a, b]) expect('bodies', (await s.bodies(6)).sort(), numbered(6));
  }),

  'two-subscriptions-of-one-session': (v) => sessions(v, 1, async (s) => {
    const [one, two] = [aQueue(), aTopic()];
    await s.subscribe(one, { id: 'first' });
    await s.subscribe(two, { id: 'second' });
    await s.send(two, 'to the second');
    await s.send(one, 'to the first');
    expect('first', await s.bodies(1, 'first'), ['to the first']);
    expect('second', await s.bodies(1, 'second'), ['to the second']);
  }),

  'unsubscribe-stops': (v) => sessions(v, 1, async (s) => {
    const to = aQueue();
    const subscription = await s.subscribe(to);
    await s.send(to, 'm0');
    expect('before', await s.bodies(1), ['m0']);
    subscription.unsubscribe();
    await s.send(to, 'm1');
    await s.subscribe(to, { id: 'again' });
    expect('after', await s.bodies(1, 'again'), ['m1']);
  }),

  'group-shares-and-groups-do-not': (v) => sessions(v, 3, async (a, b, c) => {
    const x = unique('x');
    const [one, two] = [0, 0].map(() => `/group/${unique('g')}/${x}`);
    await a.send(`/queue/${x}`, 'm0'); // a new group starts at the earliest
    await c.subscribe(two);
    await a.subscribe(one, { ack: 'client', 'prefetch-count': 1 });
    const shared = await a.bodies(1);
    await b.subscribe(one, { ack: 'client', 'prefetch-count': 1 });
    await c.send(`/topic/${x}`, 'm1');
    shared.push(...await b.bodies(1)); // a still holds its only message
    expect('shared', shared.sort(), ['m0', 'm1']);
    expect('other group', (await c.bodies(2)).sort(), ['m0', 'm1']);
  }),

  'ack-auto': (v) => sessions(v, 2, async (s, next) => {
    const to = aQueue();
    await s.send(to, 'seen');
    await s.subscribe(to);
    expect('ack header', (await s.message()).headers.ack, null);
    await s.disconnect();
    await next.subscribe(to);
    await expectNothingButSentinel(next, to);
  }),

  'ack-client-is-cumulative': (v) => sessions(v, 2, async (s, next) => {
    const to = aQueue();
    await sendAll(s, to, numbered(4));
    await s.subscribe(to, { ack: 'client' });
    await s.ack((await s.messages(4))[2]);
    s.drop();
    await next.subscribe(to, { ack: 'client' });
    expect('left', await next.bodies(1), ['m3']);
    await expectNothingButSentinel(next, to);
  }),

  'receipts-in-order': (v) => sessions(v, 1, async (s) => {
    const to = aQueue();
    const order = [];
    await Promise.all(numbered(100).map((body) => s.send(to, body).then(() => order.push(body))));
    expect('order', order, numbered(100));
  }),

  'disconnect-receipt': (v) => sessions(v, 2, async (s, next) => {
    const to = aQueue();
    s.sendUnsure(to, 'last words');
    await s.disconnect();
    await next.subscribe(to);
    expect('body', await next.bodies(1), ['last words']);
  }),

  'transaction-commit': (v) => sessions(v, 1, async (s) => {
    const to = aQueue();
    await s.subscribe(to);
    const tx = s.client.begin();
    for (const body of ['in0', 'in1']) {
      const frame = tx.send({ destination: to });
      frame.write(body);
      frame.end();
    }
    await s.send(to, 'outside');
    expect('first', await s.bodies(1), ['outside']);
    await s.withReceipt((receipt) => tx.commit(receipt));
    expect('then', await s.bodies(2), ['in0', 'in1']);
  }),

  'transaction-abort': (v) => sessions(v, 1, async (s) => {
    const to = aQueue();
    await s.subscribe(to);
    const tx = s.client.begin();
    const frame = tx.send({ destination: to });
    frame.write('never');
    frame.end();
    await s.withReceipt((receipt) => tx.abort(receipt));
    await expectNothingButSentinel(s, to);
  }),

  'transaction-ack': (v) => sessions(v, 2, async (s, next) => {
    const to = aQueue();
    await s.send(to, 'once');
    await s.subscribe(to, { ack: 'client' });
    const got = await s.message();
    const aborted = s.client.begin();
    await s.ack(got, { transaction: aborted.id });
    await s.withReceipt((receipt) => aborted.abort(receipt));
    const committed = s.client.begin();
    await s.ack(got, { transaction: committed.id }); // the id outlives the aborted transaction
    await s.withReceipt((receipt) => committed.commit(receipt));
    s.drop();
    await next.subscribe(to);
    await expectNothingButSentinel(next, to);
  }),

  'header-escapes': (v) => sessions(v, 1, async (s) => {
    const to = aQueue();
    const value = { '1.0': 'a:b\\c ünï ✓', 1.1: 'a:b\\c\nd ünï ✓ ', 1.2: 'a:b\\c\nd\re ünï ✓ ' }[v];
    const name = v === '1.0' ? 'x-name' : 'x:na\\me';
    await s.send(to, 'x', { 'x-value': value, [name]: 'odd' });
    await s.subscribe(to);
    const got = (await s.message()).headers;
    expect('value', got['x-value'], value);
    expect('name', got[name], 'odd');
  }),

  'tag-filter': (v) => sessions(v, 1, async (s) => {
    const to = aTopic();
    await s.subscribe(to, { tag: 'a||c' });
    const tags = ['a', 'b', 'c', 'b', 'a'];
    for (const [i, tag] of tags.entries()) await s.send(to, `${tag}${i}`, { tag });
    expect('bodies', (await s.bodies(3)).sort(), ['a0', 'a4', 'c2']);
  }),

  delay: (v) => sessions(v, 1, async (s) => {
    const to = aQueue();
    await s.subscribe(to);
    const started = Date.now();
    await s.send(to, 'later', { delay: '1200' });
    await s.send(to, 'now');
    const came = {};
    for (let i = 0; i < 2; i += 1) came[(await s.message()).body] = Date.now() - started;
    expect('bodies', Object.keys(came).sort(), ['later', 'now']);
    expect('waited', came.later > 1150 ? 'at least 1.2 s' : `${came.later} ms`, 'at least 1.2 s');
  }),

  'error-bad-destination': (v) => sessions(v, 1, async (s) => {
    s.sendUnsure('/queue/', 'x');
    expect('message', Boolean((await s.error()).message), true);
  }),

  'error-unknown-transaction': (v) => sessions(v, 1, async (s) => {
    s.sendUnsure(aQueue(), 'x', { transaction: 'nope' });
    await s.error();
  }),

  'error-unknown-ack-id': (v) => sessions(v, 1, async (s) => {
    await s.subscribe(aQueue(), { ack: 'client' });
    s.client.ack({ headers: { ack: 'nope', 'message-id': 'nope', subscription: 'sub-1' } });
    await s.error();
  }),
};

const from11 = {
  'ack-client-individual': (v) => sessions(v, 2, async (s, next) => {
    const to = aQueue();
    await sendAll(s, to, numbered(3));
    await s.subscribe(to, { ack: 'client-individual' });
    await s.ack((await s.messages(3))[1]);
    s.drop();
    await next.subscribe(to);
    const left = await next.messages(2);
    expect('left', left.map((m) => m.body.toString()), ['m0', 'm2']);
    expect('redelivered', left.map((m) => m.headers.redelivered), ['true', 'true']);
  }),

  'nack-redelivers': (v) => sessions(v, 1, async (s) => {
    const to = aQueue();
    await s.send(to, 'again');
    await s.subscribe(to, { ack: 'client-individual' });
    const first = await s.message();
    await s.nack(first);
    const second = await s.message();
    expect('redelivered', [first, second].map((m) => m.headers.redelivered), ['false', 'true']);
    await s.ack(second);
    await expectNothingButSentinel(s, to);
  }),

  'nack-without-requeue-is-a-dead-letter': (v) => sessions(v, 1, async (s) => {
    const [x, group] = [unique('q'), unique('g')];
    await s.send(`/queue/${x}`, 'poison');
    await s.subscribe(`/group/${group}/${x}`, { ack: 'client-individual' });
    await s.nack(await s.message(), { requeue: 'false' });
    await expectNothingButSentinel(s, `/queue/${x}`);
    await s.subscribe(`/amq/queue/%DLQ%${group}`, { id: 'dead' });
    expect('dead letter', await s.bodies(1, 'dead'), ['poison']);
  }),

  // stompit gives up by itself when the broker misses a beat; the broker does when stompit does.
  'heart-beats': (v) => tried(async () => {
    const s = await Session.open(v, { heartbeat: [1000, 1000] });
    const socket = s.client.getTransportSocket();
    let beats = 0;
    try {
      await within(30000, 'three beats', new Promise((resolve, reject) => {
        s.ended.then((why) => reject(why || new Error('connection closed')));
        socket.on('data', (chunk) => {
          if (/^\n+$/.test(chunk.toString())) beats += chunk.length;
          if (beats >= 3) resolve();
        });
      }));
      await s.send(aQueue(), 'still there');
    } finally {
      s.drop();
    }
  }),
};

async function main() {
  for (const version of ['1.0', '1.1', '1.2']) {
    const scenarios = version === '1.0' ? every : { ...every, ...from11 };
    for (const [name, body] of Object.entries(scenarios)) await scenario(`${version}/${name}`, () => body(version));
  }
  await scenario('version-negotiation-takes-the-highest', async () => {
    const s = await Session.open('1.0,1.1,1.2');
    expect('version', s.client.headers.version, '1.2');
    s.drop();
  });
  if (process.env.STOMP_LOGIN) {
    await scenario('wrong-passcode-is-refused', async () => {
      const refused = await Session.open('1.2', { headers: { passcode: 'certainly wrong' } }).catch((error) => error);
      expect('refused', isError(refused), true);
    });
  }
  finish();
}

main();
