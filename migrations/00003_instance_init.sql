-- +goose Up
CREATE SCHEMA instance;

CREATE TABLE instance.deployments (
  id              uuid PRIMARY KEY,
  organisation_id uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  name            text NOT NULL CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  model_id        uuid NOT NULL REFERENCES catalog.models ON DELETE RESTRICT,
  model           text NOT NULL, -- its name, as clients send it
  kind            text NOT NULL CHECK (kind IN ('chat', 'embedding')),
  volume_gb       integer NOT NULL CHECK (volume_gb >= 0),
  offers          text[] NOT NULL CHECK (cardinality(offers) > 0), -- provider/zone/type, in order of preference
  min_replicas    integer NOT NULL CHECK (min_replicas BETWEEN 0 AND 100),
  max_replicas    integer NOT NULL CHECK (max_replicas BETWEEN 1 AND 100),
  engine          jsonb NOT NULL, -- wire.EngineSpec without its environment
  engine_env      bytea,          -- its environment, sealed: it may hold secrets
  stopped         boolean NOT NULL DEFAULT false, -- its owner wants no replica now
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  deleted_at      timestamptz,
  reason          text NOT NULL DEFAULT '', -- why it is not as wanted; empty when it is
  message         text NOT NULL DEFAULT '', -- the same for people
  retry_from      timestamptz NOT NULL DEFAULT now(), -- failures before it do not count
  due_at          timestamptz NOT NULL DEFAULT now(),
  CHECK (min_replicas <= max_replicas)
);
CREATE UNIQUE INDEX deployments_name_key ON instance.deployments (organisation_id, name) WHERE deleted_at IS NULL;
CREATE INDEX deployments_due_idx ON instance.deployments (due_at) WHERE deleted_at IS NULL;

CREATE TABLE instance.instances (
  id                 uuid PRIMARY KEY,
  organisation_id    uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  deployment_id      uuid NOT NULL REFERENCES instance.deployments ON DELETE RESTRICT,
  name               text NOT NULL UNIQUE, -- inst-<8 hex>, for people
  model              text NOT NULL,
  provider           text NOT NULL,
  zone               text NOT NULL,
  type               text NOT NULL,
  price_per_hour     numeric(20, 9) NOT NULL, -- EUR, frozen at creation
  volume_gb          integer NOT NULL,
  state              text NOT NULL CHECK (state IN ('provisioning', 'booting', 'installing', 'starting', 'ready',
                       'draining', 'terminating', 'terminated', 'archived', 'provisioning_failed', 'startup_failed', 'failed')),
  desired            text NOT NULL DEFAULT 'ready' CHECK (desired IN (
                       'ready',        -- serve
                       'replaced',     -- serve until a replacement is ready, then drain
                       'drained',      -- finish what runs, then end
                       'terminated')), -- end now
  desired_reason     text NOT NULL DEFAULT '', -- why it is to end, typed
  desired_message    text NOT NULL DEFAULT '', -- the same for people
  reinstall          boolean NOT NULL DEFAULT false, -- its owner wants the agent installed anew
  connectivity       text NOT NULL DEFAULT 'lost' CHECK (connectivity IN ('online', 'suspect', 'lost')),
  eligibility        text NOT NULL DEFAULT 'eligible' CHECK (eligibility IN ('eligible', 'cordoned')),
  step               text NOT NULL DEFAULT '', -- the step in progress, see steps
  progress           integer NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
  reason             text NOT NULL DEFAULT '', -- typed: why it waits or failed
  message            text NOT NULL DEFAULT '', -- the same for people
  generation         integer NOT NULL DEFAULT 1, -- one more at each reinstall
  attempts           integer NOT NULL DEFAULT 0, -- of the step in progress
  state_since        timestamptz NOT NULL DEFAULT now(),
  deadline_at        timestamptz,                -- of a state that waits; passing it fails or retries, never silently
  provider_server_id text NOT NULL DEFAULT '',
  address            text NOT NULL DEFAULT '',
  flag               text NOT NULL DEFAULT '', -- typed: somebody has to look at it
  created_by         text NOT NULL,
  created_at         timestamptz NOT NULL DEFAULT now(),
  ready_at           timestamptz,
  terminated_at      timestamptz,
  archived_at        timestamptz,
  due_at             timestamptz NOT NULL DEFAULT now(),
  lease_until        timestamptz NOT NULL DEFAULT 'epoch',
  lease_epoch        bigint NOT NULL DEFAULT 0
);
CREATE INDEX instances_due_idx ON instance.instances (due_at) WHERE state NOT IN ('terminated', 'archived');
CREATE INDEX instances_organisation_idx ON instance.instances (organisation_id, created_at DESC);
CREATE INDEX instances_deployment_idx ON instance.instances (deployment_id);

-- Append-only history.
CREATE TABLE instance.transitions (
  instance_id uuid NOT NULL REFERENCES instance.instances ON DELETE RESTRICT,
  seq         integer NOT NULL,
  from_state  text NOT NULL, -- empty for the first
  to_state    text NOT NULL,
  reason      text NOT NULL DEFAULT '',
  message     text NOT NULL DEFAULT '',
  at          timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (instance_id, seq)
);

