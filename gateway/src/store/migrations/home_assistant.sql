-- What automations ask for in one message (`alert/request.rs`).
ALTER TABLE alert ADD COLUMN tag TEXT;     -- a later request with it replaces or ends this one, whose state is `resolved` then
ALTER TABLE alert ADD COLUMN actions TEXT; -- JSON: what may be tapped, [{action, title}]
CREATE INDEX alert_tag ON alert (tag) WHERE tag IS NOT NULL AND state IS NULL;
