-- What a person needs to see of a token account's payments when neither API nor node is asked.
ALTER TABLE token_accounts ADD COLUMN wallet TEXT;
ALTER TABLE token_accounts ADD COLUMN mint TEXT;
ALTER TABLE token_accounts ADD COLUMN token_program TEXT;
ALTER TABLE token_accounts ADD COLUMN decimals INTEGER;
ALTER TABLE token_accounts ADD COLUMN symbol TEXT;

ALTER TABLE payments ADD COLUMN settled_at INTEGER;   -- when it was finalized or dropped
ALTER TABLE payments ADD COLUMN dismissed_at INTEGER; -- when a person put it aside
CREATE INDEX payment_recorded ON payments (recorded_at);
CREATE INDEX confirmations_of ON confirmations (payment_id);

-- Every verdict a payment was given.
CREATE TABLE judgements (
    payment_id INTEGER NOT NULL REFERENCES payments (id) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    verdict    TEXT NOT NULL,      -- 'matched', or why held
    checkout   TEXT                -- memo of the checkout it pays for
);
CREATE INDEX judgements_of ON judgements (payment_id);

-- What people decided. Not on chain, so never deleted, and written to the disk before it counts.
CREATE TABLE decisions (
    id            INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    actor         TEXT NOT NULL,
    action        TEXT NOT NULL CHECK (action IN ('confirm', 'dismiss', 'retry')),
    signature     TEXT NOT NULL,
    token_account TEXT NOT NULL,
    checkout      TEXT,            -- memo, of a confirm
    reason        TEXT NOT NULL
);
CREATE INDEX decisions_of ON decisions (signature);
