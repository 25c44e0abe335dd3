-- The tables of migrations/sqlite up to the same number, at once: no database of an older version exists. A test keeps both
-- equal, and each later migration stands in both folders under one number.
--
-- COLLATE "C" orders texts by their bytes, as SQLite and Go do, whatever the database was made with.
-- +goose Up

CREATE TABLE meta (
  name  TEXT COLLATE "C" PRIMARY KEY,
  value TEXT COLLATE "C" NOT NULL
);

-- Each accepted event of both doors and each fired timer, in the order in which they were applied.
CREATE TABLE inbox (
  pos         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id          TEXT COLLATE "C" NOT NULL UNIQUE,
  type        TEXT COLLATE "C" NOT NULL,
  key         TEXT COLLATE "C" NOT NULL,
  lot         TEXT COLLATE "C" NOT NULL,
  plant       TEXT COLLATE "C" NOT NULL,
  door        TEXT COLLATE "C" NOT NULL,
  principal   TEXT COLLATE "C" NOT NULL,
  agent       TEXT COLLATE "C" NOT NULL,
  epoch       TEXT COLLATE "C" NOT NULL,
  lane        TEXT COLLATE "C" NOT NULL,
  seq         BIGINT NOT NULL,
  topic       TEXT COLLATE "C" NOT NULL,
  part        INTEGER NOT NULL,
  off         BIGINT NOT NULL,
  time        TEXT COLLATE "C" NOT NULL,
  recorded    TEXT COLLATE "C" NOT NULL,
  accepted    TEXT COLLATE "C" NOT NULL,
  hash        TEXT COLLATE "C" NOT NULL,
  raw_sha256  TEXT COLLATE "C" NOT NULL,
  correlation TEXT COLLATE "C" NOT NULL,
  causation   TEXT COLLATE "C" NOT NULL,
  headers     BYTEA NOT NULL,
  value       BYTEA NOT NULL
);
CREATE INDEX inbox_lot ON inbox (lot, pos);
CREATE INDEX inbox_correlation ON inbox (correlation, pos);

-- Newest place that a lot's events were applied from, per agent; urgent events are not counted.
CREATE TABLE lot_origin (
  lot   TEXT COLLATE "C" NOT NULL,
  plant TEXT COLLATE "C" NOT NULL,
  agent TEXT COLLATE "C" NOT NULL,
  epoch TEXT COLLATE "C" NOT NULL,
  seq   BIGINT NOT NULL,
  PRIMARY KEY (lot, plant, agent)
);

CREATE TABLE epoch (
  plant      TEXT COLLATE "C" NOT NULL,
  agent      TEXT COLLATE "C" NOT NULL,
  epoch      TEXT COLLATE "C" NOT NULL,
  prev       TEXT COLLATE "C" NOT NULL,
  successor  TEXT COLLATE "C" NOT NULL,
  closed     INTEGER NOT NULL,
  quality    BIGINT NOT NULL,
  telemetry  BIGINT NOT NULL,
  superseded INTEGER NOT NULL,
  first_seen TEXT COLLATE "C" NOT NULL,
  -- Closed, and covered up to its closing: nothing of it can be missing.
  whole INTEGER NOT NULL DEFAULT 0,
  -- When its last record came after it was closed: what it still lacks may concern every lot known by then.
  tail TEXT COLLATE "C" NOT NULL DEFAULT '',
  PRIMARY KEY (plant, agent, epoch)
);

CREATE TABLE coverage (
  plant  TEXT COLLATE "C" NOT NULL,
  agent  TEXT COLLATE "C" NOT NULL,
  epoch  TEXT COLLATE "C" NOT NULL,
  lane   TEXT COLLATE "C" NOT NULL,
  part   INTEGER NOT NULL,
  ranges TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (plant, agent, epoch, lane, part)
);

CREATE TABLE kafka_offset (
  topic TEXT COLLATE "C" NOT NULL,
  part  INTEGER NOT NULL,
  next  BIGINT NOT NULL,
  PRIMARY KEY (topic, part)
);

