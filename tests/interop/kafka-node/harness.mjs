// Runs named scenarios and prints one line each, as the other suites do: `ok NAME`, `FAIL NAME why`.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

const PATIENCE = 60_000;
const counts = { ok: 0, FAIL: 0 };

export async function scenario(name, body) {
  if (process.env.ONLY && !new RegExp(process.env.ONLY).test(name)) return;
  try {
    await within(PATIENCE, body());
    counts.ok += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    counts.FAIL += 1;
    const line = /suite\.mjs:\d+|secure\.mjs:\d+/.exec(error.stack ?? "");
    console.log(`FAIL ${name} ${String(error.message ?? error).replace(/\s+/g, " ")} (${line?.[0] ?? "elsewhere"})`);
  }
}

export function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// The names of topics are new for each run.
export const topic = () => `kafka-node-${randomUUID().slice(0, 13)}`;

export async function refused(what, promise, words) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    const said = [error.message, error.cause?.message, ...(error.errors ?? []).map((one) => one.message)].join(" | ");
    return assert.match(said, words, what);
  }
  throw new Error(`${what} was not refused: ${JSON.stringify(answer)}`);
}

export function finish() {
  console.log(`${counts.ok} passed, ${counts.FAIL} failed`);
  process.exit(counts.ok && !counts.FAIL ? 0 : 1);
}
