-- What people were told, or are to be told (notify.url). Found by looking at the other tables, never written along with money.
CREATE TABLE notices (
    id        INTEGER PRIMARY KEY,
    key       TEXT NOT NULL UNIQUE, -- what it is about: nobody is told the same twice
    event     TEXT NOT NULL,
    body      TEXT NOT NULL,        -- as it is sent, each time the same
    at        INTEGER NOT NULL,
    due_at    INTEGER,              -- NULL: told, or given up
    attempts  INTEGER NOT NULL DEFAULT 0,
    note      TEXT
);
CREATE INDEX notices_due ON notices (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notices_event ON notices (event);

-- One row: how far the attempts were looked at, and since when anything is told at all.
CREATE TABLE notice_cursor (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    attempt INTEGER NOT NULL,
    since   INTEGER NOT NULL
);

CREATE INDEX payments_dropped ON payments (settled_at) WHERE chain_state = 'dropped';
CREATE INDEX confirmations_parked ON confirmations (payment_id) WHERE state = 'parked';
