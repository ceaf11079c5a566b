-- +goose Up
-- Names of an organisation's own for models: a request may ask for either.
CREATE TABLE gateway.aliases (
  organisation_id uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  name            text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 200),
  model           text NOT NULL, -- as clients send it
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organisation_id, name),
  CHECK (name <> model)
);

-- +goose Down
DROP TABLE gateway.aliases;
