-- A token has an end, and may be for events on some topics alone; a session is known by where it came from and when it was seen last.
ALTER TABLE token ADD COLUMN expires_at INTEGER;                 -- NULL: none, as before
ALTER TABLE token ADD COLUMN topic TEXT;                         -- a pattern for the scope events; NULL: any
ALTER TABLE session ADD COLUMN address TEXT NOT NULL DEFAULT ''; -- where the browser logged in from
ALTER TABLE session ADD COLUMN used_at INTEGER;                  -- to the hour: not a write a request
