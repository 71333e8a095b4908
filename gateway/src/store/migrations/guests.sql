-- Version 6: people whom the owner invited over WhatsApp.

CREATE TABLE guest (
    contact TEXT PRIMARY KEY,           -- each id is used once, also after somebody was removed
    name TEXT NOT NULL,
    address TEXT NOT NULL,              -- E.164
    roles TEXT NOT NULL,                -- JSON list
    teams TEXT NOT NULL,                -- JSON list
    places TEXT NOT NULL,               -- JSON list of MQTT filters: those of whoever invited
    invited_by TEXT NOT NULL,
    invited_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,        -- of the invitation
    state TEXT NOT NULL                 -- asked, joined, declined, removed
) STRICT, WITHOUT ROWID;
-- One of each number.
CREATE UNIQUE INDEX guest_address ON guest (address) WHERE state IN ('asked', 'joined');
CREATE INDEX guest_invited ON guest (invited_at);
