-- A restored database is a new copy of the gateway. What the copy before it sent until the backup is known by that one's tag.
CREATE TABLE copy (
    number INTEGER PRIMARY KEY,         -- of the copy that began here, the time of it; of two copies the higher may send
    taken_at INTEGER NOT NULL,          -- when the backup was taken: what the copy before it did later is not known here
    released_at INTEGER,                -- NULL: what waited at the backup is held, since that one may have sent it
    tag TEXT NOT NULL,                  -- of the copy before it,
    message INTEGER NOT NULL,           -- and its newest ids at the backup
    alert INTEGER NOT NULL,
    request INTEGER NOT NULL,
    question INTEGER NOT NULL,
    command INTEGER NOT NULL
) STRICT;
