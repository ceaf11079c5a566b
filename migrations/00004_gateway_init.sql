-- +goose Up
CREATE SCHEMA gateway;

CREATE TABLE gateway.endpoints (
  id              uuid PRIMARY KEY,
  organisation_id uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  name            text NOT NULL CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  model           text NOT NULL, -- as clients send it
  base_url        text NOT NULL, -- ends in /v1
  key_sealed      bytea,         -- null when the server needs none
  private         boolean NOT NULL DEFAULT false, -- may be at a private or loopback address: a platform operator added it
  state           text NOT NULL DEFAULT 'unknown' CHECK (state IN ('unknown', 'reachable', 'unreachable')),
  message         text NOT NULL DEFAULT '', -- why it is unreachable, for people
  checked_at      timestamptz,
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organisation_id, name)
);

-- One row per request that was accepted for an upstream. Never updated.
CREATE TABLE gateway.usage_records (
  request_id        uuid NOT NULL,
  started_at        timestamptz NOT NULL,
  organisation_id   uuid NOT NULL,
  key_id            uuid,             -- null for the playground
  user_id           uuid,
  model             text NOT NULL,
  path              text NOT NULL,    -- /v1/chat/completions and so on
  upstream          text NOT NULL,    -- instance or endpoint
  upstream_id       uuid NOT NULL,
  status            text NOT NULL CHECK (status IN ('completed', 'interrupted')),
  http_status       integer NOT NULL, -- what the client was sent; 0 when nothing was
  error             text NOT NULL DEFAULT '', -- code, such as client_gone or upstream_lost
  streamed          boolean NOT NULL,
  prompt_tokens     bigint NOT NULL CHECK (prompt_tokens >= 0),
  completion_tokens bigint NOT NULL CHECK (completion_tokens >= 0),
  cached_tokens     bigint NOT NULL DEFAULT 0 CHECK (cached_tokens >= 0),
  usage_source      text NOT NULL CHECK (usage_source IN ('engine', 'counted', 'none')),
  price_id          bigint,           -- catalog.prices; null when the model has none
  input_price       numeric(20, 9) NOT NULL, -- EUR per million, frozen
  output_price      numeric(20, 9) NOT NULL,
  cost              numeric(20, 9) NOT NULL, -- EUR
  first_token_us    bigint,           -- from acceptance to the first byte of the answer's body
  duration_us       bigint NOT NULL,
  stored_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (request_id, started_at)
) PARTITION BY RANGE (started_at);
CREATE INDEX usage_records_organisation_idx ON gateway.usage_records (organisation_id, started_at DESC);
CREATE TABLE gateway.usage_records_default PARTITION OF gateway.usage_records DEFAULT;

-- make_partition makes the monthly partition that starts at a day, unless it is
-- there. Rows that waited in the default partition move into it.
-- +goose StatementBegin
CREATE FUNCTION gateway.make_partition(starts date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  part text := 'usage_records_' || to_char(starts, 'YYYY_MM');
  ends date := (starts + interval '1 month')::date;
BEGIN
  IF to_regclass('gateway.' || part) IS NOT NULL THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(7104001);
  IF to_regclass('gateway.' || part) IS NOT NULL THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE gateway.%I (LIKE gateway.usage_records INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
  EXECUTE format('WITH moved AS (DELETE FROM gateway.usage_records_default WHERE started_at >= %L AND started_at < %L RETURNING *) '
                 'INSERT INTO gateway.%I SELECT * FROM moved', starts || ' 00:00:00+00', ends || ' 00:00:00+00', part);
  EXECUTE format('ALTER TABLE gateway.usage_records ATTACH PARTITION gateway.%I FOR VALUES FROM (%L) TO (%L)',
                 part, starts || ' 00:00:00+00', ends || ' 00:00:00+00');
END $$;
-- +goose StatementEnd

-- +goose Down
DROP SCHEMA gateway CASCADE;
