-- +goose Up
-- Models that may answer for another one of which no replica is ready, in order.
CREATE TABLE gateway.fallbacks (
  organisation_id uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  model           text NOT NULL, -- as clients send it
  models          text[] NOT NULL CHECK (cardinality(models) BETWEEN 1 AND 8),
  changed_by      text NOT NULL,
  changed_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organisation_id, model)
);

-- +goose Down
DROP TABLE gateway.fallbacks;
