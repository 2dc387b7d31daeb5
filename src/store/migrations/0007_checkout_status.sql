-- A checkout may have a status that is neither pending nor confirmed (expired, cancelled, refunded): `other`, with the API's own word.
CREATE TABLE checkouts_new (
    memo        TEXT PRIMARY KEY,
    folded      TEXT NOT NULL,      -- as compared: lower case if hexadecimal
    amount      TEXT,               -- base units due
    mint        TEXT,
    recipient   TEXT,               -- wallet
    status      TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'other')),
    status_word TEXT CHECK ((status_word IS NOT NULL) = (status = 'other')),
    signature   TEXT,               -- transaction the API says confirmed it
    created_at  INTEGER
);
INSERT INTO checkouts_new (memo, folded, amount, mint, recipient, status, signature, created_at)
    SELECT memo, folded, amount, mint, recipient, status, signature, created_at FROM checkouts;
DROP TABLE checkouts;
ALTER TABLE checkouts_new RENAME TO checkouts;
CREATE INDEX checkouts_folded ON checkouts (folded);
CREATE INDEX checkouts_pending ON checkouts (mint, recipient) WHERE status = 'pending';

-- Card sessions that an earlier version took for checkouts, by their number. The history brings back any that is a checkout.
DELETE FROM checkouts WHERE status = 'pending' AND mint IS NULL AND recipient IS NULL AND memo NOT GLOB '*[^0-9]*';
