-- +goose Up
-- What keeps the dispatcher from writing; system '' = to all. One without until waits for a person.
CREATE TABLE dispatch_off (
  system    TEXT    PRIMARY KEY,
  since     TEXT    NOT NULL,
  until     TEXT    NOT NULL,
  restored  INTEGER NOT NULL,
  principal TEXT    NOT NULL CHECK (principal <> ''),
  reason    TEXT    NOT NULL
);

-- Agents out of service, until one of their epochs is accepted again.
CREATE TABLE retired (
  plant     TEXT NOT NULL,
  agent     TEXT NOT NULL,
  principal TEXT NOT NULL CHECK (principal <> ''),
  reason    TEXT NOT NULL,
  at        TEXT NOT NULL,
  PRIMARY KEY (plant, agent)
);

-- Seqs of lane quality that never came, and that persons signed for when they retired the agent.
CREATE TABLE signed_for (
  plant  TEXT NOT NULL,
  agent  TEXT NOT NULL,
  epoch  TEXT NOT NULL,
  ranges TEXT NOT NULL,
  PRIMARY KEY (plant, agent, epoch)
);
