// A watcher over @solana/kit 8.

import { address, createSolanaRpc, createSolanaRpcSubscriptions, signature as toSignature } from "@solana/kit";
import { ACCOUNT, RPC, WS, backfill, handle, isTuned, mode, pause } from "./payments.mjs";

const rpc = createSolanaRpc(RPC);
const account = address(ACCOUNT);

const options = { commitment: "confirmed", encoding: "jsonParsed", maxSupportedTransactionVersion: 0 };
const fetch = (signature) => rpc.getTransaction(toSignature(signature), options).send();

if (mode === "backfill") {
  await backfill((page) => rpc.getSignaturesForAddress(account, page).send(), fetch);
}
// Tuned: connects again when the socket ends.
do {
  try {
    const logs = createSolanaRpcSubscriptions(WS).logsNotifications({ mentions: [account] }, { commitment: "confirmed" });
    for await (const { value } of await logs.subscribe({ abortSignal: new AbortController().signal })) {
      if (!value.err) handle(value.signature, fetch);
    }
  } catch (error) {
    if (!isTuned) throw error;
    await pause(250);
  }
} while (isTuned);
