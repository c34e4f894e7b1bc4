// The stock client in Node: over WebSocket, and over TCP with the wrapper that its authors give for that.

import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import * as stompjs from '@stomp/stompjs';
import { TCPWrapper } from '@stomp/tcp-wrapper';
import WebSocket from 'ws';
import { credentials, finish, scenario, websocketUrl } from './harness.mjs';
import { scenarios } from './scenarios.mjs';

const secure = process.env.TLS === '1' ? { ca: readFileSync(process.env.TLS_CA) } : undefined;
const [, host, port] = /^(.*):(\d+)$/.exec(process.env.STOMP_ADDR);

// The way that the wrapper's documentation gives for other sockets.
class Tcp extends TCPWrapper {
  getSocket(toPort, toHost) {
    return secure ? tls.connect({ port: toPort, host: toHost, ...secure }) : super.getSocket(toPort, toHost);
  }
}

const worlds = [
  {
    name: 'ws',
    websocket: true,
    connection: (versions) => ({
      webSocketFactory: () => new WebSocket(websocketUrl(), versions.protocolVersions(), secure),
    }),
  },
  { name: 'tcp', websocket: false, connection: () => ({ webSocketFactory: () => new Tcp(host, Number(port)) }) },
];

for (const world of worlds) {
  for (const [name, body] of scenarios({ stompjs, ...world, ...credentials() })) {
    await scenario(name, body);
  }
}
finish();
