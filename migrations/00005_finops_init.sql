-- +goose Up
CREATE SCHEMA finops;

-- A priced interval of one resource. The amount is always derived from it.
CREATE TABLE finops.charges (
  id              uuid PRIMARY KEY, -- the id of the instance.resources row it prices
  organisation_id uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  instance_id     uuid NOT NULL,
  instance        text NOT NULL, -- its name
  model           text NOT NULL,
  provider        text NOT NULL,
  zone            text NOT NULL,
  kind            text NOT NULL CHECK (kind IN ('server', 'volume', 'address')),
  description     text NOT NULL,
  price_per_hour  numeric(20, 9) NOT NULL, -- EUR, frozen
  started_at      timestamptz NOT NULL,
  ended_at        timestamptz,
  version         timestamptz NOT NULL, -- when the row it prices changed: an older reading never overwrites a newer one
  CHECK (ended_at >= started_at)
);
CREATE INDEX charges_organisation_idx ON finops.charges (organisation_id, started_at);
CREATE INDEX charges_open_idx ON finops.charges (organisation_id) WHERE ended_at IS NULL;
CREATE INDEX charges_instance_idx ON finops.charges (instance_id);

-- How far the meter has read instance.resources.
CREATE TABLE finops.cursor (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  read_until timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO finops.cursor DEFAULT VALUES;

-- +goose Down
DROP SCHEMA finops CASCADE;
