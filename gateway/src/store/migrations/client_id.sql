-- A database that exists keeps the MQTT client id that the site's name alone made: the broker keeps events under it. A new one
-- has no tag yet when this runs.
INSERT INTO meta SELECT 'client_id_by_site', '1' FROM meta WHERE key = 'tag';
