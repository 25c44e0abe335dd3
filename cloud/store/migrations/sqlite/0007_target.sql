-- +goose Up
-- What waits for one system, by its time: each system has workers of its own.
CREATE INDEX effect_system ON effect (system, state, due);
