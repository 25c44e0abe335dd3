-- +goose Up
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

-- Each accepted event of both doors and each fired timer, in the order in which they were applied.
CREATE TABLE inbox (
  pos         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT   NOT NULL UNIQUE,
  type        TEXT   NOT NULL,
  key         TEXT   NOT NULL,
  lot         TEXT   NOT NULL,
  plant       TEXT   NOT NULL,
  door        TEXT   NOT NULL,
  principal   TEXT   NOT NULL,
  agent       TEXT   NOT NULL,
  epoch       TEXT   NOT NULL,
  lane        TEXT   NOT NULL,
  seq         BIGINT NOT NULL,
  topic       TEXT   NOT NULL,
  part        INTEGER NOT NULL,
  off         BIGINT NOT NULL,
  time        TEXT   NOT NULL,
  recorded    TEXT   NOT NULL,
  accepted    TEXT   NOT NULL,
  hash        TEXT   NOT NULL,
  raw_sha256  TEXT   NOT NULL,
  correlation TEXT   NOT NULL,
  causation   TEXT   NOT NULL,
  headers     BLOB   NOT NULL,
  value       BLOB   NOT NULL
);
CREATE INDEX inbox_lot ON inbox (lot, pos);
CREATE INDEX inbox_correlation ON inbox (correlation, pos);

-- Newest place that a lot's events were applied from, per agent; urgent events are not counted.
CREATE TABLE lot_origin (
  lot   TEXT   NOT NULL,
  plant TEXT   NOT NULL,
  agent TEXT   NOT NULL,
  epoch TEXT   NOT NULL,
  seq   BIGINT NOT NULL,
  PRIMARY KEY (lot, plant, agent)
);

CREATE TABLE epoch (
  plant      TEXT   NOT NULL,
  agent      TEXT   NOT NULL,
  epoch      TEXT   NOT NULL,
  prev       TEXT   NOT NULL,
  successor  TEXT   NOT NULL,
  closed     INTEGER NOT NULL,
  quality    BIGINT NOT NULL,
  telemetry  BIGINT NOT NULL,
  superseded INTEGER NOT NULL,
  first_seen TEXT   NOT NULL,
  PRIMARY KEY (plant, agent, epoch)
);

CREATE TABLE coverage (
  plant  TEXT NOT NULL,
  agent  TEXT NOT NULL,
  epoch  TEXT NOT NULL,
  lane   TEXT NOT NULL,
  part   INTEGER NOT NULL,
  ranges TEXT NOT NULL,
  PRIMARY KEY (plant, agent, epoch, lane, part)
);

CREATE TABLE kafka_offset (
  topic TEXT    NOT NULL,
  part  INTEGER NOT NULL,
  next  BIGINT  NOT NULL,
  PRIMARY KEY (topic, part)
);

CREATE TABLE lot (
  key       TEXT   PRIMARY KEY,
  version   BIGINT NOT NULL,
  plant     TEXT   NOT NULL,
  material  TEXT   NOT NULL,
  supplier  TEXT   NOT NULL,
  sublot    TEXT   NOT NULL,
  equipment TEXT   NOT NULL,
  doc       TEXT   NOT NULL
);
CREATE INDEX lot_material ON lot (material, key);
CREATE INDEX lot_supplier ON lot (supplier, key);
CREATE INDEX lot_sublot ON lot (sublot, key);
CREATE INDEX lot_equipment ON lot (equipment, key);

CREATE TABLE hold (
  id      TEXT    NOT NULL,
  lot     TEXT    NOT NULL,
  version BIGINT  NOT NULL,
  is_open INTEGER NOT NULL,
  doc     TEXT    NOT NULL,
  PRIMARY KEY (id, lot)
);
CREATE INDEX hold_lot ON hold (lot, is_open);

CREATE TABLE nonconformance (
  id      TEXT    PRIMARY KEY,
  version BIGINT  NOT NULL,
  is_open INTEGER NOT NULL,
  doc     TEXT    NOT NULL
);
CREATE TABLE nonconformance_lot (
  id  TEXT NOT NULL,
  lot TEXT NOT NULL,
  PRIMARY KEY (lot, id)
);

CREATE TABLE timer (
  name   TEXT NOT NULL,
  object TEXT NOT NULL,
  lot    TEXT NOT NULL,
  due    TEXT NOT NULL,
  PRIMARY KEY (name, object)
);
CREATE INDEX timer_due ON timer (due);

