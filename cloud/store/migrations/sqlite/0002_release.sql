-- +goose Up
ALTER TABLE lot ADD COLUMN release TEXT NOT NULL DEFAULT '';

-- Closed, and covered up to its closing: nothing of it can be missing.
ALTER TABLE epoch ADD COLUMN whole INTEGER NOT NULL DEFAULT 0;
-- When its last record came after it was closed: what it still lacks may concern every lot known by then.
ALTER TABLE epoch ADD COLUMN tail TEXT NOT NULL DEFAULT '';
-- Of an agent's epochs, which are never deleted, few are open, lack something or are not decided about.
CREATE INDEX epoch_open ON epoch (plant, agent) WHERE closed = 0;
CREATE INDEX epoch_lacking ON epoch (plant, agent, first_seen, epoch) WHERE closed = 1 AND whole = 0 OR superseded = 1;

-- Plants that have an event of a lot, or stock of it.
CREATE TABLE lot_plant (
  lot   TEXT NOT NULL,
  plant TEXT NOT NULL,
  PRIMARY KEY (lot, plant)
);
INSERT INTO lot_plant (lot, plant) SELECT DISTINCT lot, plant FROM inbox WHERE lot <> '' AND plant <> '';

-- Version of a lot's status as published.
CREATE TABLE lot_status (
  lot     TEXT   PRIMARY KEY,
  version BIGINT NOT NULL,
  at      TEXT   NOT NULL
);

CREATE TABLE inspection (
  lot     TEXT   NOT NULL,
  id      TEXT   NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT   NOT NULL,
  PRIMARY KEY (lot, id)
);

-- Append-only but for the link to what supersedes a row; place is the order in which a lot's were decided.
CREATE TABLE disposition (
  lot     TEXT   NOT NULL,
  id      TEXT   NOT NULL,
  place   BIGINT NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT   NOT NULL,
  PRIMARY KEY (lot, id)
);

CREATE TABLE run (
  lot       TEXT   NOT NULL,
  id        TEXT   NOT NULL,
  plant     TEXT   NOT NULL,
  equipment TEXT   NOT NULL,
  ended     TEXT   NOT NULL,
  version   BIGINT NOT NULL,
  doc       TEXT   NOT NULL,
  PRIMARY KEY (lot, id)
);
CREATE INDEX run_equipment ON run (plant, equipment, ended);

CREATE TABLE gap (
  id      TEXT    PRIMARY KEY,
  plant   TEXT    NOT NULL,
  lot     TEXT    NOT NULL,
  kind    TEXT    NOT NULL,
  agent   TEXT    NOT NULL,
  epoch   TEXT    NOT NULL,
  lane    TEXT    NOT NULL,
  is_open INTEGER NOT NULL,
  until   TEXT    NOT NULL,
  version BIGINT  NOT NULL,
  doc     TEXT    NOT NULL
);
CREATE INDEX gap_plant ON gap (plant, is_open, until);
CREATE INDEX gap_lot ON gap (lot, is_open);
CREATE INDEX gap_epoch ON gap (epoch, lane);

CREATE TABLE certificate (
  id      TEXT   NOT NULL,
  lot     TEXT   NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT   NOT NULL,
  PRIMARY KEY (id, lot)
);
CREATE INDEX certificate_lot ON certificate (lot);

CREATE TABLE acceptance (
  id      TEXT   PRIMARY KEY,
  lot     TEXT   NOT NULL,
  plant   TEXT   NOT NULL,
  agent   TEXT   NOT NULL,
  barrier BIGINT NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT   NOT NULL
);
CREATE INDEX acceptance_lot ON acceptance (lot);

CREATE TABLE allocation (
  lot     TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT   NOT NULL,
  PRIMARY KEY (lot, name)
);

CREATE TABLE notice (
  id      TEXT   PRIMARY KEY,
  lot     TEXT   NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT   NOT NULL
);
CREATE INDEX notice_lot ON notice (lot);

-- Lots whose agents are asked, or were; barrier 0 = not yet.
CREATE TABLE ask (
  lot     TEXT    PRIMARY KEY,
  barrier BIGINT  NOT NULL,
  round   BIGINT  NOT NULL,
  granted INTEGER NOT NULL,
  at      TEXT    NOT NULL
);
CREATE INDEX ask_barrier ON ask (granted, barrier);

-- Newest head of each epoch.
CREATE TABLE head (
  plant   TEXT   NOT NULL,
  agent   TEXT   NOT NULL,
  epoch   TEXT   NOT NULL,
  barrier BIGINT NOT NULL,
  at      TEXT   NOT NULL,
  stated  TEXT   NOT NULL,
  PRIMARY KEY (plant, agent, epoch)
);

-- Heads whose seqs have not all come yet: an agent's oldest and its newest.
CREATE TABLE head_open (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  plant   TEXT    NOT NULL,
  agent   TEXT    NOT NULL,
  epoch   TEXT    NOT NULL,
  barrier BIGINT  NOT NULL,
  at      TEXT    NOT NULL,
  stated  TEXT    NOT NULL
);
CREATE INDEX head_open_agent ON head_open (plant, agent, id);

-- What an agent was asked and told, and how far it has answered.
CREATE TABLE agent (
  plant    TEXT    NOT NULL,
  agent    TEXT    NOT NULL,
  answered BIGINT  NOT NULL,
  asked    BIGINT  NOT NULL,
  asked_at TEXT    NOT NULL,
  version  BIGINT  NOT NULL,
  told_at  TEXT    NOT NULL,
  told     TEXT    NOT NULL,
  covered  TEXT    NOT NULL,
  barrier  BIGINT  NOT NULL,
  PRIMARY KEY (plant, agent)
);

CREATE TABLE release_wait (
  lot    TEXT NOT NULL,
  plant  TEXT NOT NULL,
  reason TEXT NOT NULL,
  since  TEXT NOT NULL,
  PRIMARY KEY (lot, plant, reason)
);
CREATE TABLE release_waited (
  plant   TEXT   NOT NULL,
  reason  TEXT   NOT NULL,
  micros  BIGINT NOT NULL,
  PRIMARY KEY (plant, reason)
);

-- Alerts that are raised and not cleared.
CREATE TABLE alert (
  code    TEXT NOT NULL,
  subject TEXT NOT NULL,
  since   TEXT NOT NULL,
  doc     TEXT NOT NULL,
  PRIMARY KEY (code, subject)
);
