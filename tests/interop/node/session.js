'use strict';

// One session of the stock `stompit` client, with promises and deadlines around its callbacks.
//
// The address comes from STOMP_ADDR (host:port), TLS and TLS_CA, STOMP_LOGIN and STOMP_PASSCODE,
// STOMP_VHOST (the `host` header).
const fs = require('fs');
const stompit = require('stompit');
const { within } = require('./harness');

const WAIT = 30000;
const [, HOST, PORT] = /^(.*):(\d+)$/.exec(process.env.STOMP_ADDR || '') || [];

function options(version, heartbeat) {
  const { STOMP_LOGIN, STOMP_PASSCODE, STOMP_VHOST, TLS, TLS_CA } = process.env;
  const connectHeaders = { host: STOMP_VHOST || HOST, 'accept-version': version };
  if (STOMP_LOGIN) Object.assign(connectHeaders, { login: STOMP_LOGIN, passcode: STOMP_PASSCODE });
  const tls = TLS === '1' ? { ssl: true, ca: fs.readFileSync(TLS_CA) } : {};
  return { host: HOST, port: Number(PORT), timeout: WAIT, connectHeaders, heartbeat, heartbeatDelayMargin: 2000, ...tls };
}

class Session {
  static async open(version, { heartbeat = [0, 0], headers = {} } = {}) {
    const settings = options(version, heartbeat);
    Object.assign(settings.connectHeaders, headers);
    const client = await within(WAIT, 'connecting', new Promise((resolve, reject) => {
      stompit.connect(settings, (error, connected) => (error ? reject(error) : resolve(connected)));
    }));
    client.getTransportSocket().setNoDelay(true); // stompit writes a frame in pieces
    return new Session(client);
  }

  constructor(client) {
    this.client = client;
    this.inboxes = {};
    this.ended = new Promise((resolve) => {
      client.on('error', resolve); // stompit destroys itself on an ERROR frame
      client.on('end', resolve);
    });
  }

  // Resolves when the broker has the message.
  send(destination, body, headers = {}) {
    return this.withReceipt((receipt) => this.sendUnsure(destination, body, headers, receipt));
  }

  sendUnsure(destination, body, headers = {}, sendOptions = {}) {
    const bytes = Buffer.from(body);
    const frame = this.client.send({ destination, 'content-length': bytes.length, ...headers }, sendOptions);
    if (bytes.length) frame.write(bytes);
    frame.end();
  }

  subscribe(destination, headers = {}) {
    const inbox = new Inbox();
    const id = headers.id || 'sub-1';
    this.inboxes[id] = inbox;
    return this.command((receipt) => {
      // subscribe() takes no receipt of its own, so one rides in its headers.
      receipt.handle = this.client.subscribe({ destination, id, ack: 'auto', ...headers, receipt: receipt.id },
        (error, message) => inbox.accept(error, message));
    });
  }

  message(id = 'sub-1') {
    return within(WAIT, 'a message', Promise.race([
      this.inboxes[id].next(),
      this.ended.then((why) => { throw why || new Error('connection closed'); }),
    ]));
  }

  async messages(count, id) {
    const got = [];
    while (got.length < count) got.push(await this.message(id));
    return got;
  }

  async bodies(count, id) {
    return (await this.messages(count, id)).map((m) => m.body.toString());
  }

  ack(message, headers) {
    return this.withReceipt((receipt) => this.client.ack(message, headers, receipt));
  }

  nack(message, headers) {
    return this.withReceipt((receipt) => this.client.nack(message, headers, receipt));
  }

  withReceipt(action) {
    return within(WAIT, 'a receipt', new Promise((resolve, reject) => {
      this.ended.then((why) => reject(why || new Error('connection closed')));
      action({ onReceipt: resolve });
    }));
  }

  // A receipt whose id we chose ourselves, for the calls of stompit that offer none.
  command(action) {
    this.own = (this.own || 0) + 1;
    const receipt = { id: `own-${this.own}` };
    return within(WAIT, 'a receipt', new Promise((resolve, reject) => {
      this.ended.then((why) => reject(why || new Error('connection closed')));
      this.client._receipts[receipt.id] = () => resolve(receipt.handle);
      action(receipt);
    }));
  }

  disconnect() {
    return within(WAIT, 'the goodbye', new Promise((resolve, reject) => {
      this.client.disconnect((error) => (error ? reject(error) : resolve()));
    }));
  }

  // The ERROR the broker sends, as stompit reports it: told from a mere loss of the connection.
  async error() {
    const why = await within(WAIT, 'an ERROR', this.ended);
    if (!isError(why)) throw new Error(`closed without an ERROR: ${why && why.message}`);
    return why;
  }

  // The socket is gone without a word, as when a process dies.
  drop() {
    this.client.destroy();
  }
}

// stompit turns an ERROR's own error into a transport error on the way, so its words must tell.
function isError(why) {
  return why instanceof Error && !why.code && !/^(connection (ended|timed out)|connect timed out)/.test(why.message);
}

// Messages in arrival order, whether somebody waits for them or not.
class Inbox {
  constructor() {
    this.ready = [];
    this.waiting = [];
  }

  accept(error, message) {
    if (error) return; // the session's own `ended` tells it
    const chunks = [];
    message.on('data', (chunk) => chunks.push(chunk));
    message.on('end', () => {
      const whole = Object.assign(message, { body: Buffer.concat(chunks) });
      const waiter = this.waiting.shift();
      if (waiter) waiter(whole);
      else this.ready.push(whole);
    });
  }

  next() {
    if (this.ready.length) return Promise.resolve(this.ready.shift());
    return new Promise((resolve) => { this.waiting.push(resolve); });
  }
}

module.exports = { Session, isError };
