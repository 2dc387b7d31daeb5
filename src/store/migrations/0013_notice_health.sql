-- One row: the state of the daemon's health, since when it lasts, and what people were told last. They are told of a state once it has
-- lasted for a while, also over a restart.
CREATE TABLE notice_health (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    health TEXT NOT NULL CHECK (health IN ('key_refused', 'not_ready', 'recovered')),
    since  INTEGER NOT NULL,
    told   TEXT NOT NULL CHECK (told IN ('key_refused', 'not_ready', 'recovered'))
);
