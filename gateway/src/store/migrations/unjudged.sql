-- What rules could not make of events: one row for each reason of a rule.
CREATE TABLE unjudged (
    rule TEXT NOT NULL,
    kind TEXT NOT NULL,                 -- the reason without the event's values
    version INTEGER NOT NULL,           -- of the rule; a changed rule begins anew
    is_partial INTEGER NOT NULL,        -- 1: only fields were missing, on topics that send whole reports too
    count INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    topic TEXT NOT NULL,                -- the first such event: its topic,
    payload BLOB NOT NULL,              -- the beginning of its payload,
    reason TEXT NOT NULL,               -- and the reason with its values
    told_at INTEGER,                    -- the owner was told, once
    PRIMARY KEY (rule, kind)
) STRICT, WITHOUT ROWID;
