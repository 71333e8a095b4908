-- What people send, and what it all may cost.

-- Files that contacts sent. The bytes are in files/ID beside the database: a video would stall its one writer.
CREATE TABLE file (
    id INTEGER PRIMARY KEY,
    media_id TEXT NOT NULL UNIQUE,      -- Meta's; good for 7 days
    reply TEXT NOT NULL,                -- the message that it came with
    connection TEXT NOT NULL,
    contact TEXT NOT NULL,
    kind TEXT NOT NULL,                 -- image, video, audio, document, sticker
    mime TEXT NOT NULL,
    name TEXT,                          -- what its sender calls it
    sha256 TEXT,                        -- as announced: base64
    at INTEGER NOT NULL,
    state TEXT NOT NULL,                -- wanted, kept, failed, gone
    tries INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX file_wanted ON file (not_before) WHERE state = 'wanted';
CREATE INDEX file_kept ON file (at) WHERE state = 'kept';

-- 1: goes out though the month's budget is used up, because an operator said so.
ALTER TABLE message ADD COLUMN unbudgeted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX sent_unpriced ON sent (message) WHERE counted = 0;
CREATE INDEX attempt_template ON attempt (started_at) WHERE form != 'free';
