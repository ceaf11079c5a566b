-- +goose Up
CREATE SCHEMA auth;

-- The keys of the ring that secrets in this database may be sealed with. An id
-- is the key's own fingerprint.
CREATE TABLE auth.master_keys (
  id         text PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE auth.organisations (
  id         uuid PRIMARY KEY,
  name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
  slug       text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$'),
  demo       boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE auth.users (
  id             uuid PRIMARY KEY,
  email          text NOT NULL CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
  name           text NOT NULL DEFAULT '',
  password_hash  text, -- argon2id PHC string; null until set up
  platform_admin boolean NOT NULL DEFAULT false,
  created_at     timestamptz NOT NULL DEFAULT now(),
  disabled_at    timestamptz,
  CONSTRAINT users_email_key UNIQUE (email)
);

CREATE TABLE auth.memberships (
  organisation_id uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  user_id         uuid NOT NULL REFERENCES auth.users ON DELETE RESTRICT,
  role            text NOT NULL CHECK (role IN ('owner', 'admin', 'manager', 'user', 'auditor')),
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organisation_id, user_id)
);
CREATE INDEX memberships_user_idx ON auth.memberships (user_id);

CREATE TABLE auth.sessions (
  id              uuid PRIMARY KEY,
  token_hash      bytea NOT NULL UNIQUE, -- SHA-256 of the cookie's token
  user_id         uuid NOT NULL REFERENCES auth.users ON DELETE RESTRICT,
  organisation_id uuid REFERENCES auth.organisations ON DELETE RESTRICT, -- the current one of this session
  ip              text NOT NULL DEFAULT '',
  user_agent      text NOT NULL DEFAULT '',
  created_at      timestamptz NOT NULL DEFAULT now(),
  last_seen_at    timestamptz NOT NULL DEFAULT now(),
  expires_at      timestamptz NOT NULL,
  revoked_at      timestamptz
);
CREATE INDEX sessions_user_idx ON auth.sessions (user_id) WHERE revoked_at IS NULL;

-- One-time links. A set-up or reset link lets its user choose a password; an
-- invitation makes whoever owns the e-mail address a member.
CREATE TABLE auth.tickets (
  id              uuid PRIMARY KEY,
  purpose         text NOT NULL CHECK (purpose IN ('setup', 'invite', 'reset')),
  token_hash      bytea NOT NULL UNIQUE,
  user_id         uuid REFERENCES auth.users ON DELETE RESTRICT,
  organisation_id uuid REFERENCES auth.organisations ON DELETE RESTRICT,
  email           text CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
  role            text CHECK (role IN ('owner', 'admin', 'manager', 'user', 'auditor')),
  invited_by      uuid REFERENCES auth.users ON DELETE RESTRICT, -- must still be allowed to grant the role when it is taken up
  created_at      timestamptz NOT NULL DEFAULT now(),
  expires_at      timestamptz NOT NULL,
  used_at         timestamptz,
  CONSTRAINT tickets_shape_check CHECK (
    CASE WHEN purpose = 'invite'
         THEN user_id IS NULL AND organisation_id IS NOT NULL AND email IS NOT NULL AND role IS NOT NULL
         ELSE user_id IS NOT NULL AND organisation_id IS NULL AND email IS NULL AND role IS NULL END)
);
CREATE UNIQUE INDEX tickets_invite_key ON auth.tickets (organisation_id, email) WHERE purpose = 'invite' AND used_at IS NULL;
CREATE INDEX tickets_user_idx ON auth.tickets (user_id) WHERE used_at IS NULL;

-- Failed sign-ins per account and per address, shared by all replicas.
CREATE TABLE auth.throttles (
  key           text PRIMARY KEY,
  failures      integer NOT NULL DEFAULT 0,
  last_at       timestamptz NOT NULL DEFAULT now(),
  blocked_until timestamptz NOT NULL DEFAULT 'epoch'
);

-- One row: how often what a key may do has changed. The changing transaction
-- holds the row until it commits, so versions become visible in their order: a
-- replica that has read up to n has missed nothing up to n. A sequence would
-- not promise that.
CREATE TABLE auth.api_key_changes (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  version bigint NOT NULL
);
INSERT INTO auth.api_key_changes (version) VALUES (0);

CREATE TABLE auth.api_keys (
  id              uuid PRIMARY KEY,
  public_id       text NOT NULL UNIQUE CHECK (public_id ~ '^[0-9A-Za-z]{10}$'),
  organisation_id uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  user_id         uuid REFERENCES auth.users ON DELETE RESTRICT, -- whose key it is; null for a machine
  name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
  scopes          text[] NOT NULL CHECK (scopes <@ ARRAY['inference', 'admin'] AND cardinality(scopes) > 0),
  secret_mac      bytea NOT NULL,   -- HMAC-SHA-256 of the secret, keyed by a pepper derived from the master key
  pepper_key      text NOT NULL REFERENCES auth.master_keys ON DELETE RESTRICT,
  created_at      timestamptz NOT NULL DEFAULT now(),
  expires_at      timestamptz,
  last_used_at    timestamptz,
  revoked_at      timestamptz,
  change          bigint NOT NULL -- auth.api_key_changes.version of its last change
);
CREATE INDEX api_keys_organisation_idx ON auth.api_keys (organisation_id, created_at DESC);
CREATE INDEX api_keys_user_idx ON auth.api_keys (user_id, organisation_id);
CREATE INDEX api_keys_change_idx ON auth.api_keys (change);

-- Answers kept 24 h so that a repeated POST with the same Idempotency-Key gets the first one again.
CREATE TABLE auth.idempotency (
  organisation_id uuid NOT NULL REFERENCES auth.organisations ON DELETE RESTRICT,
  key             text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  request_hash    bytea NOT NULL, -- SHA-256 over who asks, method, path and body
  status          integer,        -- null while the first request is in progress
  content_type    text NOT NULL DEFAULT '',
  body            bytea,          -- sealed: it may show a new key
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organisation_id, key)
);

CREATE TABLE auth.audit (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organisation_id uuid REFERENCES auth.organisations ON DELETE RESTRICT,
  actor           text NOT NULL, -- user:<id>, key:<id>, system
  actor_name      text NOT NULL,
  action          text NOT NULL, -- noun.verb, such as key.revoke
  object          text NOT NULL,
  detail          jsonb NOT NULL DEFAULT '{}',
  ip              text NOT NULL DEFAULT '',
  request_id      text NOT NULL DEFAULT '',
  at              timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_organisation_idx ON auth.audit (organisation_id, id DESC);

-- +goose Down
DROP SCHEMA auth CASCADE;