-- The steps people watch: one row per step and generation.
CREATE TABLE instance.steps (
  instance_id uuid NOT NULL REFERENCES instance.instances ON DELETE RESTRICT,
  generation  integer NOT NULL,
  step        text NOT NULL,
  started_at  timestamptz NOT NULL DEFAULT now(),
  ended_at    timestamptz,
  failed      boolean NOT NULL DEFAULT false,
  detail      text NOT NULL DEFAULT '',
  PRIMARY KEY (instance_id, generation, step)
);

-- What was asked of a provider, written before it is sent.
CREATE TABLE instance.operations (
  id          uuid PRIMARY KEY,
  instance_id uuid NOT NULL REFERENCES instance.instances ON DELETE RESTRICT,
  kind        text NOT NULL CHECK (kind IN ('create_server', 'power_on', 'install', 'delete_server', 'delete_resource')),
  target      text NOT NULL DEFAULT '', -- provider id it is about, once known
  status      text NOT NULL CHECK (status IN ('planned', 'sent', 'confirmed', 'absent', 'ambiguous')),
  error       text NOT NULL DEFAULT '',
  epoch       bigint NOT NULL, -- the lease that wrote it
  planned_at  timestamptz NOT NULL DEFAULT now(),
  sent_at     timestamptz,
  settled_at  timestamptz
);
CREATE INDEX operations_instance_idx ON instance.operations (instance_id, planned_at);
-- What is not settled is not asked for a second time.
CREATE UNIQUE INDEX operations_open_key ON instance.operations (instance_id, kind, target)
  WHERE status IN ('planned', 'sent', 'ambiguous');

-- Everything a provider bills for an instance, from created to verified gone.
-- finops turns each row into a charge.
CREATE TABLE instance.resources (
  id              uuid PRIMARY KEY,
  instance_id     uuid NOT NULL REFERENCES instance.instances ON DELETE RESTRICT,
  organisation_id uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  kind            text NOT NULL CHECK (kind IN ('server', 'volume', 'address')),
  provider        text NOT NULL,
  zone            text NOT NULL,
  provider_id     text NOT NULL,
  description     text NOT NULL, -- L4-1-24G, 100 GB block volume, IPv4 address
  price_per_hour  numeric(20, 9) NOT NULL, -- EUR, frozen
  created_at      timestamptz NOT NULL, -- the provider's own time
  gone_at         timestamptz,          -- when the provider answered that it is gone
  orphan          boolean NOT NULL DEFAULT false, -- its instance does not want it: the sweep deletes it
  updated_at      timestamptz NOT NULL DEFAULT now(),
  UNIQUE (provider, zone, provider_id)
);
CREATE INDEX resources_instance_idx ON instance.resources (instance_id);
CREATE INDEX resources_updated_idx ON instance.resources (updated_at);

-- The platform's own certificate authority for agents.
CREATE TABLE instance.authorities (
  id          uuid PRIMARY KEY,
  certificate bytea NOT NULL, -- DER
  key_sealed  bytea NOT NULL, -- PKCS #8, sealed with the master key
  created_at  timestamptz NOT NULL DEFAULT now()
);

-- An instance as its agent reports it.
CREATE TABLE instance.nodes (
  instance_id        uuid PRIMARY KEY REFERENCES instance.instances ON DELETE RESTRICT,
  generation         integer NOT NULL DEFAULT 1, -- the installation that the token below belongs to
  join_token_hash    bytea,
  join_expires_at    timestamptz,
  join_key           bytea, -- SHA-256 of the public key the token admitted; null while it is unused
  join_used_at       timestamptz,
  certificate_serial text NOT NULL DEFAULT '',
  previous_serial    text NOT NULL DEFAULT '', -- good until the renewed certificate has been seen
  certificate_until  timestamptz,
  joined_at          timestamptz,
  agent_version      text NOT NULL DEFAULT '',
  agent_checksum     text NOT NULL DEFAULT '',
  heartbeat_at       timestamptz,
  heartbeat          jsonb NOT NULL DEFAULT '{}' -- the last one, whole
);

-- Heartbeat figures kept for charts; pruned by the retention loop.
CREATE TABLE instance.samples (
  instance_id uuid NOT NULL REFERENCES instance.instances ON DELETE RESTRICT,
  at          timestamptz NOT NULL,
  running     integer,
  waiting     integer,
  kv_cache    real,   -- share in use, 0 to 1
  gpu         real,   -- mean utilisation, 0 to 1
  gpu_memory  real,   -- share in use
  cpu         real,
  memory      real,
  disk        real,
  net_rx      bigint, -- bytes per second
  net_tx      bigint,
  tokens      bigint, -- tokens generated since the engine started
  PRIMARY KEY (instance_id, at)
);

-- Work that one replica at a time does: claimed when due, given up with its lease.
CREATE TABLE instance.passes (
  name        text PRIMARY KEY,
  due_at      timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz NOT NULL DEFAULT 'epoch'
);

-- +goose Down
DROP SCHEMA instance CASCADE;
