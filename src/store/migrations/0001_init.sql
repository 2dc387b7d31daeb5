-- Amounts are decimal text: they are 64 bits unsigned, which no SQL integer holds. Instants are
-- milliseconds since the Unix epoch unless they come from outside (block_time, created_at: seconds).

-- The API's payment sessions, as last seen in GET /history.
CREATE TABLE checkouts (
    memo       TEXT PRIMARY KEY,
    folded     TEXT NOT NULL,      -- as compared: lower case if hexadecimal
    amount     TEXT,               -- base units due
    mint       TEXT,
    recipient  TEXT,               -- wallet
    status     TEXT NOT NULL CHECK (status IN ('pending', 'confirmed')),
    signature  TEXT,               -- transaction the API says confirmed it
    created_at INTEGER
);
CREATE INDEX checkouts_folded ON checkouts (folded);
CREATE INDEX checkouts_pending ON checkouts (mint, recipient) WHERE status = 'pending';

-- Every token account ever watched.
CREATE TABLE token_accounts (
    address       TEXT PRIMARY KEY,
    watched_since INTEGER NOT NULL
);

-- The newest row of a token account is its cursor, the others are anchors to fall back to.
CREATE TABLE cursors (
    token_account TEXT NOT NULL,
    slot          INTEGER NOT NULL,
    signature     TEXT NOT NULL,
    at            INTEGER NOT NULL,
    PRIMARY KEY (token_account, slot)
);

-- Signatures already dealt with for a token account, so that no sweep fetches them again.
CREATE TABLE ingested (
    token_account TEXT NOT NULL,
    signature     TEXT NOT NULL,
    slot          INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    PRIMARY KEY (token_account, signature)
);
CREATE INDEX ingested_slot ON ingested (token_account, slot);

CREATE TABLE payments (
    id            INTEGER PRIMARY KEY,
    signature     TEXT NOT NULL,
    token_account TEXT NOT NULL,
    slot          INTEGER NOT NULL,
    block_time    INTEGER,
    wallet        TEXT,            -- these four are not known while the transaction is unreadable
    mint          TEXT,
    received      TEXT,            -- base units
    payer         TEXT,            -- wallet
    memos         TEXT NOT NULL,   -- JSON list
    verdict       TEXT NOT NULL CHECK (verdict IN ('matched', 'held')),
    reason        TEXT,            -- why held
    note          TEXT,
    checkout      TEXT,            -- memo of the checkout it pays for
    chain_state   TEXT NOT NULL CHECK (chain_state IN ('confirmed', 'finalized', 'dropped')),
    seen_at       INTEGER NOT NULL, -- when its signature first came to us
    recorded_at   INTEGER NOT NULL,
    UNIQUE (signature, token_account)
);
CREATE INDEX payments_held ON payments (reason) WHERE verdict = 'held';
CREATE INDEX payments_unsettled ON payments (slot) WHERE chain_state = 'confirmed';

CREATE TABLE payment_memos (
    payment_id INTEGER NOT NULL REFERENCES payments (id) ON DELETE CASCADE,
    folded     TEXT NOT NULL,
    PRIMARY KEY (payment_id, folded)
);
CREATE INDEX payment_memos_folded ON payment_memos (folded);

-- Transactions that could not be read, until they can.
CREATE TABLE quarantine (
    signature     TEXT NOT NULL,
    token_account TEXT NOT NULL,
    slot          INTEGER NOT NULL,
    retries       INTEGER NOT NULL,
    retry_at      INTEGER NOT NULL,
    PRIMARY KEY (signature, token_account)
);

-- The outbox: one live confirmation per checkout and per payment.
CREATE TABLE confirmations (
    id             INTEGER PRIMARY KEY,
    payment_id     INTEGER NOT NULL REFERENCES payments (id),
    memo           TEXT NOT NULL,
    signature      TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('queued', 'acknowledged', 'parked', 'cancelled')),
    due_at         INTEGER,        -- NULL: not before the payment is finalized
    attempts       INTEGER NOT NULL DEFAULT 0,
    rejected_since INTEGER,        -- first of the answers that said no
    queued_at      INTEGER NOT NULL,
    closed_at      INTEGER,
    note           TEXT
);
CREATE UNIQUE INDEX confirmations_one_per_checkout ON confirmations (memo) WHERE state <> 'cancelled';
CREATE UNIQUE INDEX confirmations_one_per_payment ON confirmations (payment_id) WHERE state <> 'cancelled';
CREATE INDEX confirmations_due ON confirmations (due_at) WHERE state = 'queued';

CREATE TABLE attempts (
    confirmation_id INTEGER NOT NULL REFERENCES confirmations (id),
    at              INTEGER NOT NULL,
    status          INTEGER,       -- HTTP status, if there was an answer
    took_ms         INTEGER NOT NULL,
    reason          TEXT NOT NULL
);
CREATE INDEX attempts_of ON attempts (confirmation_id);
