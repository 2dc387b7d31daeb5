// A watcher over @solana/web3.js 1.

import { Connection, PublicKey } from "@solana/web3.js";
import { ACCOUNT, RPC, WS, confirm, each, isTuned, mode } from "./payments.mjs";

const connection = new Connection(RPC, { commitment: "confirmed", wsEndpoint: WS });
const account = new PublicKey(ACCOUNT);
const maxSupportedTransactionVersion = 0; // 1 is refused by its types

async function handle(signature) {
  for (let attempt = 0; attempt < (isTuned ? 10 : 1); attempt++) {
    const transaction = await connection.getParsedTransaction(signature, { commitment: "confirmed", maxSupportedTransactionVersion });
    if (transaction) return confirm(signature, transaction);
    await new Promise((done) => setTimeout(done, 50 << attempt));
  }
}

async function carefully(signature) {
  if (!isTuned) return handle(signature);
  try {
    await handle(signature);
  } catch (error) {
    console.error(signature, error.message);
  }
}

if (mode === "backfill") {
  const all = [];
  for (let before; ; before = all.at(-1).signature) {
    const page = await connection.getSignaturesForAddress(account, { before, limit: 1000 });
    all.push(...page);
    if (page.length < 1000) break;
  }
  await each(all.filter((one) => !one.err).reverse(), (one) => carefully(one.signature));
  process.exit(0);
}
connection.onLogs(account, ({ signature, err }) => err || carefully(signature), "confirmed");
