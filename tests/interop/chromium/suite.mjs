// The stock browser client in a page of headless Chromium: the scenarios of ../stompjs, and what only a browser does.

import { createHash, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import tls from 'node:tls';
import { credentials, finish, isWanted, scenario, websocketUrl } from '../stompjs/harness.mjs';
import { expect, scenarios } from '../stompjs/scenarios.mjs';

// Its packages lie in the folder of the other suite.
const { chromium } = createRequire(new URL('../stompjs/suite.mjs', import.meta.url))('playwright-core');

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((path) => existsSync(path));
const { HTTP_ADDR, TLS, TLS_CA, WEBSOCKET_ORIGIN } = process.env;
const secure = TLS === '1';
const OWN = `${secure ? 'https' : 'http'}://${HTTP_ADDR}`;
const FOREIGN = 'http://strangers.test';

// What the pages are made of, whatever origin they have; nothing is fetched from the network.
const file = (path) => readFileSync(new URL(`../stompjs/${path}`, import.meta.url));
const FILES = {
  '/page': ['text/html', '<!doctype html><script src="/stomp.js"></script><script type="module" src="/page.mjs"></script>'],
  '/stomp.js': ['text/javascript', file('node_modules/@stomp/stompjs/bundles/stomp.umd.js')],
  '/session.mjs': ['text/javascript', file('session.mjs')],
  '/scenarios.mjs': ['text/javascript', file('scenarios.mjs')],
  '/page.mjs': ['text/javascript', readFileSync(new URL('page.mjs', import.meta.url))],
};

// Chromium has its own list of authorities; it is told to take this one key, which we have verified ourselves.
async function trusted() {
  if (!secure) return [];
  const [, host, port] = /^(.*):(\d+)$/.exec(HTTP_ADDR);
  const der = await new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port, ca: readFileSync(TLS_CA) }, () => {
      resolve(socket.getPeerX509Certificate().raw);
      socket.end();
    });
    socket.on('error', reject);
  });
  const key = new X509Certificate(der).publicKey.export({ type: 'spki', format: 'der' });
  return [`--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`];
}

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    // The pages come from here, so the browser cannot know that they are as local as the broker.
    '--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets',
    ...(await trusted()),
  ],
});

async function open(origin, name) {
  const context = await browser.newContext();
  await context.route('**/*', (route) => {
    const [type, body] = FILES[new URL(route.request().url()).pathname] || [];
    return type ? route.fulfill({ contentType: type, body }) : route.fulfill({ status: 404, body: '' });
  });
  const page = await context.newPage();
  page.setDefaultTimeout(90000);
  await page.goto(`${origin}/page`);
  await page.waitForFunction(() => Boolean(window.start));
  await page.evaluate((world) => window.start(world), { name, url: websocketUrl(), ...credentials() });
  return page;
}

const WANTED = scenarios({ name: 'page', ...credentials() }).map(([name]) => name).filter(isWanted);

async function everything() {
  const page = await open(OWN, 'page');
  for (const name of WANTED) {
    await scenario(name, () => page.evaluate((wanted) => window.run(wanted), name));
  }
  await page.close();
}

async function connectsFrom(origin) {
  const page = await open(origin, 'origin');
  try {
    return await page.evaluate(() => window.tryToConnect());
  } finally {
    await page.close();
  }
}

await everything();
await scenario('page-of-a-named-origin', async () => {
  expect('outcome', await connectsFrom(WEBSOCKET_ORIGIN), 'connected');
});
await scenario('page-of-another-origin-is-refused', async () => {
  expect('outcome', await connectsFrom(FOREIGN), 'closed with 1006 ');
});
await scenario('page-that-is-closed-gives-its-messages-back', async () => {
  const to = `/queue/it-chromium-${Date.now().toString(36)}-${process.pid}`;
  const [first, second] = [await open(OWN, 'first'), await open(OWN, 'second')];
  await first.evaluate((destination) => window.hold(destination, 'held'), to);
  await first.close();
  const got = await second.evaluate((destination) => window.hold(destination), to);
  expect('redelivered', got, ['held', 'true']);
});
await browser.close();
finish();
