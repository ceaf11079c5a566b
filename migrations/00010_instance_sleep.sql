-- +goose Up
-- A deployment whose minimum is 0 sleeps when nobody has used it for a while,
-- and the next request wakes it.
ALTER TABLE instance.deployments
  ADD COLUMN idle_minutes integer NOT NULL DEFAULT 15 CHECK (idle_minutes BETWEEN 0 AND 43200), -- 0: it never sleeps by itself
  ADD COLUMN used_at timestamptz NOT NULL DEFAULT now(), -- by a request, known up to a minute late
  ADD COLUMN woken_at timestamptz; -- since when somebody wants it awake; null: nobody does

-- +goose Down
ALTER TABLE instance.deployments DROP COLUMN idle_minutes, DROP COLUMN used_at, DROP COLUMN woken_at;
