// A watcher over @solana/kit 8.

import { address, createSolanaRpc, createSolanaRpcSubscriptions, signature as toSignature } from "@solana/kit";
import { ACCOUNT, RPC, WS, confirm, each, isTuned, mode } from "./payments.mjs";

const rpc = createSolanaRpc(RPC);
const account = address(ACCOUNT);

async function handle(signature) {
  for (let attempt = 0; attempt < (isTuned ? 10 : 1); attempt++) {
    const options = { commitment: "confirmed", encoding: "jsonParsed", maxSupportedTransactionVersion: 0 };
    const transaction = await rpc.getTransaction(toSignature(signature), options).send();
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
    const page = await rpc.getSignaturesForAddress(account, { ...(before && { before }), limit: 1000 }).send();
    all.push(...page);
    if (page.length < 1000) break;
  }
  await each(all.filter((one) => !one.err).reverse(), (one) => carefully(one.signature));
  process.exit(0);
}
// Tuned: connects again when the socket ends.
do {
  try {
    const logs = createSolanaRpcSubscriptions(WS).logsNotifications({ mentions: [account] }, { commitment: "confirmed" });
    for await (const { value } of await logs.subscribe({ abortSignal: new AbortController().signal })) {
      if (!value.err) carefully(value.signature);
    }
  } catch (error) {
    if (!isTuned) throw error;
    await new Promise((done) => setTimeout(done, 250));
  }
} while (isTuned);
