-- How far back each token account's history was really listed and recorded, down from its cursor. Older history is still owed while it is wanted.
CREATE TABLE reaches (
    token_account TEXT PRIMARY KEY,
    back_to       INTEGER NOT NULL, -- Unix seconds
    signature     TEXT              -- the oldest transaction listed; older history continues below it
);

-- Where each endpoint's own listing of a token account ended, apart from the cursor: the newest row, and an older one to list from.
CREATE TABLE opinions (
    token_account TEXT NOT NULL,
    endpoint      TEXT NOT NULL,    -- scheme, host, port and the beginning of a hash of the whole address
    slot          INTEGER NOT NULL,
    signature     TEXT NOT NULL,
    at            INTEGER NOT NULL,
    PRIMARY KEY (token_account, endpoint, slot)
);

-- The oldest pending checkout is looked up in each sweep.
CREATE INDEX checkouts_pending_since ON checkouts (created_at) WHERE status = 'pending';

-- Whether a token account was on the watch list when that last changed: these are watched from the start while the payments API is away.
ALTER TABLE token_accounts ADD COLUMN is_watched INTEGER NOT NULL DEFAULT 0;

-- Up to this slot sweeps of the account met no gap. A node that forgets older history forgets nothing that is missing here.
ALTER TABLE token_accounts ADD COLUMN swept_to INTEGER;
