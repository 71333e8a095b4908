-- Version 4: numbers that were connected on the page or through the API; what the first page shows at once.

CREATE TABLE connection (
    name TEXT PRIMARY KEY,
    phone_number_id TEXT NOT NULL,
    business_account_id TEXT NOT NULL,
    api_url TEXT NOT NULL,
    api_version TEXT NOT NULL,
    messages_per_second INTEGER NOT NULL,
    sealed BLOB,                        -- its secrets (config/secret_box.rs); NULL: it is disconnected, and its history stays
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What goes on now, among 100,000 that are over.
CREATE INDEX alert_open ON alert (id) WHERE state IN ('firing', 'acknowledged');
