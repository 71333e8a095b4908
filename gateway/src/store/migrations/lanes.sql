-- What the sender asks, at a cost that does not grow with the queue, and little to write for each message.

-- Alerts that a digest may carry stand together in their lane: counting them walks over no others.
DROP INDEX message_lane;
CREATE INDEX message_lane ON message (connection, contact, mergeable, severity DESC, id)
    WHERE state = 'queued' AND digest IS NULL;

-- Most messages never wait for a time, and need no entry here. With OR, since for IN (…) SQLite makes a table of the words
-- at each write.
DROP INDEX message_wait;
CREATE INDEX message_wait ON message (not_before)
    WHERE (state = 'unknown' OR (state = 'queued' AND not_before > 0)) AND digest IS NULL;

DROP INDEX message_waiting;
CREATE INDEX message_waiting ON message (state)
    WHERE (state = 'queued' OR state = 'sending' OR state = 'unknown' OR state = 'held');
DROP INDEX message_ended;
CREATE INDEX message_ended ON message (state) WHERE (state = 'failed' OR state = 'expired' OR state = 'cancelled');
DROP INDEX message_sending; -- `message_waiting` finds them

-- Failures are few: at a start those are found that were told before an answer that nobody hears any more.
CREATE INDEX receipt_failed ON receipt (message) WHERE status = 'failed';

DROP TRIGGER message_told;
CREATE TRIGGER message_told AFTER UPDATE OF state ON message
WHEN NEW.alert IS NOT NULL AND NEW.state IS NOT OLD.state
     AND (NEW.state = 'delivered' OR NEW.state = 'read' OR NEW.state = 'played'
          OR NEW.state = 'failed' OR NEW.state = 'expired' OR NEW.state = 'cancelled')
BEGIN
    INSERT INTO alert_note (at, note)
    SELECT NEW.changed_at, json_object('receipt', json_object(
        'alert', json_object('rule', rule, 'key', key), 'episode', episode, 'contact', NEW.contact, 'state', NEW.state))
    FROM alert WHERE id = NEW.alert AND key IS NOT NULL;
END;
