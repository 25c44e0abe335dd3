-- +goose Up
-- Where the feed of changes of each system stands.
CREATE TABLE feed (
  system    TEXT PRIMARY KEY,
  cursor    TEXT NOT NULL,
  full_pass TEXT NOT NULL
);

-- Objects of a feed that became no event, and why.
CREATE TABLE feed_unread (
  system TEXT NOT NULL,
  kind   TEXT NOT NULL,
  object TEXT NOT NULL,
  lot    TEXT NOT NULL,
  reason TEXT NOT NULL,
  since  TEXT NOT NULL,
  tried  TEXT NOT NULL,
  PRIMARY KEY (system, kind, object)
);
CREATE INDEX feed_unread_lot ON feed_unread (lot, kind);

-- How often an effect may have been written without anyone knowing.
CREATE TABLE doubt (
  effect TEXT   PRIMARY KEY,
  writes BIGINT NOT NULL,
  last   TEXT   NOT NULL
);
