-- Version 1. A migration is appended, never edited; a test opens a database of every past version.
-- Times are milliseconds since 1970-01-01 UTC. checksum: the first 8 bytes of SHA-256 over the row's content.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Events that led to an alert, or that could not be read. What was read and not worth an alert is counted in `tally`.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,              -- its first 4,096 bytes
    payload_bytes INTEGER NOT NULL,     -- how long it was
    key TEXT,                           -- by which a repetition is found
    outcome TEXT NOT NULL,
    reason TEXT,
    checksum BLOB NOT NULL
) STRICT;
CREATE INDEX event_key ON event (key) WHERE key IS NOT NULL;

CREATE TABLE tally (
    rule TEXT NOT NULL,
    outcome TEXT NOT NULL,
    count INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    last_topic TEXT NOT NULL,
    last_reason TEXT,
    PRIMARY KEY (rule, outcome)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert (
    id INTEGER PRIMARY KEY,
    event INTEGER REFERENCES event (id), -- NULL: the clock alone raised it
    rule TEXT NOT NULL,
    severity INTEGER NOT NULL,          -- 0 info, 1 warning, 2 critical
    bindings TEXT NOT NULL,             -- the topic's named levels, JSON
    flaw TEXT,                          -- what went wrong though it was sent
    raised_at INTEGER NOT NULL,
    -- Of a rule whose alerts have a life; one row each time that it fires. NULL for a rule that tells each event.
    key TEXT,                           -- what tells one alert of the rule from another
    episode INTEGER,
    state TEXT,                         -- firing, acknowledged, resolved
    text TEXT,
    changed_at INTEGER,
    reason TEXT                         -- a sentence: how it ended, who takes care
) STRICT;
CREATE INDEX alert_event ON alert (event);
CREATE INDEX alert_episode ON alert (rule, key, episode) WHERE key IS NOT NULL;

-- What the watch over the alerts remembers: one row an alert, a group, a person's quiet hours, a silence. Written in the
-- same transaction as the event that changed it, read at the start.
CREATE TABLE alert_memory (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL,                -- JSON
    checksum BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- Each decision about an alert with its reason: what `bellwire why` tells.
CREATE TABLE alert_record (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    why TEXT NOT NULL,
    what TEXT NOT NULL
) STRICT;
CREATE INDEX alert_record_key ON alert_record (rule, key, id);

-- What others have to say to the watch: receipts, taps, an operator. It takes them in order, each once.
CREATE TABLE alert_note (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    note TEXT NOT NULL                  -- JSON
) STRICT;

-- Last resorts of an escalation over HTTP.
CREATE TABLE post (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    key TEXT NOT NULL,
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,                -- queued, done, failed
    reason TEXT
) STRICT;
CREATE INDEX post_queued ON post (not_before) WHERE state = 'queued';

-- The outbox: one row a message.
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    connection TEXT NOT NULL,
    contact TEXT NOT NULL,
    address TEXT NOT NULL,              -- E.164 with +, or WhatsApp's user id
    alert INTEGER REFERENCES alert (id),
    severity INTEGER NOT NULL,
    content TEXT NOT NULL,              -- JSON: text, buttons, quotes
    on_unknown TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL,               -- a sentence
    attempts INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,   -- attempts that count against the limit
    possible_duplicate INTEGER NOT NULL DEFAULT 0,
    code INTEGER,                       -- Graph API error code of the last refusal
    fbtrace_id TEXT,
    form TEXT,                          -- of the last request: free, or template NAME LANGUAGE
    bare INTEGER NOT NULL DEFAULT 0,    -- 1: goes out without its files, which Meta refused
    held_for TEXT,                      -- what a held message waits for: window, consent, budget, quality, operator
    mergeable INTEGER NOT NULL,         -- an alert in words, which a digest may carry
    digest INTEGER REFERENCES message (id), -- the message that carries this one
    checksum BLOB NOT NULL
) STRICT;
CREATE INDEX message_lane ON message (connection, contact, severity DESC, id) WHERE state = 'queued' AND digest IS NULL;
CREATE INDEX message_digest ON message (digest) WHERE digest IS NOT NULL;
CREATE INDEX message_held ON message (contact, held_for) WHERE state = 'held' AND held_for IS NOT NULL;
CREATE INDEX message_wait ON message (not_before) WHERE state IN ('queued', 'unknown') AND digest IS NULL;
CREATE INDEX message_expiry ON message (expires_at) WHERE state = 'queued' AND digest IS NULL;
CREATE INDEX message_sending ON message (id) WHERE state = 'sending' AND digest IS NULL;
CREATE INDEX message_alert ON message (alert);

-- Escalations wait for what became of a message, whoever writes that down.
CREATE TRIGGER message_told AFTER UPDATE OF state ON message
WHEN NEW.alert IS NOT NULL AND NEW.state IS NOT OLD.state
     AND NEW.state IN ('delivered', 'read', 'played', 'failed', 'expired', 'cancelled')
BEGIN
    INSERT INTO alert_note (at, note)
    SELECT NEW.changed_at, json_object('receipt', json_object(
        'alert', json_object('rule', rule, 'key', key), 'episode', episode, 'contact', NEW.contact, 'state', NEW.state))
    FROM alert WHERE id = NEW.alert AND key IS NOT NULL;
END;
-- Files that came with events, and Meta's ids of what was uploaded: they live 30 days (docs/cloud-api.md 2).
CREATE TABLE media (sha256 TEXT PRIMARY KEY, mime TEXT NOT NULL, bytes BLOB NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE upload (
    connection TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    media_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (connection, sha256)
) STRICT, WITHOUT ROWID;

-- Every id that Meta gave to a message of ours; a message that was sent again has two.
CREATE TABLE sent (
    wamid TEXT PRIMARY KEY,
    message INTEGER NOT NULL REFERENCES message (id),
    counted INTEGER NOT NULL DEFAULT 0  -- 1: in `usage`; Meta tells the price with more than one status
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_message ON sent (message);

CREATE TABLE attempt (
    message INTEGER NOT NULL REFERENCES message (id),
    number INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    form TEXT NOT NULL,                 -- free, or template NAME LANGUAGE
    ended_at INTEGER,                   -- NULL: the answer never came to us
    outcome TEXT,
    http_status INTEGER,
    code INTEGER,
    fbtrace_id TEXT,
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;

-- The 24 h window of Meta's: until when what we write to a person may be free. 0: Meta said that it is closed.
CREATE TABLE window (
    connection TEXT NOT NULL,
    contact TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (connection, contact)
) STRICT, WITHOUT ROWID;

-- Message templates as the business account lists them. A connection without a row in `catalogue` was never read.
CREATE TABLE catalogue (connection TEXT PRIMARY KEY, read_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE template (
    connection TEXT NOT NULL,
    name TEXT NOT NULL,
    language TEXT NOT NULL,
    status TEXT NOT NULL,               -- APPROVED, PAUSED, …; or what an error code told
    category TEXT NOT NULL,
    parameters INTEGER NOT NULL,
    names TEXT NOT NULL,                -- JSON list, of named parameters
    header TEXT,
    quick_replies INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (connection, name, language)
) STRICT, WITHOUT ROWID;

-- What was learned of a person beyond the configuration.
CREATE TABLE person (
    contact TEXT PRIMARY KEY,
    user_id TEXT,                       -- WhatsApp's id of whoever first wrote from this contact's number
    stopped INTEGER NOT NULL DEFAULT 0  -- 1: asked for no more alerts
) STRICT, WITHOUT ROWID;

-- Who agreed to be written to, or took it back: when, and where that is seen.
CREATE TABLE consent (
    id INTEGER PRIMARY KEY,
    contact TEXT NOT NULL,
    at INTEGER NOT NULL,
    given INTEGER NOT NULL,
    source TEXT NOT NULL
) STRICT;

-- What Meta tells of accounts, numbers and templates.
CREATE TABLE notice (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    connection TEXT NOT NULL,
    field TEXT NOT NULL,
    severity INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE TABLE fact (
    connection TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (connection, name)
) STRICT, WITHOUT ROWID;

-- Messages that Meta charges or gives away, by month (UTC), as its statuses say.
CREATE TABLE usage (
    connection TEXT NOT NULL,
    month TEXT NOT NULL,
    category TEXT NOT NULL,
    kind TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (connection, month, category, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipt (
    wamid TEXT NOT NULL,
    status TEXT NOT NULL,
    message INTEGER NOT NULL REFERENCES message (id),
    at INTEGER NOT NULL,
    reason TEXT,
    refusal TEXT,                       -- of a failure, JSON: judged when it is known which copy failed
    PRIMARY KEY (wamid, status)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_message ON receipt (message);

-- The inbox: raw webhook bodies, stored before Meta is answered 200.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL,                -- new, done, damaged
    note TEXT,
    checksum BLOB NOT NULL
) STRICT;
CREATE INDEX inbox_new ON inbox (id) WHERE state = 'new';

CREATE TABLE reply (
    wamid TEXT PRIMARY KEY,             -- Meta delivers at least once; this makes it once
    inbox INTEGER NOT NULL,
    at INTEGER NOT NULL,
    contact TEXT,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    outcome TEXT NOT NULL,              -- command, nothing
    reason TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE command (
    id INTEGER PRIMARY KEY,
    reply TEXT UNIQUE REFERENCES reply (wamid), -- NULL: nobody asked, an escalation did
    contact TEXT NOT NULL,
    alert INTEGER,                      -- NULL: asked for in words, without one
    action TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    retain INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    device TEXT,                        -- to a device by its link; NULL: to the broker
    state TEXT NOT NULL,                -- queued, published, refused, expired; of a device also done, no-answer
    changed_at INTEGER NOT NULL,
    reason TEXT,
    checksum BLOB NOT NULL
) STRICT;
CREATE INDEX command_queued ON command (id) WHERE state = 'queued' AND device IS NULL;
CREATE INDEX command_for_device ON command (device, id) WHERE device IS NOT NULL;
CREATE INDEX command_queued_for_device ON command (device, id) WHERE state = 'queued' AND device IS NOT NULL;

-- Devices that speak docs/device-protocol.md.
CREATE TABLE device (
    id TEXT PRIMARY KEY,
    boot INTEGER NOT NULL DEFAULT 0,    -- the highest that a hello said
    counted_boot INTEGER NOT NULL DEFAULT 0,     -- its events up to this position are here: written in the same
    counted_sequence INTEGER NOT NULL DEFAULT 0, -- transaction as the event
    events INTEGER NOT NULL DEFAULT 0,  -- how many were counted
    last_number INTEGER NOT NULL DEFAULT 0, -- the highest number that a command had on the line
    under_way INTEGER REFERENCES command (id), -- was sent, or is about to be, and has no end yet; its number is the last
    under_way_boot INTEGER NOT NULL DEFAULT 0,
    link TEXT NOT NULL,                 -- mqtt, or the path of a serial port
    firmware TEXT NOT NULL,
    commands TEXT NOT NULL,             -- JSON list of names
    queued INTEGER NOT NULL,            -- events that it kept when it last said so
    refused INTEGER NOT NULL,           -- events that it could not take since its start
    silent INTEGER NOT NULL DEFAULT 0,
    seen_at INTEGER NOT NULL            -- to ten minutes, unless there was something new
) STRICT, WITHOUT ROWID;
