-- What Home Assistant has still to be told of messages, replies and requests, in order; only while it is configured. A thousand at
-- most: who was away for longer wants to know what is so now.
CREATE TABLE home_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- none is given twice, though a look may empty the table: what was told is forgotten by id
    kind TEXT NOT NULL,                 -- message, reply, request
    what TEXT NOT NULL                  -- JSON
) STRICT;
CREATE TRIGGER home_event_room AFTER INSERT ON home_event BEGIN
    DELETE FROM home_event WHERE id <= NEW.id - 1000;
END;
-- With OR, since for IN (…) SQLite makes a table of the words, with a page cache of its own, at each write.
-- What is held for another reason is news, too.
CREATE TRIGGER message_for_home AFTER UPDATE OF state, held_for ON message
WHEN (NEW.state IS NOT OLD.state OR (NEW.state = 'held' AND NEW.held_for IS NOT OLD.held_for))
     AND (NEW.state = 'sent' OR NEW.state = 'delivered' OR NEW.state = 'read' OR NEW.state = 'failed'
          OR NEW.state = 'expired' OR NEW.state = 'cancelled' OR NEW.state = 'held')
     AND EXISTS (SELECT 1 FROM meta WHERE key = 'home_events')
BEGIN
    INSERT INTO home_event (kind, what) VALUES ('message', json_object('event_type', NEW.state, 'message', NEW.id,
        'contact', NEW.contact, 'alert', NEW.alert, 'waits_for', NEW.held_for, 'reason', NEW.reason));
END;
CREATE TRIGGER request_for_home AFTER INSERT ON event
WHEN NEW.topic = (SELECT value FROM meta WHERE key = 'home_events')
BEGIN
    INSERT INTO home_event (kind, what) VALUES ('request', json_object(
        'event_type', iif(NEW.reason IS NULL, 'accepted', 'refused'), 'event', NEW.id, 'error', NEW.reason));
END;
