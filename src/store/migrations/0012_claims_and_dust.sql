-- The memo of a confirmation as memos are compared. Where the checkout was not known when the confirmation was queued, the API may
-- hold two spellings of one memo for the same checkout.
ALTER TABLE confirmations ADD COLUMN folded TEXT NOT NULL DEFAULT '';
ALTER TABLE confirmations ADD COLUMN is_unknown INTEGER NOT NULL DEFAULT 0 CHECK (is_unknown IN (0, 1)); -- checkout not known then
UPDATE confirmations SET folded = CASE WHEN memo GLOB '*[^0-9A-Fa-f]*' THEN memo ELSE lower(memo) END;
CREATE INDEX confirmations_folded ON confirmations (folded) WHERE state <> 'cancelled';
CREATE UNIQUE INDEX confirmations_one_per_unknown_memo ON confirmations (folded) WHERE state <> 'cancelled' AND is_unknown = 1;

-- Held, and too small to need a person (policy.dust_below).
ALTER TABLE payments ADD COLUMN is_dust INTEGER NOT NULL DEFAULT 0 CHECK (is_dust IN (0, 1));
CREATE INDEX payments_held_most ON payments (token_account, CAST(received AS INTEGER))
    WHERE verdict = 'held' AND is_dust = 0 AND dismissed_at IS NULL AND chain_state <> 'dropped';
