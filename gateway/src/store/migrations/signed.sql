-- An app secret speaks for the numbers of its own connections alone.
ALTER TABLE inbox ADD COLUMN signed_by TEXT; -- JSON, names of the connections whose app secret signed the body; NULL: of all
