// What users of `@stomp/stompjs` do, in each version it speaks; the same in Node and in a page.

import { Session, WAIT, within } from './session.mjs';

let made = 0;
// A name no other scenario or run uses, so that nothing left behind can be mistaken for ours.
const unique = (kind) => {
  made += 1;
  return `it-stompjs-${kind}-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}-${made}`;
};
const aQueue = () => `/queue/${unique('q')}`;
const aTopic = () => `/topic/${unique('t')}`;
const numbered = (count) => Array.from({ length: count }, (_, i) => `m${i}`);

export function expect(what, got, wanted) {
  const [a, b] = [got, wanted].map((value) => JSON.stringify(value === undefined ? null : value));
  if (a !== b) throw new Error(`${what}: got ${a.slice(0, 200)}, wanted ${b.slice(0, 200)}`);
}

// Opens sessions for the scenario and drops them when it is over, however it ends.
const sessions = (count, body, options) => async (world, version) => {
  const open = [];
  try {
    for (let i = 0; i < count; i += 1) open.push(await Session.open(world, version, options));
    await body(...open, world);
  } finally {
    open.forEach((session) => session.drop());
  }
};

// Nothing else may come before a message sent now.
async function expectNothingButSentinel(session, inbox, destination) {
  await session.send(destination, 'sentinel');
  expect('next message', await inbox.bodies(1), ['sentinel']);
}

