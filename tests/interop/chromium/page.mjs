// Inside the page: what the suite outside calls.

import { scenarios } from './scenarios.mjs';
import { Session } from './session.mjs';

let world;
let bodies;

window.start = ({ name, url, ...credentials }) => {
  world = { name, websocket: true, stompjs: window.StompJs, connection: () => ({ brokerURL: url }), ...credentials };
  bodies = new Map(scenarios(world));
};

window.run = (name) => bodies.get(name)();

window.tryToConnect = async () => {
  const session = new Session(world, '1.2', {}, {});
  session.client.activate();
  const outcome = session.closed.then((why) => session.describe(why));
  return Promise.race([session.connected.then(() => 'connected'), outcome]);
};

// Sends a message if there is one to send, takes one and does not acknowledge it.
window.hold = async (destination, body) => {
  const session = await Session.open(world, '1.2');
  if (body) await session.send(destination, body);
  const message = await (await session.subscribe(destination, { ack: 'client' })).message();
  return [message.body, message.headers.redelivered];
};
