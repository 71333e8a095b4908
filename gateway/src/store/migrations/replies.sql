-- Version 4: replies that act.

-- A command may come from words, without an alert, or from the clock, without a message; and a device may answer it.
-- Its states are queued, published, refused, expired; then done, failed, silent.
ALTER TABLE command ADD COLUMN connection TEXT NOT NULL DEFAULT ''; -- over which number the end is told; empty: nobody is
ALTER TABLE command ADD COLUMN title TEXT NOT NULL DEFAULT '';      -- for people
ALTER TABLE command ADD COLUMN correlation BLOB;  -- of the question that it decides; else the command's own id serves
ALTER TABLE command ADD COLUMN answer TEXT;       -- JSON: what is awaited of the device
ALTER TABLE command ADD COLUMN answer_by INTEGER; -- until when, from its publishing on
CREATE INDEX command_awaited ON command (answer_by) WHERE state = 'published' AND answer IS NOT NULL;
CREATE INDEX command_answers ON command (state) WHERE state IN ('published', 'queued') AND answer IS NOT NULL;


-- What waits for a Yes.
CREATE TABLE request (
    id INTEGER PRIMARY KEY,
    reply TEXT NOT NULL UNIQUE,         -- the message that asked
    contact TEXT NOT NULL,
    connection TEXT NOT NULL,
    deed TEXT NOT NULL,                 -- JSON: what will be published
    confirm INTEGER NOT NULL,           -- 1: whoever asked is asked back
    approvals INTEGER NOT NULL,         -- how many must want it
    agreed TEXT NOT NULL,               -- JSON list of contacts
    asked_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    state TEXT NOT NULL                 -- open, done, declined, expired
) STRICT;
CREATE INDEX request_open ON request (expires_at) WHERE state = 'open';

-- Which message of ours asked for a Yes or a choice, so that words under it are understood.
CREATE TABLE asked (
    message INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,                 -- request, question
    number INTEGER NOT NULL
) STRICT;

-- Who takes care of an alert.
CREATE TABLE acknowledgement (
    alert INTEGER PRIMARY KEY,
    contact TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- People who wrote and are no contacts.
CREATE TABLE stranger (
    address TEXT PRIMARY KEY,           -- E.164, or WhatsApp's user id
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    answered_at INTEGER NOT NULL        -- 0: never
) STRICT, WITHOUT ROWID;

-- A machine's question to people.
CREATE TABLE question (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    key TEXT UNIQUE,                    -- by which a repetition is found
    text TEXT NOT NULL,
    choices TEXT NOT NULL,              -- JSON list
    voters TEXT NOT NULL,               -- JSON list of contacts
    needed INTEGER NOT NULL,
    response_topic TEXT NOT NULL,
    correlation BLOB,
    default_choice TEXT NOT NULL,
    connection TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    state TEXT NOT NULL,                -- open, decided
    decision TEXT
) STRICT;
CREATE INDEX question_open ON question (expires_at) WHERE state = 'open';
CREATE TABLE vote (
    question INTEGER NOT NULL REFERENCES question (id),
    contact TEXT NOT NULL,
    choice TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (question, contact)
) STRICT, WITHOUT ROWID;

-- Who asked what and what became of it. Each row's hash covers the one before; people stand in it as pseudonyms, so
-- that a person can be forgotten and the chain still holds. The hash of the last row is in `meta` as well.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    who TEXT NOT NULL,
    message TEXT NOT NULL,              -- the first 16 digits of SHA-256 of the message's id at Meta
    command INTEGER,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
