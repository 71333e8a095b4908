-- Whom a webhook names, and what counts of what people said: by Meta's times, whenever it came.
ALTER TABLE person ADD COLUMN user_id_of TEXT;    -- the address of the contact when the user id was learned; NULL: of an earlier version
UPDATE person SET user_id_of =
    (SELECT address FROM message WHERE message.contact = person.contact ORDER BY id DESC LIMIT 1);
ALTER TABLE person ADD COLUMN user_id_at INTEGER; -- when that user first wrote
ALTER TABLE person ADD COLUMN moved_at INTEGER;   -- the number changed hands: nothing from then on is this person's
ALTER TABLE person ADD COLUMN accepted_at INTEGER; -- when an operator said that it is them
ALTER TABLE person ADD COLUMN no_marketing INTEGER NOT NULL DEFAULT 0; -- 1: asked WhatsApp for no marketing messages
ALTER TABLE person ADD COLUMN no_marketing_at INTEGER NOT NULL DEFAULT 0;

-- Other names that Meta gave for an address of ours, in answers and statuses: a number in another spelling, a user id.
CREATE TABLE known_as (
    alias TEXT NOT NULL,                -- digits without `+`, or a user id
    contact TEXT NOT NULL,
    address TEXT NOT NULL,              -- as it was written to; another one since makes the alias void
    at INTEGER NOT NULL,
    PRIMARY KEY (alias, contact, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX known_as_contact ON known_as (contact);

-- When Meta said that the window is closed: what the person wrote before does not open it again.
ALTER TABLE window ADD COLUMN closed_at INTEGER NOT NULL DEFAULT 0;
-- When an invitation was answered.
ALTER TABLE guest ADD COLUMN answered_at INTEGER NOT NULL DEFAULT 0;
