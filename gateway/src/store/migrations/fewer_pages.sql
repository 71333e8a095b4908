-- Each index is a page more to write for a message, in the log and later in its place.

-- What waits for its turn is found by its age where it is found by its state: one index for both.
DROP INDEX message_expiry;
DROP INDEX message_waiting;
CREATE INDEX message_waiting ON message (state, expires_at)
    WHERE (state = 'queued' OR state = 'sending' OR state = 'unknown' OR state = 'held');
