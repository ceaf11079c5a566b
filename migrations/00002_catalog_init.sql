-- +goose Up
CREATE SCHEMA catalog;

CREATE TABLE catalog.models (
  id               uuid PRIMARY KEY,
  organisation_id  uuid REFERENCES auth.organisations ON DELETE RESTRICT, -- null: the platform's, seen by all
  name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 200), -- the `model` of a request: Hugging Face repository id
  title            text NOT NULL,
  kind             text NOT NULL DEFAULT 'chat' CHECK (kind IN ('chat', 'embedding')),
  required_vram_gb integer NOT NULL CHECK (required_vram_gb >= 0),
  context_length   integer NOT NULL CHECK (context_length >= 0),
  volume_gb        integer NOT NULL CHECK (volume_gb >= 0),
  simulated        boolean NOT NULL DEFAULT false, -- served by the simulator on the mock provider only
  engine           jsonb NOT NULL DEFAULT '{}',    -- default engine settings
  active           boolean NOT NULL DEFAULT true,
  shipped          boolean NOT NULL DEFAULT false, -- from the catalogue in the binary; reloaded at start
  created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX models_platform_name_key ON catalog.models (name) WHERE organisation_id IS NULL;
CREATE UNIQUE INDEX models_organisation_name_key ON catalog.models (organisation_id, name) WHERE organisation_id IS NOT NULL;

-- What a million tokens cost, in versions that are never edited. The newest
-- version of an organisation beats the platform's.
CREATE TABLE catalog.prices (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model_id        uuid NOT NULL REFERENCES catalog.models ON DELETE RESTRICT,
  organisation_id uuid REFERENCES auth.organisations ON DELETE RESTRICT,
  input           numeric(20, 9) NOT NULL CHECK (input >= 0),  -- EUR per million prompt tokens
  output          numeric(20, 9) NOT NULL CHECK (output >= 0), -- EUR per million completion tokens
  created_by      text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX prices_model_idx ON catalog.prices (model_id, id DESC);

CREATE TABLE catalog.providers (
  code  text PRIMARY KEY CHECK (code ~ '^[a-z][a-z0-9-]*$'),
  title text NOT NULL
);

CREATE TABLE catalog.zones (
  provider text NOT NULL REFERENCES catalog.providers ON DELETE RESTRICT,
  code     text NOT NULL,
  title    text NOT NULL,
  region   text NOT NULL,
  PRIMARY KEY (provider, code)
);

CREATE TABLE catalog.types (
  provider       text NOT NULL REFERENCES catalog.providers ON DELETE RESTRICT,
  code           text NOT NULL,
  gpu            text NOT NULL, -- such as L40S; empty without one
  gpu_count      integer NOT NULL CHECK (gpu_count >= 0),
  gpu_vram_gb    integer NOT NULL CHECK (gpu_vram_gb >= 0), -- of one GPU
  cpu_count      integer NOT NULL,
  ram_gb         integer NOT NULL,
  bandwidth_mbps integer NOT NULL,
  PRIMARY KEY (provider, code)
);

CREATE TABLE catalog.offers (
  provider       text NOT NULL,
  zone           text NOT NULL,
  type           text NOT NULL,
  price_per_hour numeric(20, 9) NOT NULL CHECK (price_per_hour >= 0), -- EUR, taxes excluded
  stock          text NOT NULL DEFAULT 'unknown' CHECK (stock IN ('available', 'scarce', 'out', 'unknown')),
  active         boolean NOT NULL DEFAULT true,
  checked_at     timestamptz NOT NULL DEFAULT 'epoch',
  PRIMARY KEY (provider, zone, type),
  FOREIGN KEY (provider, zone) REFERENCES catalog.zones ON DELETE RESTRICT,
  FOREIGN KEY (provider, type) REFERENCES catalog.types ON DELETE RESTRICT
);

-- +goose Down
DROP SCHEMA catalog CASCADE;
