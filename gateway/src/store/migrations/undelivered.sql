-- Alerts that may have reached nobody.
ALTER TABLE alert ADD COLUMN undelivered_since INTEGER; -- a message about it ended, and the question is open
ALTER TABLE alert ADD COLUMN undelivered_told INTEGER;  -- the owner was told, once an alert
CREATE INDEX alert_undelivered ON alert (undelivered_since) WHERE undelivered_since IS NOT NULL;
CREATE INDEX alert_undelivered_told ON alert (undelivered_told) WHERE undelivered_told IS NOT NULL;

-- Whoever writes down that a message has ended asks the question. What an operator holds is no news.
CREATE TRIGGER message_lost AFTER UPDATE OF state ON message
WHEN NEW.alert IS NOT NULL AND NEW.state IS NOT OLD.state
     AND (NEW.state = 'failed' OR NEW.state = 'expired' OR (NEW.state = 'held' AND NEW.held_for IS NOT 'operator'))
BEGIN
    UPDATE alert SET undelivered_since = NEW.changed_at WHERE id = NEW.alert AND undelivered_since IS NULL;
END;
