-- Versions of the configuration file: what was saved on the page or through the API, and what was found on disk. Secrets stand in
-- files of their own, so that none is in here; people do, so that versions go with those who are erased.
CREATE TABLE configuration_version (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,                  -- `page`, `token NAME`, or `file` for a change on disk
    fingerprint TEXT NOT NULL,          -- SHA-256 of the text
    text TEXT NOT NULL,
    summary TEXT NOT NULL,              -- what changed, in one line
    outcome TEXT NOT NULL,              -- waiting, taken, refused
    reason TEXT
) STRICT;
