-- +goose Up
-- How an agent says that it stands, and when by its own clock it said so. For people to look at.
ALTER TABLE head ADD COLUMN told TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE head ADD COLUMN standing TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX head_at ON head (at);
