// One session of stock `@stomp/stompjs`, with promises and deadlines around its callbacks. Runs in Node and in a page.

export const WAIT = 30000;

export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export class Session {
  // `world` says how to connect: { stompjs, connection: options of Client, login, passcode }.
  static async open(world, version, { headers = {}, ...options } = {}) {
    const session = new Session(world, version, headers, options);
    session.client.activate();
    const failed = Promise.race([session.failed, session.closed]).then((why) => {
      throw new Error(`not connected: ${session.describe(why)}`);
    });
    await within(WAIT, 'connecting', Promise.race([session.connected, failed]));
    return session;
  }

  constructor(world, version, headers, options) {
    const { Client, Versions } = world.stompjs;
    const login = world.login ? { login: world.login, passcode: world.passcode } : {};
    this.version = version;
    this.receipts = 0;
    this.subscriptions = 0;
    this.beats = 0;
    let connected;
    let failed;
    let closed;
    this.connected = new Promise((resolve) => { connected = resolve; });
    this.failed = new Promise((resolve) => { failed = resolve; });
    this.closed = new Promise((resolve) => { closed = resolve; });
    this.client = new Client({
      ...world.connection(new Versions([version])),
      stompVersions: new Versions([version]),
      connectHeaders: { ...login, ...headers },
      reconnectDelay: 0,
      heartbeatIncoming: 0,
      heartbeatOutgoing: 0,
      debug: (text) => { this.beats += text === '<<< PONG' ? 1 : 0; },
      onConnect: connected,
      onStompError: failed,
      onWebSocketClose: closed,
      ...options,
    });
  }

  describe(why) {
    if (why && why.headers) return `${why.headers.message}: ${why.body}`;
    return `closed with ${why && why.code} ${why && why.reason}`;
  }

  // Resolves when the broker has the message.
  send(destination, body, headers = {}) {
    const content = typeof body === 'string' ? { body } : { binaryBody: body };
    return this.withReceipt((receipt) => {
      this.client.publish({ destination, ...content, headers: { ...headers, receipt } });
    });
  }

  sendUnsure(destination, body, headers = {}) {
    this.client.publish({ destination, body, headers });
  }

  // Resolves to the inbox when the subscription stands.
  async subscribe(destination, headers = {}) {
    const inbox = new Inbox(this);
    this.subscriptions += 1;
    await this.withReceipt((receipt) => {
      const all = { id: `s-${this.subscriptions}`, ...headers, receipt };
      inbox.subscription = this.client.subscribe(destination, (message) => inbox.accept(message), all);
    });
    return inbox;
  }

  withReceipt(action) {
    this.receipts += 1;
    const receipt = `r-${this.receipts}`;
    const received = new Promise((resolve) => { this.client.watchForReceipt(receipt, resolve); });
    action(receipt);
    return within(WAIT, 'a receipt', Promise.race([received, this.ended()]));
  }

  ended() {
    return Promise.race([this.failed, this.closed]).then((why) => { throw new Error(this.describe(why)); });
  }

  // The ERROR frame, and the event of the close behind it.
  async error() {
    const frame = await within(WAIT, 'an ERROR', this.failed);
    return { frame, close: await within(WAIT, 'the close', this.closed) };
  }

  // Says goodbye; resolves to the event of the close.
  async leave() {
    await within(WAIT, 'the goodbye', this.client.deactivate());
    return within(WAIT, 'the close', this.closed);
  }

  // The connection is gone without a word, as when a process dies.
  drop() {
    return this.client.deactivate({ force: true });
  }
}

// Messages in arrival order, whether somebody waits for them or not.
class Inbox {
  constructor(session) {
    this.session = session;
    this.ready = [];
    this.waiting = [];
  }

  accept(message) {
    const waiter = this.waiting.shift();
    if (waiter) waiter(message);
    else this.ready.push(message);
  }

  message() {
    if (this.ready.length) return Promise.resolve(this.ready.shift());
    const arrived = new Promise((resolve) => { this.waiting.push(resolve); });
    return within(WAIT, 'a message', Promise.race([arrived, this.session.ended()]));
  }

  async messages(count) {
    const got = [];
    while (got.length < count) got.push(await this.message());
    return got;
  }

  async bodies(count) {
    return (await this.messages(count)).map((message) => message.body);
  }
}
