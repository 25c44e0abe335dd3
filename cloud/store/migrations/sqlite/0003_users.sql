-- +goose Up
-- Local users: persons who sign, and log in at the console.
CREATE TABLE local_user (
  name       TEXT    PRIMARY KEY,
  version    BIGINT  NOT NULL,
  printed    TEXT    NOT NULL CHECK (printed <> ''),
  person     TEXT    NOT NULL CHECK (person <> ''),
  roles      TEXT    NOT NULL,
  plants     TEXT    NOT NULL,
  password   TEXT    NOT NULL,
  given      INTEGER NOT NULL,
  disabled   INTEGER NOT NULL,
  created    TEXT    NOT NULL,
  changed    TEXT    NOT NULL
);

-- Wrong passwords since the last right one, by the name that was given: of users that exist and of others, so that the
-- answer does not tell which do.
CREATE TABLE login (
  name     TEXT   PRIMARY KEY,
  failures BIGINT NOT NULL,
  until    TEXT   NOT NULL,
  at       TEXT   NOT NULL
);
CREATE INDEX login_at ON login (at);
