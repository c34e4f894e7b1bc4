'use strict';

// Runs named scenarios and prints one line each: `ok NAME`, `FAIL NAME why`, `skip NAME`.
//
// ONLY and SKIP in the environment are regular expressions over the names; SKIP is for
// running the same scenarios against brokers that lack an extension.
const { randomUUID } = require('crypto');

const DEADLINE = 120000;
const counts = { ok: 0, FAIL: 0, skip: 0 };

function report(verdict, name, why = '') {
  counts[verdict] += 1;
  console.log(`${verdict} ${name}${why.replace(/\s+/g, ' ')}`);
}

// stompit 1.0.0 throws into the void on an ERROR whose content-type is exactly text/plain.
process.on('uncaughtException', (error) => report('FAIL', 'client-survives', ` ${error.message}`));

async function scenario(name, body) {
  const { ONLY, SKIP } = process.env;
  if (ONLY && !new RegExp(ONLY).test(name)) return;
  if (SKIP && new RegExp(SKIP).test(name)) {
    report('skip', name);
    return;
  }
  try {
    await within(DEADLINE, 'the scenario', body());
    report('ok', name);
  } catch (error) {
    const line = /suite\.js:\d+/.exec(error.stack || '');
    report('FAIL', name, ` ${error.message} (${line ? line[0] : 'outside the suite'})`);
  }
}

// A scenario about intervals of time: a machine that is busy can spoil it once, a broker that is wrong spoils it always.
async function tried(body, times = 3) {
  for (let left = times - 1; ; left -= 1) {
    try {
      return await body();
    } catch (error) {
      if (!left) throw error;
    }
  }
}

function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// A name no other scenario or run uses, so that nothing left behind can be mistaken for ours.
function unique(kind) {
  return `it-node-${kind}-${process.pid}-${randomUUID().slice(0, 13)}`;
}

function expect(what, got, wanted) {
  const [a, b] = [got, wanted].map((v) => JSON.stringify(v === undefined ? null : v));
  if (a !== b) throw new Error(`${what}: got ${a.slice(0, 200)}, wanted ${b.slice(0, 200)}`);
}

function finish() {
  const skipped = counts.skip ? `, ${counts.skip} skipped` : '';
  console.log(`${counts.ok} passed, ${counts.FAIL} failed${skipped}`);
  process.exit(counts.ok && !counts.FAIL ? 0 : 1);
}

module.exports = { scenario, tried, within, unique, expect, finish };