-- Wanted changes in other systems. A state effect's id is kind, system and object, a document effect's is its command.
CREATE TABLE effect (
  id          TEXT    PRIMARY KEY,
  kind        TEXT    NOT NULL,
  system      TEXT    NOT NULL,
  object      TEXT    NOT NULL,
  lot         TEXT    NOT NULL,
  serial      TEXT    NOT NULL,
  command_id  TEXT    NOT NULL,
  generation  BIGINT  NOT NULL,
  settled     BIGINT  NOT NULL,
  state       TEXT    NOT NULL,
  priority    INTEGER NOT NULL,
  due         TEXT    NOT NULL,
  asked       TEXT    NOT NULL,
  owner       TEXT    NOT NULL,
  lease       TEXT    NOT NULL,
  attempts    BIGINT  NOT NULL,
  tries       BIGINT  NOT NULL,
  wrote       INTEGER NOT NULL,
  outcome     TEXT    NOT NULL,
  code        TEXT    NOT NULL,
  message     TEXT    NOT NULL,
  external    TEXT    NOT NULL,
  cause       TEXT    NOT NULL,
  correlation TEXT    NOT NULL
);
CREATE INDEX effect_due ON effect (state, priority, due);
CREATE INDEX effect_serial ON effect (serial, state);
CREATE INDEX effect_lot ON effect (lot);

CREATE TABLE ledger (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  at        TEXT   NOT NULL,
  principal TEXT   NOT NULL CHECK (principal <> ''),
  act       TEXT   NOT NULL,
  object    TEXT   NOT NULL,
  version   BIGINT NOT NULL,
  event_id  TEXT   NOT NULL,
  lot       TEXT   NOT NULL,
  reason    TEXT   NOT NULL,
  was       TEXT   NOT NULL,
  now       TEXT   NOT NULL,
  UNIQUE (object, version)
);
CREATE INDEX ledger_lot ON ledger (lot, id);

-- The place and hash that the sealer gave each entry.
CREATE TABLE seal (
  place     BIGINT PRIMARY KEY,
  ledger_id BIGINT NOT NULL UNIQUE,
  prev      TEXT   NOT NULL,
  hash      TEXT   NOT NULL
);

CREATE TABLE checkpoint (
  place     BIGINT PRIMARY KEY,
  at        TEXT   NOT NULL,
  note      TEXT   NOT NULL
);

-- Messages to send. One without value is a mark: the key of a compacted topic changed.
CREATE TABLE outbox (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  topic   TEXT NOT NULL,
  key     TEXT NOT NULL,
  changes BIGINT NOT NULL DEFAULT 1,
  headers BLOB,
  value   BLOB
);
CREATE UNIQUE INDEX outbox_mark ON outbox (topic, key) WHERE value IS NULL;

CREATE TABLE deadletter (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  ord         BIGINT NOT NULL,
  state       TEXT   NOT NULL,
  key         TEXT   NOT NULL,
  lot         TEXT   NOT NULL,
  plant       TEXT   NOT NULL,
  event_id    TEXT   NOT NULL,
  event_type  TEXT   NOT NULL,
  code        TEXT   NOT NULL,
  cause       TEXT   NOT NULL,
  object      TEXT   NOT NULL,
  attempts    BIGINT NOT NULL,
  door        TEXT   NOT NULL,
  principal   TEXT   NOT NULL,
  topic       TEXT   NOT NULL,
  part        INTEGER NOT NULL,
  off         BIGINT NOT NULL,
  replaced_by TEXT   NOT NULL,
  at          TEXT   NOT NULL,
  updated     TEXT   NOT NULL,
  headers     BLOB   NOT NULL,
  value       BLOB   NOT NULL
);
CREATE INDEX deadletter_state ON deadletter (state, key, ord);
CREATE INDEX deadletter_lot ON deadletter (lot, state);
CREATE INDEX deadletter_event ON deadletter (event_id);
CREATE INDEX deadletter_object ON deadletter (object, ord);

CREATE TABLE lease (
  name    TEXT   PRIMARY KEY,
  owner   TEXT   NOT NULL,
  fence   BIGINT NOT NULL,
  expires TEXT   NOT NULL
);
