-- How far this site has fetched what a hub keeps for it (docs/hub.md): written with what was fetched, in one commit.
CREATE TABLE hub (
    connection TEXT PRIMARY KEY,
    cursor TEXT NOT NULL                -- the hub's own word for it
) STRICT;
