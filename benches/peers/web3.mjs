// A watcher over @solana/web3.js 1.

import { Connection, PublicKey } from "@solana/web3.js";
import { ACCOUNT, RPC, WS, backfill, handle, mode } from "./payments.mjs";

const connection = new Connection(RPC, { commitment: "confirmed", wsEndpoint: WS });
const account = new PublicKey(ACCOUNT);
const maxSupportedTransactionVersion = 0; // 1 is refused by its types

const fetch = (signature) => connection.getParsedTransaction(signature, { commitment: "confirmed", maxSupportedTransactionVersion });

if (mode === "backfill") {
  await backfill((page) => connection.getSignaturesForAddress(account, page), fetch);
}
connection.onLogs(account, ({ signature, err }) => err || handle(signature, fetch), "confirmed");
