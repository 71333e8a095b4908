-- Who was erased here and is not yet at a hub (docs/hub.md): numbers, user ids and message ids, gone once the hub has confirmed.
CREATE TABLE hub_erasure (
    id INTEGER PRIMARY KEY,
    hub TEXT NOT NULL,                  -- the connection through which it is told
    body TEXT NOT NULL                  -- as the hub is asked, JSON
) STRICT;
