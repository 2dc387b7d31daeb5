-- The history of the API is compared with the outbox. A state is added, which SQLite can only do with a new table; the log of
-- attempts refers to the old one and moves along, under the same row ids (notices count by them).
CREATE TABLE attempts_before AS SELECT rowid AS old_rowid, * FROM attempts;
DROP TABLE attempts;
ALTER TABLE confirmations RENAME TO confirmations_before;
DROP INDEX confirmations_one_per_checkout;
DROP INDEX confirmations_one_per_payment;
DROP INDEX confirmations_due;
DROP INDEX confirmations_of;
DROP INDEX confirmations_parked;

-- The outbox: one live confirmation per checkout and per payment.
CREATE TABLE confirmations (
    id             INTEGER PRIMARY KEY,
    payment_id     INTEGER NOT NULL REFERENCES payments (id),
    memo           TEXT NOT NULL,
    signature      TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('queued', 'acknowledged', 'parked', 'uncredited', 'cancelled')),
    origin         TEXT NOT NULL CHECK (origin IN ('verdict', 'person')),
    due_at         INTEGER,        -- NULL: not before the payment is finalized
    due_set_at     INTEGER,        -- when due_at was written: if that is in the future, the clock was wrong and it is due now
    leases         INTEGER NOT NULL DEFAULT 0, -- how often it was leased and not given back unsent; 0: the API cannot know of it
    attempts       INTEGER NOT NULL DEFAULT 0,
    rejected_since INTEGER,        -- first of the answers that said no
    rejected_at    INTEGER,        -- last of them, if no answer came after it
    accepted_at    INTEGER,        -- when the API last answered 2xx; NULL: never
    asked_again_at INTEGER,        -- when it was queued once more, because the history did not show the credit
    credited_at    INTEGER,        -- when the history was first seen to show the checkout confirmed by it
    queued_at      INTEGER NOT NULL,
    closed_at      INTEGER
);
INSERT INTO confirmations (id, payment_id, memo, signature, state, origin, due_at, due_set_at, leases, attempts, rejected_since, rejected_at, queued_at, closed_at)
    SELECT c.id, c.payment_id, c.memo, c.signature, c.state,
        CASE WHEN p.note = 'confirmed by hand' THEN 'person' ELSE 'verdict' END,
        c.due_at, CASE WHEN c.due_at IS NULL THEN NULL ELSE c.queued_at END,
        CASE WHEN c.attempts > 0 OR c.due_at > c.queued_at THEN 1 ELSE 0 END, c.attempts, c.rejected_since, c.rejected_since, c.queued_at, c.closed_at
    FROM confirmations_before c JOIN payments p ON p.id = c.payment_id;
DROP TABLE confirmations_before;
CREATE UNIQUE INDEX confirmations_one_per_checkout ON confirmations (memo) WHERE state <> 'cancelled';
CREATE UNIQUE INDEX confirmations_one_per_payment ON confirmations (payment_id) WHERE state <> 'cancelled';
CREATE INDEX confirmations_due ON confirmations (due_at) WHERE state = 'queued';
CREATE INDEX confirmations_due_set ON confirmations (due_set_at) WHERE state = 'queued';
CREATE INDEX confirmations_rejected ON confirmations (rejected_at) WHERE state = 'queued' AND rejected_at IS NOT NULL;
CREATE INDEX confirmations_unproved ON confirmations (accepted_at) WHERE state = 'acknowledged' AND credited_at IS NULL AND accepted_at IS NOT NULL;
CREATE INDEX confirmations_of ON confirmations (payment_id);
CREATE INDEX confirmations_parked ON confirmations (payment_id) WHERE state = 'parked';
CREATE INDEX confirmations_uncredited ON confirmations (payment_id) WHERE state = 'uncredited';

-- What the API said of a confirmation: in its answer to a call, or in its history.
CREATE TABLE attempts (
    confirmation_id INTEGER NOT NULL REFERENCES confirmations (id),
    at              INTEGER NOT NULL,
    source          TEXT NOT NULL CHECK (source IN ('answer', 'history')),
    status          INTEGER,       -- HTTP status, if there was an answer
    took_ms         INTEGER NOT NULL,
    reason          TEXT NOT NULL
);
INSERT INTO attempts (rowid, confirmation_id, at, source, status, took_ms, reason)
    SELECT old_rowid, confirmation_id, at, 'answer', status, took_ms, reason FROM attempts_before;
DROP TABLE attempts_before;
CREATE INDEX attempts_of ON attempts (confirmation_id);

ALTER TABLE notices ADD COLUMN due_set_at INTEGER; -- when due_at was written
CREATE INDEX notices_due_set ON notices (due_set_at) WHERE due_at IS NOT NULL;
