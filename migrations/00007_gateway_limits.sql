-- +goose Up
-- What a key, a member or the whole organisation may use. Null is no limit.
CREATE TABLE gateway.limits (
  organisation_id     uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  subject_id          uuid NOT NULL, -- the key, the user, or the organisation itself
  level               text NOT NULL CHECK (level IN ('key', 'member', 'organisation')),
  requests_per_minute bigint CHECK (requests_per_minute BETWEEN 1 AND 1000000000),
  tokens_per_minute   bigint CHECK (tokens_per_minute BETWEEN 1 AND 1000000000000),
  concurrency         bigint CHECK (concurrency BETWEEN 1 AND 1000000),
  max_tokens          bigint CHECK (max_tokens BETWEEN 1 AND 10000000),
  models              text[] CHECK (cardinality(models) > 0), -- null: every model
  budget              numeric(20, 9) CHECK (budget > 0), -- EUR
  period              text CHECK (period IN ('day', 'month')),
  changed_at          timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organisation_id, subject_id),
  CONSTRAINT limits_budget_period_check CHECK ((budget IS NULL) = (period IS NULL)),
  CONSTRAINT limits_own_organisation_check CHECK ((level = 'organisation') = (subject_id = organisation_id))
);

-- One row: how often limits have changed. Replicas read them all again when it
-- has.
CREATE TABLE gateway.limit_changes (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  version bigint NOT NULL
);
INSERT INTO gateway.limit_changes (version) VALUES (0);

-- What keys, members and organisations have spent per day (UTC): the sums of
-- usage_records, kept in the transaction that stores those.
CREATE TABLE gateway.spending (
  organisation_id uuid NOT NULL,
  subject_id      uuid NOT NULL,
  day             date NOT NULL,
  cost            numeric(20, 9) NOT NULL, -- EUR
  PRIMARY KEY (organisation_id, subject_id, day)
);
INSERT INTO gateway.spending (organisation_id, subject_id, day, cost)
SELECT r.organisation_id, s.id, (r.started_at AT TIME ZONE 'UTC')::date, sum(r.cost)
  FROM gateway.usage_records r CROSS JOIN LATERAL (VALUES (r.organisation_id), (r.key_id), (r.user_id)) s (id)
 WHERE s.id IS NOT NULL AND r.cost > 0 GROUP BY 1, 2, 3;

-- The processes that let requests in. One that was not seen for 15 s has no
-- part in rates, and after six minutes none in budgets either: without the
-- database a process believes its keys for five.
CREATE TABLE gateway.replicas (
  id      uuid PRIMARY KEY,
  seen_at timestamptz NOT NULL DEFAULT now()
);

-- What a replica has leased of a limit, so that it lets requests in without
-- asking: of a budget nano-euros, of another limit millionths of it.
CREATE TABLE gateway.leases (
  organisation_id uuid NOT NULL,
  subject_id      uuid NOT NULL,
  what            text NOT NULL CHECK (what IN ('requests', 'tokens', 'concurrency', 'budget')),
  starts          date NOT NULL, -- of the budget's period; 'epoch' for the others
  replica_id      uuid NOT NULL REFERENCES gateway.replicas ON DELETE CASCADE,
  amount          bigint NOT NULL CHECK (amount >= 0),
  wanted          bigint NOT NULL DEFAULT 0, -- demand, in the unit of the amount
  PRIMARY KEY (organisation_id, subject_id, what, starts, replica_id)
);
CREATE INDEX leases_replica_idx ON gateway.leases (replica_id);

-- +goose Down
DROP TABLE gateway.leases, gateway.replicas, gateway.spending, gateway.limit_changes, gateway.limits;
