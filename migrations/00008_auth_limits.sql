-- +goose Up
-- Where a key may be used from; empty: from everywhere.
ALTER TABLE auth.api_keys ADD COLUMN networks cidr[] NOT NULL DEFAULT '{}' CHECK (cardinality(networks) <= 50);

-- +goose Down
ALTER TABLE auth.api_keys DROP COLUMN networks;
