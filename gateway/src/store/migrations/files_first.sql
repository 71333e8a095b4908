-- Messages with files leave when these are at Meta; meanwhile others to the same person go first.
ALTER TABLE message ADD COLUMN files INTEGER NOT NULL DEFAULT 0;    -- 1: something in it has to be uploaded first
UPDATE message SET files = 1
WHERE (state = 'queued' OR state = 'sending' OR state = 'unknown' OR state = 'held') AND mergeable = 0
    AND (content LIKE '%"kept":{%' OR content LIKE '%"fetch":{%' OR content LIKE '%"file":{%');
