-- +goose Up
-- The alias or the other model that a request asked for; empty when it asked for
-- the one that answered.
ALTER TABLE gateway.usage_records ADD COLUMN asked text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE gateway.usage_records DROP COLUMN asked;
