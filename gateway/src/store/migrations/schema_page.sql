-- Version 2: the page and the API.

-- Browsers that are logged in. The cookie itself is not here, only its SHA-256.
CREATE TABLE session (
    hash TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    agent TEXT NOT NULL                 -- what the browser called itself, its first 200 bytes
) STRICT, WITHOUT ROWID;

-- Keys of programs, shown once. Kept here as SHA-256: 256 random bits need no slow hash.
CREATE TABLE token (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,               -- JSON list of read, act, events
    hash TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    used_at INTEGER,                    -- to the hour: not a write a request
    revoked_at INTEGER
) STRICT;

-- Every change that somebody made on the page or through the API.
CREATE TABLE change (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,                  -- page, or token NAME
    address TEXT NOT NULL,              -- where the request came from
    deed TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL               -- done, or the sentence why not
) STRICT;

-- Events that came by HTTP, by their idempotency key, for a day.
CREATE TABLE posted (
    key TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    digest TEXT NOT NULL                -- SHA-256 of topic and payload: the same key with other words is a mistake
) STRICT, WITHOUT ROWID;
CREATE INDEX posted_at ON posted (at);

-- Lists. The newest come first by id, which needs no index; these are for what is picked out of 100,000.
CREATE INDEX message_contact ON message (contact);
CREATE INDEX message_waiting ON message (state) WHERE state IN ('queued', 'sending', 'unknown', 'held');
CREATE INDEX message_ended ON message (state) WHERE state IN ('failed', 'expired', 'cancelled');
CREATE INDEX reply_at ON reply (at);
CREATE INDEX reply_person ON reply (contact, at);
CREATE INDEX command_alert ON command (alert);
