-- Transactions that were not read, because the memos that the node shows of them name no known checkout (watch.scope = "own").
-- One row a memo. When a checkout of that memo becomes known, they are read after all.
CREATE TABLE set_aside (
    token_account TEXT NOT NULL,
    signature     TEXT NOT NULL,
    folded        TEXT NOT NULL,
    slot          INTEGER,         -- NULL: heard of, not listed yet
    at            INTEGER NOT NULL,
    PRIMARY KEY (token_account, signature, folded)
);
CREATE INDEX set_aside_folded ON set_aside (folded);
CREATE INDEX set_aside_signature ON set_aside (signature);
CREATE INDEX set_aside_at ON set_aside (at);
