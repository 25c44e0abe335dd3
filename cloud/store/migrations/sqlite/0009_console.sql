-- +goose Up
-- Users who are logged in at the console, by the hash of the token that their browser holds.
CREATE TABLE session (
  hash    TEXT PRIMARY KEY,
  name    TEXT NOT NULL,
  started TEXT NOT NULL,
  seen    TEXT NOT NULL
);
CREATE INDEX session_seen ON session (seen);

-- How long a lot is where it stands on the way to its release: the board shows the oldest of each column first.
ALTER TABLE lot ADD COLUMN release_since TEXT NOT NULL DEFAULT '';
UPDATE lot SET release_since = COALESCE(strftime('%Y-%m-%dT%H:%M:%f000Z', json_extract(doc, '$.release.since')), '') WHERE release <> '';
CREATE INDEX lot_board ON lot (release, release_since, key, plant);
CREATE INDEX lot_release ON lot (release, plant);