CREATE TABLE lot (
  key       TEXT COLLATE "C" PRIMARY KEY,
  version   BIGINT NOT NULL,
  plant     TEXT COLLATE "C" NOT NULL,
  material  TEXT COLLATE "C" NOT NULL,
  supplier  TEXT COLLATE "C" NOT NULL,
  sublot    TEXT COLLATE "C" NOT NULL,
  equipment TEXT COLLATE "C" NOT NULL,
  doc       TEXT COLLATE "C" NOT NULL,
  release   TEXT COLLATE "C" NOT NULL DEFAULT '',
  -- How long it is where it stands on the way to its release: the board shows the oldest of each column first.
  release_since TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX lot_material ON lot (material, key);
CREATE INDEX lot_supplier ON lot (supplier, key);
CREATE INDEX lot_sublot ON lot (sublot, key);
CREATE INDEX lot_equipment ON lot (equipment, key);

CREATE TABLE hold (
  id      TEXT COLLATE "C" NOT NULL,
  lot     TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  is_open INTEGER NOT NULL,
  doc     TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (id, lot)
);
CREATE INDEX hold_lot ON hold (lot, is_open);

CREATE TABLE nonconformance (
  id      TEXT COLLATE "C" PRIMARY KEY,
  version BIGINT NOT NULL,
  is_open INTEGER NOT NULL,
  doc     TEXT COLLATE "C" NOT NULL
);

CREATE TABLE nonconformance_lot (
  id  TEXT COLLATE "C" NOT NULL,
  lot TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (lot, id)
);

CREATE TABLE timer (
  name   TEXT COLLATE "C" NOT NULL,
  object TEXT COLLATE "C" NOT NULL,
  lot    TEXT COLLATE "C" NOT NULL,
  due    TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (name, object)
);
CREATE INDEX timer_due ON timer (due);

-- Wanted changes in other systems. A state effect's id is kind, system and object, a document effect's is its command.
CREATE TABLE effect (
  id          TEXT COLLATE "C" PRIMARY KEY,
  kind        TEXT COLLATE "C" NOT NULL,
  system      TEXT COLLATE "C" NOT NULL,
  object      TEXT COLLATE "C" NOT NULL,
  lot         TEXT COLLATE "C" NOT NULL,
  serial      TEXT COLLATE "C" NOT NULL,
  command_id  TEXT COLLATE "C" NOT NULL,
  generation  BIGINT NOT NULL,
  settled     BIGINT NOT NULL,
  state       TEXT COLLATE "C" NOT NULL,
  priority    INTEGER NOT NULL,
  due         TEXT COLLATE "C" NOT NULL,
  asked       TEXT COLLATE "C" NOT NULL,
  owner       TEXT COLLATE "C" NOT NULL,
  lease       TEXT COLLATE "C" NOT NULL,
  attempts    BIGINT NOT NULL,
  tries       BIGINT NOT NULL,
  wrote       INTEGER NOT NULL,
  outcome     TEXT COLLATE "C" NOT NULL,
  code        TEXT COLLATE "C" NOT NULL,
  message     TEXT COLLATE "C" NOT NULL,
  external    TEXT COLLATE "C" NOT NULL,
  cause       TEXT COLLATE "C" NOT NULL,
  correlation TEXT COLLATE "C" NOT NULL
);
CREATE INDEX effect_due ON effect (state, priority, due);
CREATE INDEX effect_serial ON effect (serial, state);
CREATE INDEX effect_lot ON effect (lot);

CREATE TABLE ledger (
  id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at        TEXT COLLATE "C" NOT NULL,
  principal TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
  act       TEXT COLLATE "C" NOT NULL,
  object    TEXT COLLATE "C" NOT NULL,
  version   BIGINT NOT NULL,
  event_id  TEXT COLLATE "C" NOT NULL,
  lot       TEXT COLLATE "C" NOT NULL,
  reason    TEXT COLLATE "C" NOT NULL,
  was       TEXT COLLATE "C" NOT NULL,
  now       TEXT COLLATE "C" NOT NULL,
  UNIQUE (object, version)
);
CREATE INDEX ledger_lot ON ledger (lot, id);

-- The place and hash that the sealer gave each entry.
CREATE TABLE seal (
  place     BIGINT PRIMARY KEY,
  ledger_id BIGINT NOT NULL UNIQUE,
  prev      TEXT COLLATE "C" NOT NULL,
  hash      TEXT COLLATE "C" NOT NULL
);

CREATE TABLE checkpoint (
  place     BIGINT PRIMARY KEY,
  at        TEXT COLLATE "C" NOT NULL,
  note      TEXT COLLATE "C" NOT NULL
);

-- Messages to send. One without value is a mark: the key of a compacted topic changed.
CREATE TABLE outbox (
  id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic   TEXT COLLATE "C" NOT NULL,
  key     TEXT COLLATE "C" NOT NULL,
  changes BIGINT NOT NULL DEFAULT 1,
  headers BYTEA,
  value   BYTEA
);
CREATE UNIQUE INDEX outbox_mark ON outbox (topic, key) WHERE value IS NULL;

CREATE TABLE deadletter (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ord         BIGINT NOT NULL,
  state       TEXT COLLATE "C" NOT NULL,
  key         TEXT COLLATE "C" NOT NULL,
  lot         TEXT COLLATE "C" NOT NULL,
  plant       TEXT COLLATE "C" NOT NULL,
  event_id    TEXT COLLATE "C" NOT NULL,
  event_type  TEXT COLLATE "C" NOT NULL,
  code        TEXT COLLATE "C" NOT NULL,
  cause       TEXT COLLATE "C" NOT NULL,
  object      TEXT COLLATE "C" NOT NULL,
  attempts    BIGINT NOT NULL,
  door        TEXT COLLATE "C" NOT NULL,
  principal   TEXT COLLATE "C" NOT NULL,
  topic       TEXT COLLATE "C" NOT NULL,
  part        INTEGER NOT NULL,
  off         BIGINT NOT NULL,
  replaced_by TEXT COLLATE "C" NOT NULL,
  at          TEXT COLLATE "C" NOT NULL,
  updated     TEXT COLLATE "C" NOT NULL,
  headers     BYTEA NOT NULL,
  value       BYTEA NOT NULL
);
CREATE INDEX deadletter_state ON deadletter (state, ord);
-- Key, id and object are what a sender wrote, of any length: a tree refuses more than 2,704 bytes.
CREATE INDEX deadletter_key ON deadletter USING hash (key);
CREATE INDEX deadletter_lot ON deadletter (lot, state);
CREATE INDEX deadletter_event ON deadletter USING hash (event_id);
CREATE INDEX deadletter_object ON deadletter USING hash (object);

CREATE TABLE lease (
  name    TEXT COLLATE "C" PRIMARY KEY,
  owner   TEXT COLLATE "C" NOT NULL,
  fence   BIGINT NOT NULL,
  expires TEXT COLLATE "C" NOT NULL
);
-- Of an agent's epochs, which are never deleted, few are open, lack something or are not decided about.
CREATE INDEX epoch_open ON epoch (plant, agent) WHERE closed = 0;
CREATE INDEX epoch_lacking ON epoch (plant, agent, first_seen, epoch) WHERE closed = 1 AND whole = 0 OR superseded = 1;

-- Plants that have an event of a lot, or stock of it.
CREATE TABLE lot_plant (
  lot   TEXT COLLATE "C" NOT NULL,
  plant TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (lot, plant)
);

-- Version of a lot's status as published.
CREATE TABLE lot_status (
  lot     TEXT COLLATE "C" PRIMARY KEY,
  version BIGINT NOT NULL,
  at      TEXT COLLATE "C" NOT NULL
);

CREATE TABLE inspection (
  lot     TEXT COLLATE "C" NOT NULL,
  id      TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (lot, id)
);

-- Append-only but for the link to what supersedes a row; place is the order in which a lot's were decided.
CREATE TABLE disposition (
  lot     TEXT COLLATE "C" NOT NULL,
  id      TEXT COLLATE "C" NOT NULL,
  place   BIGINT NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (lot, id)
);

CREATE TABLE run (
  lot       TEXT COLLATE "C" NOT NULL,
  id        TEXT COLLATE "C" NOT NULL,
  plant     TEXT COLLATE "C" NOT NULL,
  equipment TEXT COLLATE "C" NOT NULL,
  ended     TEXT COLLATE "C" NOT NULL,
  version   BIGINT NOT NULL,
  doc       TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (lot, id)
);
CREATE INDEX run_equipment ON run (plant, equipment, ended);

CREATE TABLE gap (
  id      TEXT COLLATE "C" PRIMARY KEY,
  plant   TEXT COLLATE "C" NOT NULL,
  lot     TEXT COLLATE "C" NOT NULL,
  kind    TEXT COLLATE "C" NOT NULL,
  agent   TEXT COLLATE "C" NOT NULL,
  epoch   TEXT COLLATE "C" NOT NULL,
  lane    TEXT COLLATE "C" NOT NULL,
  is_open INTEGER NOT NULL,
  until   TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT COLLATE "C" NOT NULL
);
CREATE INDEX gap_plant ON gap (plant, is_open, until);
CREATE INDEX gap_lot ON gap (lot, is_open);
CREATE INDEX gap_epoch ON gap (epoch, lane);

CREATE TABLE certificate (
  id      TEXT COLLATE "C" NOT NULL,
  lot     TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (id, lot)
);
CREATE INDEX certificate_lot ON certificate (lot);

CREATE TABLE acceptance (
  id      TEXT COLLATE "C" PRIMARY KEY,
  lot     TEXT COLLATE "C" NOT NULL,
  plant   TEXT COLLATE "C" NOT NULL,
  agent   TEXT COLLATE "C" NOT NULL,
  barrier BIGINT NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT COLLATE "C" NOT NULL
);
CREATE INDEX acceptance_lot ON acceptance (lot);

CREATE TABLE allocation (
  lot     TEXT COLLATE "C" NOT NULL,
  name    TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (lot, name)
);

CREATE TABLE notice (
  id      TEXT COLLATE "C" PRIMARY KEY,
  lot     TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  doc     TEXT COLLATE "C" NOT NULL
);
CREATE INDEX notice_lot ON notice (lot);

-- Lots whose agents are asked, or were; barrier 0 = not yet.
CREATE TABLE ask (
  lot     TEXT COLLATE "C" PRIMARY KEY,
  barrier BIGINT NOT NULL,
  round   BIGINT NOT NULL,
  granted INTEGER NOT NULL,
  at      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX ask_barrier ON ask (granted, barrier);

-- Newest head of each epoch.
CREATE TABLE head (
  plant   TEXT COLLATE "C" NOT NULL,
  agent   TEXT COLLATE "C" NOT NULL,
  epoch   TEXT COLLATE "C" NOT NULL,
  barrier BIGINT NOT NULL,
  at      TEXT COLLATE "C" NOT NULL,
  stated  TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (plant, agent, epoch)
);

-- Heads whose seqs have not all come yet: an agent's oldest and its newest.
CREATE TABLE head_open (
  id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  plant   TEXT COLLATE "C" NOT NULL,
  agent   TEXT COLLATE "C" NOT NULL,
  epoch   TEXT COLLATE "C" NOT NULL,
  barrier BIGINT NOT NULL,
  at      TEXT COLLATE "C" NOT NULL,
  stated  TEXT COLLATE "C" NOT NULL
);
CREATE INDEX head_open_agent ON head_open (plant, agent, id);

-- What an agent was asked and told, and how far it has answered.
CREATE TABLE agent (
  plant    TEXT COLLATE "C" NOT NULL,
  agent    TEXT COLLATE "C" NOT NULL,
  answered BIGINT NOT NULL,
  asked    BIGINT NOT NULL,
  asked_at TEXT COLLATE "C" NOT NULL,
  version  BIGINT NOT NULL,
  told_at  TEXT COLLATE "C" NOT NULL,
  told     TEXT COLLATE "C" NOT NULL,
  covered  TEXT COLLATE "C" NOT NULL,
  barrier  BIGINT NOT NULL,
  PRIMARY KEY (plant, agent)
);

CREATE TABLE release_wait (
  lot    TEXT COLLATE "C" NOT NULL,
  plant  TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  since  TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (lot, plant, reason)
);

CREATE TABLE release_waited (
  plant   TEXT COLLATE "C" NOT NULL,
  reason  TEXT COLLATE "C" NOT NULL,
  micros  BIGINT NOT NULL,
  PRIMARY KEY (plant, reason)
);

-- Alerts that are raised and not cleared.
CREATE TABLE alert (
  code    TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  since   TEXT COLLATE "C" NOT NULL,
  doc     TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (code, subject)
);

-- Local users: persons who sign, and log in at the console.
CREATE TABLE local_user (
  name       TEXT COLLATE "C" PRIMARY KEY,
  version    BIGINT NOT NULL,
  printed    TEXT COLLATE "C" NOT NULL CHECK (printed <> ''),
  person     TEXT COLLATE "C" NOT NULL CHECK (person <> ''),
  roles      TEXT COLLATE "C" NOT NULL,
  plants     TEXT COLLATE "C" NOT NULL,
  password   TEXT COLLATE "C" NOT NULL,
  given      INTEGER NOT NULL,
  disabled   INTEGER NOT NULL,
  created    TEXT COLLATE "C" NOT NULL,
  changed    TEXT COLLATE "C" NOT NULL
);

-- Wrong passwords since the last right one, by the name that was given: of users that exist and of others, so that the
-- answer does not tell which do.
CREATE TABLE login (
  name     TEXT COLLATE "C" PRIMARY KEY,
  failures BIGINT NOT NULL,
  until    TEXT COLLATE "C" NOT NULL,
  at       TEXT COLLATE "C" NOT NULL
);
CREATE INDEX login_at ON login (at);

-- What a person decided about an epoch that does not belong to its agent's chain.
CREATE TABLE epoch_decision (
  plant     TEXT COLLATE "C" NOT NULL,
  agent     TEXT COLLATE "C" NOT NULL,
  epoch     TEXT COLLATE "C" NOT NULL,
  decision  TEXT COLLATE "C" NOT NULL,
  principal TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
  reason    TEXT COLLATE "C" NOT NULL,
  at        TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (plant, agent, epoch)
);

-- Where the feed of changes of each system stands.
CREATE TABLE feed (
  system    TEXT COLLATE "C" PRIMARY KEY,
  cursor    TEXT COLLATE "C" NOT NULL,
  full_pass TEXT COLLATE "C" NOT NULL
);

-- Objects of a feed that became no event, and why.
CREATE TABLE feed_unread (
  system TEXT COLLATE "C" NOT NULL,
  kind   TEXT COLLATE "C" NOT NULL,
  object TEXT COLLATE "C" NOT NULL,
  lot    TEXT COLLATE "C" NOT NULL,
  reason TEXT COLLATE "C" NOT NULL,
  since  TEXT COLLATE "C" NOT NULL,
  tried  TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (system, kind, object)
);
CREATE INDEX feed_unread_lot ON feed_unread (lot, kind);

-- How often an effect may have been written without anyone knowing.
CREATE TABLE doubt (
  effect TEXT COLLATE "C" PRIMARY KEY,
  writes BIGINT NOT NULL,
  last   TEXT COLLATE "C" NOT NULL
);

-- What keeps the dispatcher from writing; system '' = to all. One without until waits for a person.
CREATE TABLE dispatch_off (
  system    TEXT COLLATE "C" PRIMARY KEY,
  since     TEXT COLLATE "C" NOT NULL,
  until     TEXT COLLATE "C" NOT NULL,
  restored  INTEGER NOT NULL,
  principal TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
  reason    TEXT COLLATE "C" NOT NULL
);

-- Agents out of service, until one of their epochs is accepted again.
CREATE TABLE retired (
  plant     TEXT COLLATE "C" NOT NULL,
  agent     TEXT COLLATE "C" NOT NULL,
  principal TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
  reason    TEXT COLLATE "C" NOT NULL,
  at        TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (plant, agent)
);

-- Seqs of lane quality that never came, and that persons signed for when they retired the agent.
CREATE TABLE signed_for (
  plant  TEXT COLLATE "C" NOT NULL,
  agent  TEXT COLLATE "C" NOT NULL,
  epoch  TEXT COLLATE "C" NOT NULL,
  ranges TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (plant, agent, epoch)
);
-- What waits for one system, by its time: each system has workers of its own.
CREATE INDEX effect_system ON effect (system, state, due);

-- Users who are logged in at the console, by the hash of the token that their browser holds.
CREATE TABLE session (
  hash    TEXT COLLATE "C" PRIMARY KEY,
  name    TEXT COLLATE "C" NOT NULL,
  started TEXT COLLATE "C" NOT NULL,
  seen    TEXT COLLATE "C" NOT NULL
);
CREATE INDEX session_seen ON session (seen);
CREATE INDEX lot_board ON lot (release, release_since, key, plant);
CREATE INDEX lot_release ON lot (release, plant);
