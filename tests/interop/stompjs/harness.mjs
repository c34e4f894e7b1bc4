// Runs named scenarios and prints one line each: `ok NAME`, `FAIL NAME why`, `skip NAME`.
//
// ONLY and SKIP in the environment are regular expressions over the names.

import { within } from './session.mjs';

const DEADLINE = 120000;
const counts = { ok: 0, FAIL: 0, skip: 0 };

function report(verdict, name, why = '') {
  counts[verdict] += 1;
  console.log(`${verdict} ${name}${why.replace(/\s+/g, ' ')}`);
}

export function isWanted(name) {
  const { ONLY } = process.env;
  return !ONLY || new RegExp(ONLY).test(name);
}

export async function scenario(name, body) {
  const { SKIP } = process.env;
  if (!isWanted(name)) return;
  if (SKIP && new RegExp(SKIP).test(name)) {
    report('skip', name);
    return;
  }
  try {
    await within(DEADLINE, 'the scenario', body());
    report('ok', name);
  } catch (error) {
    report('FAIL', name, ` ${error.message}`);
  }
}

export function finish() {
  const skipped = counts.skip ? `, ${counts.skip} skipped` : '';
  console.log(`${counts.ok} passed, ${counts.FAIL} failed${skipped}`);
  process.exit(counts.ok && !counts.FAIL ? 0 : 1);
}

// How scenarios log in, from the environment.
export function credentials() {
  const { STOMP_LOGIN, STOMP_PASSCODE, ACL_LIMITED_USER, ACL_LIMITED_SECRET } = process.env;
  return {
    login: STOMP_LOGIN,
    passcode: STOMP_PASSCODE,
    limited: ACL_LIMITED_USER && [ACL_LIMITED_USER, ACL_LIMITED_SECRET],
  };
}

// Where the broker speaks WebSocket.
export function websocketUrl() {
  const { HTTP_ADDR, TLS } = process.env;
  return `${TLS === '1' ? 'wss' : 'ws'}://${HTTP_ADDR}/ws`;
}
