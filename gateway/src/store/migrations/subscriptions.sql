-- What the broker's session was last known to hold, so that what is wanted no more can be unsubscribed from.
CREATE TABLE subscription (
    filter TEXT PRIMARY KEY,
    since INTEGER NOT NULL              -- nothing heard on it since then means something
) STRICT, WITHOUT ROWID;
