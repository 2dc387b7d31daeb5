// What both scripts share: the API's pending sessions, and what a parsed transaction pays.
//
// RPC, WS, API and ACCOUNT (the token account to watch) come from the environment; FORM is "default" or "tuned".

import { Agent, request, setGlobalDispatcher } from "undici";

export const { RPC, WS, API, ACCOUNT, FORM } = process.env;
export const isTuned = FORM === "tuned";
export const mode = process.argv[2];

if (isTuned) setGlobalDispatcher(new Agent({ connections: 64, pipelining: 1 }));

const sessions = new Map();
for (let offset = 0; ; offset += 1000) {
  const { body } = await request(`${API}/history?limit=1000&offset=${offset}`);
  const page = await body.json();
  for (const session of page) sessions.set(session.memo, session);
  if (page.length < 1000) break;
}

const sent = new Set();

// Confirms what a transaction of `jsonParsed` encoding pays for: right memo, right account, right amount.
async function confirm(signature, transaction) {
  if (transaction.meta.err) return;
  const outer = transaction.transaction.message.instructions;
  const inner = (transaction.meta.innerInstructions ?? []).flatMap((group) => group.instructions);
  const all = [...outer, ...inner];
  const memo = all.find((one) => one.program === "spl-memo")?.parsed;
  const session = sessions.get(memo);
  if (!session || sent.has(memo)) return;
  const pays = (one) => {
    const info = one.parsed?.info;
    const amount = info?.amount ?? info?.tokenAmount?.amount;
    return ["transfer", "transferChecked"].includes(one.parsed?.type) && info.destination?.toString() === ACCOUNT && Number(amount) === session.amount;
  };
  if (!all.some(pays)) return;
  sent.add(memo);
  const url = `${API}/crypto/confirm?payment_id=${memo}&transaction_hash=${signature}`;
  const { body } = await request(url, { method: "PUT" });
  await body.dump();
}

// Runs one after the other, or 32 at once.
async function each(items, work) {
  const rest = items[Symbol.iterator]();
  const hand = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: isTuned ? 32 : 1 }, hand));
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// Confirms a signature's payment; `fetch` gives its transaction, or null. Tuned: asks again after null, and survives errors.
export async function handle(signature, fetch) {
  try {
    for (let attempt = 0; attempt < (isTuned ? 10 : 1); attempt++) {
      const transaction = await fetch(signature);
      if (transaction) return await confirm(signature, transaction);
      await pause(50 << attempt);
    }
  } catch (error) {
    if (!isTuned) throw error;
    console.error(signature, error.message);
  }
}

// Goes through all history, oldest first; `list` gives a page of it.
export async function backfill(list, fetch) {
  const all = [];
  for (let before; ; before = all.at(-1).signature) {
    const page = await list({ ...(before && { before }), limit: 1000 });
    all.push(...page);
    if (page.length < 1000) break;
  }
  await each(all.filter((one) => !one.err).reverse(), (one) => handle(one.signature, fetch));
  process.exit(0);
}
