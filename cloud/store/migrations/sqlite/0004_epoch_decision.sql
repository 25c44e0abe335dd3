-- +goose Up
-- What a person decided about an epoch that does not belong to its agent's chain.
CREATE TABLE epoch_decision (
  plant     TEXT NOT NULL,
  agent     TEXT NOT NULL,
  epoch     TEXT NOT NULL,
  decision  TEXT NOT NULL,
  principal TEXT NOT NULL CHECK (principal <> ''),
  reason    TEXT NOT NULL,
  at        TEXT NOT NULL,
  PRIMARY KEY (plant, agent, epoch)
);