async function until(what, holds) {
  const deadline = Date.now() + WAIT;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${WAIT} ms`);
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
}

const refused = (provoke) => sessions(1, async (s, world) => {
  await provoke(s);
  const { frame, close } = await s.error();
  expect('a message', Boolean(frame.headers.message), true);
  if (world.websocket) expect('close code', close.code, 1008);
});

const every = {
  connect: sessions(1, async (s, world) => {
    expect('version', s.client.connectedVersion, s.version);
    expect('server', /^sluice\//.test((await s.connected).headers.server), true);
    if (world.websocket) expect('sub-protocol', s.client.webSocket.protocol, `v${s.version.replace('.', '')}.stomp`);
  }),

  bodies: sessions(1, async (s) => {
    const to = aQueue();
    const texts = ['', 'Grüße, 世界 🦀', 'a\nb', 'x'.repeat(1 << 20)];
    const bytes = Uint8Array.from({ length: 1024 }, (_, i) => i % 256);
    const inbox = await s.subscribe(to);
    for (const text of texts) await s.send(to, text, { 'content-type': 'text/plain' });
    await s.send(to, bytes);
    for (const text of texts) {
      const got = await inbox.message();
      expect('text', got.body === text, true);
      expect('content-type', got.headers['content-type'], 'text/plain');
    }
    expect('bytes', Array.from((await inbox.message()).binaryBody), Array.from(bytes));
  }),

  'queue-starts-at-the-earliest': sessions(1, async (s) => {
    const to = aQueue();
    for (const body of numbered(5)) await s.send(to, body);
    const inbox = await s.subscribe(to);
    const got = await inbox.messages(5);
    expect('order', got.map((m) => m.body), numbered(5));
    expect('destination', got[0].headers.destination, to);
  }),

  'topic-sees-what-follows-subscribe-at-once': sessions(2, async (a, b) => {
    const to = aTopic();
    await a.send(to, 'before');
    const other = await b.subscribe(to);
    const inbox = new Promise((resolve) => { a.client.subscribe(to, resolve); });
    a.sendUnsure(to, 'right behind');
    expect('body', (await within(WAIT, 'the message', inbox)).body, 'right behind');
    expect('of the other', await other.bodies(1), ['right behind']);
  }),

  'ack-client-is-cumulative': sessions(2, async (a, b) => {
    const to = aQueue();
    for (const body of numbered(4)) await a.send(to, body);
    const inbox = await a.subscribe(to, { ack: 'client' });
    const got = await inbox.messages(4);
    await a.withReceipt((receipt) => got[2].ack({ receipt }));
    await a.withReceipt((receipt) => inbox.subscription.unsubscribe({ receipt }));
    const left = await b.subscribe(to);
    expect('left', await left.bodies(1), ['m3']);
    await expectNothingButSentinel(b, left, to);
  }),

  'unsubscribe-ends-it': sessions(1, async (s) => {
    const [to, other] = [aTopic(), aTopic()];
    const [inbox, sentinel] = [await s.subscribe(to), await s.subscribe(other)];
    await s.withReceipt((receipt) => inbox.subscription.unsubscribe({ receipt }));
    await s.send(to, 'to nobody');
    await expectNothingButSentinel(s, sentinel, other);
    expect('nothing', inbox.ready.length, 0);
  }),

  'receipts-in-order': sessions(1, async (s) => {
    const [to, got] = [aQueue(), []];
    const all = numbered(100).map((body) => new Promise((resolve) => {
      s.client.watchForReceipt(body, () => resolve(got.push(body)));
      s.sendUnsure(to, body, { receipt: body });
    }));
    await within(WAIT, 'the receipts', Promise.all(all));
    expect('order', got, numbered(100));
  }),

  'transaction-commit': sessions(1, async (s) => {
    const to = aQueue();
    const inbox = await s.subscribe(to);
    const tx = s.client.begin();
    for (const body of numbered(2)) s.sendUnsure(to, body, { transaction: tx.id });
    await s.send(to, 'outside');
    expect('first', await inbox.bodies(1), ['outside']);
    tx.commit();
    expect('then', await inbox.bodies(2), numbered(2));
  }),

  'transaction-abort': sessions(1, async (s) => {
    const to = aQueue();
    const inbox = await s.subscribe(to);
    const tx = s.client.begin();
    s.sendUnsure(to, 'never', { transaction: tx.id });
    tx.abort();
    await expectNothingButSentinel(s, inbox, to);
  }),

  'transaction-ack': sessions(2, async (a, b) => {
    const to = aQueue();
    await a.send(to, 'once');
    const inbox = await a.subscribe(to, { ack: 'client' });
    const got = await inbox.message();
    const aborted = a.client.begin();
    got.ack({ transaction: aborted.id });
    aborted.abort();
    const tx = a.client.begin();
    got.ack({ transaction: tx.id });
    tx.commit();
    await a.withReceipt((receipt) => inbox.subscription.unsubscribe({ receipt }));
    await expectNothingButSentinel(b, await b.subscribe(to), to);
  }),

  'redelivery-after-a-drop': sessions(2, async (a, b) => {
    const to = aQueue();
    for (const body of numbered(3)) await a.send(to, body);
    await (await a.subscribe(to, { ack: 'client' })).messages(3);
    a.drop();
    const again = await (await b.subscribe(to)).messages(3);
    expect('in order', again.map((m) => m.body), numbered(3));
    expect('redelivered', again.map((m) => m.headers.redelivered), ['true', 'true', 'true']);
  }),

  'tag-and-selector': sessions(1, async (s) => {
    const to = aTopic();
    const tagged = await s.subscribe(to, { tag: 'a||c' });
    const dear = await s.subscribe(to, { selector: 'price > 9.5' });
    for (const tag of 'abc') await s.send(to, tag, { tag, price: tag === 'b' ? '10' : '9' });
    expect('by tag', (await tagged.bodies(2)).sort(), ['a', 'c']);
    expect('by price', await dear.bodies(1), ['b']);
  }),

  'goodbye-is-clean': sessions(1, async (s, world) => {
    const close = await s.leave();
    if (world.websocket) expect('code', [close.code, close.wasClean !== false], [1000, true]);
  }),

  'error-bad-destination': refused((s) => s.sendUnsure('/queue/', 'x')),
  'error-unknown-transaction': refused((s) => s.client.commit('nope')),
  'error-unknown-ack-id': refused(async (s) => {
    await s.subscribe(aQueue(), { ack: 'client' });
    s.client.ack('nope', 's-1');
  }),
};

const from11 = {
  'ack-client-individual': sessions(2, async (a, b) => {
    const to = aQueue();
    for (const body of numbered(3)) await a.send(to, body);
    const inbox = await a.subscribe(to, { ack: 'client-individual' });
    const got = await inbox.messages(3);
    await a.withReceipt((receipt) => got[1].ack({ receipt }));
    await a.withReceipt((receipt) => inbox.subscription.unsubscribe({ receipt }));
    expect('left', await (await b.subscribe(to)).bodies(2), ['m0', 'm2']);
  }),

  'nack-redelivers': sessions(1, async (s) => {
    const to = aQueue();
    await s.send(to, 'again');
    const inbox = await s.subscribe(to, { ack: 'client-individual' });
    const first = await inbox.message();
    first.nack();
    const second = await inbox.message();
    expect('redelivered', [first, second].map((m) => m.headers.redelivered), ['false', 'true']);
    expect('message-id', second.headers['message-id'], first.headers['message-id']);
    await s.withReceipt((receipt) => second.ack({ receipt }));
    await expectNothingButSentinel(s, inbox, to);
  }),

  'heart-beats': sessions(1, async (s) => {
    await until('three beats', () => s.beats >= 3);
    await s.send(aQueue(), 'still there');
  }, { heartbeatIncoming: 1500, heartbeatOutgoing: 1500 }),
};

const only12 = {
  // stompjs escapes in this version alone.
  'header-escapes': sessions(1, async (s) => {
    // A backslash in front of c, n or r is more than stompjs can read.
    const [to, value] = [aQueue(), 'a:b\\d\ne\rf ünï ✓'];
    const inbox = await s.subscribe(to);
    await s.send(to, 'x', { 'x-value': value });
    expect('value', (await inbox.message()).headers['x-value'], value);
  }),

  'large-frames-in-pieces': sessions(1, async (s) => {
    // stompjs cuts between any two units of UTF-16, so within what lies beyond the first plane.
    const [to, body] = [aQueue(), 'Grüße, 世界 '.repeat(20000)];
    const inbox = await s.subscribe(to);
    await s.send(to, body);
    expect('body', (await inbox.message()).body === body, true);
  }, { splitLargeFrames: true, maxWebSocketChunkSize: 1000 }),

  'frames-as-bytes': sessions(1, async (s) => {
    const to = aQueue();
    const inbox = await s.subscribe(to);
    await s.send(to, 'Grüße');
    expect('body', await inbox.bodies(1), ['Grüße']);
  }, { forceBinaryWSFrames: true }),

  'reconnects-and-gets-it-again': async (world, version) => {
    const to = aQueue();
    const got = [];
    const session = await Session.open(world, version, { reconnectDelay: 50 });
    const listen = () => session.client.subscribe(to, (message) => got.push(message), { ack: 'client' });
    try {
      listen();
      await session.send(to, 'held');
      await until('the message', () => got.length === 1);
      const again = new Promise((resolve) => { session.client.onConnect = resolve; });
      session.client.forceDisconnect();
      await within(WAIT, 'the second connection', again);
      listen();
      await until('the message again', () => got.length === 2);
      expect('redelivered', [got[1].body, got[1].headers.redelivered], ['held', 'true']);
    } finally {
      session.drop();
    }
  },
};

async function rejected(world, version) {
  try {
    (await Session.open(world, version)).drop();
  } catch (error) {
    expect('refused in words', /Access refused/.test(error.message), true);
    return;
  }
  throw new Error('connected all the same');
}

const secured = {
  'wrong-passcode-is-refused': (world, version) => rejected({ ...world, passcode: 'certainly wrong' }, version),
  'nobody-is-refused': (world, version) => rejected({ ...world, login: undefined }, version),
};

const limited = {
  'may-not-send-to-forbidden': async (world, version) => {
    const session = await Session.open({ ...world, login: world.limited[0], passcode: world.limited[1] }, version);
    try {
      await session.send(aQueue(), 'allowed');
      session.sendUnsure('/queue/forbidden', 'not allowed');
      expect('message', (await session.error()).frame.headers.message, 'Access refused');
    } finally {
      session.drop();
    }
  },
};

// All scenarios of this world: [name, body] pairs.
export function scenarios(world) {
  const parts = [];
  for (const version of ['1.0', '1.1', '1.2']) {
    const sets = [every];
    if (version !== '1.0') sets.push(from11);
    if (version === '1.2') sets.push(only12);
    if (version === '1.2' && world.login) sets.push(secured);
    if (version === '1.2' && world.limited) sets.push(limited);
    for (const [name, body] of sets.flatMap(Object.entries)) {
      parts.push([`${version}/${world.name}-${name}`, () => body(world, version)]);
    }
  }
  return parts;
}
