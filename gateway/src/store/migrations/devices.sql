-- Devices of one name are told apart: a line for each, or for each start.
CREATE TABLE device_line (
    device TEXT NOT NULL,
    place INTEGER NOT NULL,             -- 0: heard last when this was written
    token INTEGER,                      -- its hello's; none: written by an older version
    low INTEGER NOT NULL,               -- the boot numbers from here
    boot INTEGER NOT NULL,              -- to here are its own
    counted_boot INTEGER NOT NULL,      -- its events up to this position are here: written in the same
    counted_sequence INTEGER NOT NULL,  -- transaction as the event
    retired INTEGER NOT NULL,           -- it was told to take new numbers
    kept INTEGER NOT NULL,              -- and its oldest event had this boot number then
    PRIMARY KEY (device, place)
) STRICT, WITHOUT ROWID;
INSERT INTO device_line SELECT id, 0, NULL, 1, boot, counted_boot, counted_sequence, 0, 0 FROM device WHERE boot > 0;
ALTER TABLE device ADD COLUMN apart INTEGER NOT NULL DEFAULT 0;    -- several devices have this name
ALTER TABLE device ADD COLUMN clash_at INTEGER;                    -- and were heard by turns, last then
ALTER TABLE device ADD COLUMN approved INTEGER NOT NULL DEFAULT 0; -- never gives way to a name that nobody knows
ALTER TABLE device ADD COLUMN forget INTEGER NOT NULL DEFAULT 0;   -- it goes as soon as the daemon sees this
