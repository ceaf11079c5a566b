-- What all migrations add up to. Generated, for people who want to read the
-- schema in one piece and for the diff of a change:
--
--   go test ./db -run TestSchema -update


CREATE SCHEMA auth;

CREATE SCHEMA catalog;

CREATE SCHEMA finops;

CREATE SCHEMA gateway;

CREATE SCHEMA instance;

CREATE FUNCTION gateway.make_partition(starts date) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE TABLE auth.api_key_changes (
    one boolean DEFAULT true NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT api_key_changes_one_check CHECK (one)
);

CREATE TABLE auth.api_keys (
    id uuid NOT NULL,
    public_id text NOT NULL,
    organisation_id uuid NOT NULL,
    user_id uuid,
    name text NOT NULL,
    scopes text[] NOT NULL,
    secret_mac bytea NOT NULL,
    pepper_key text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    change bigint NOT NULL,
    networks cidr[] DEFAULT '{}'::cidr[] NOT NULL,
    CONSTRAINT api_keys_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
    CONSTRAINT api_keys_networks_check CHECK ((cardinality(networks) <= 50)),
    CONSTRAINT api_keys_public_id_check CHECK ((public_id ~ '^[0-9A-Za-z]{10}$'::text)),
    CONSTRAINT api_keys_scopes_check CHECK (((scopes <@ ARRAY['inference'::text, 'admin'::text]) AND (cardinality(scopes) > 0)))
);

CREATE TABLE auth.audit (
    id bigint NOT NULL,
    organisation_id uuid,
    actor text NOT NULL,
    actor_name text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    ip text DEFAULT ''::text NOT NULL,
    request_id text DEFAULT ''::text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE auth.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME auth.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE auth.idempotency (
    organisation_id uuid NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer,
    content_type text DEFAULT ''::text NOT NULL,
    body bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT idempotency_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);

CREATE TABLE auth.master_keys (
    id text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE auth.memberships (
    organisation_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT memberships_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'manager'::text, 'user'::text, 'auditor'::text])))
);

CREATE TABLE auth.organisations (
    id uuid NOT NULL,
    name text NOT NULL,
    slug text NOT NULL,
    demo boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT organisations_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
    CONSTRAINT organisations_slug_check CHECK ((slug ~ '^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$'::text))
);

CREATE TABLE auth.sessions (
    id uuid NOT NULL,
    token_hash bytea NOT NULL,
    user_id uuid NOT NULL,
    organisation_id uuid,
    ip text DEFAULT ''::text NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone
);

CREATE TABLE auth.throttles (
    key text NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    last_at timestamp with time zone DEFAULT now() NOT NULL,
    blocked_until timestamp with time zone DEFAULT '1969-12-31 20:30:00-03:30'::timestamp with time zone NOT NULL
);

CREATE TABLE auth.tickets (
    id uuid NOT NULL,
    purpose text NOT NULL,
    token_hash bytea NOT NULL,
    user_id uuid,
    organisation_id uuid,
    email text,
    role text,
    invited_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT tickets_email_check CHECK (((email = lower(email)) AND ((length(email) >= 3) AND (length(email) <= 254)))),
    CONSTRAINT tickets_purpose_check CHECK ((purpose = ANY (ARRAY['setup'::text, 'invite'::text, 'reset'::text]))),
    CONSTRAINT tickets_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'manager'::text, 'user'::text, 'auditor'::text]))),
    CONSTRAINT tickets_shape_check CHECK (
CASE
    WHEN (purpose = 'invite'::text) THEN ((user_id IS NULL) AND (organisation_id IS NOT NULL) AND (email IS NOT NULL) AND (role IS NOT NULL))
    ELSE ((user_id IS NOT NULL) AND (organisation_id IS NULL) AND (email IS NULL) AND (role IS NULL))
END)
);

CREATE TABLE auth.users (
    id uuid NOT NULL,
    email text NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    password_hash text,
    platform_admin boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    disabled_at timestamp with time zone,
    CONSTRAINT users_email_check CHECK (((email = lower(email)) AND ((length(email) >= 3) AND (length(email) <= 254))))
);

CREATE TABLE catalog.models (
    id uuid NOT NULL,
    organisation_id uuid,
    name text NOT NULL,
    title text NOT NULL,
    kind text DEFAULT 'chat'::text NOT NULL,
    required_vram_gb integer NOT NULL,
    context_length integer NOT NULL,
    volume_gb integer NOT NULL,
    simulated boolean DEFAULT false NOT NULL,
    engine jsonb DEFAULT '{}'::jsonb NOT NULL,
    active boolean DEFAULT true NOT NULL,
    shipped boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT models_context_length_check CHECK ((context_length >= 0)),
    CONSTRAINT models_kind_check CHECK ((kind = ANY (ARRAY['chat'::text, 'embedding'::text]))),
    CONSTRAINT models_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT models_required_vram_gb_check CHECK ((required_vram_gb >= 0)),
    CONSTRAINT models_volume_gb_check CHECK ((volume_gb >= 0))
);

CREATE TABLE catalog.offers (
    provider text NOT NULL,
    zone text NOT NULL,
    type text NOT NULL,
    price_per_hour numeric(20,9) NOT NULL,
    stock text DEFAULT 'unknown'::text NOT NULL,
    active boolean DEFAULT true NOT NULL,
    checked_at timestamp with time zone DEFAULT '1969-12-31 20:30:00-03:30'::timestamp with time zone NOT NULL,
    CONSTRAINT offers_price_per_hour_check CHECK ((price_per_hour >= (0)::numeric)),
    CONSTRAINT offers_stock_check CHECK ((stock = ANY (ARRAY['available'::text, 'scarce'::text, 'out'::text, 'unknown'::text])))
);

CREATE TABLE catalog.prices (
    id bigint NOT NULL,
    model_id uuid NOT NULL,
    organisation_id uuid,
    input numeric(20,9) NOT NULL,
    output numeric(20,9) NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT prices_input_check CHECK ((input >= (0)::numeric)),
    CONSTRAINT prices_output_check CHECK ((output >= (0)::numeric))
);

ALTER TABLE catalog.prices ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME catalog.prices_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE catalog.providers (
    code text NOT NULL,
    title text NOT NULL,
    CONSTRAINT providers_code_check CHECK ((code ~ '^[a-z][a-z0-9-]*$'::text))
);

CREATE TABLE catalog.types (
    provider text NOT NULL,
    code text NOT NULL,
    gpu text NOT NULL,
    gpu_count integer NOT NULL,
    gpu_vram_gb integer NOT NULL,
    cpu_count integer NOT NULL,
    ram_gb integer NOT NULL,
    bandwidth_mbps integer NOT NULL,
    CONSTRAINT types_gpu_count_check CHECK ((gpu_count >= 0)),
    CONSTRAINT types_gpu_vram_gb_check CHECK ((gpu_vram_gb >= 0))
);

CREATE TABLE catalog.zones (
    provider text NOT NULL,
    code text NOT NULL,
    title text NOT NULL,
    region text NOT NULL
);

CREATE TABLE finops.charges (
    id uuid NOT NULL,
    organisation_id uuid NOT NULL,
    instance_id uuid NOT NULL,
    instance text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    zone text NOT NULL,
    kind text NOT NULL,
    description text NOT NULL,
    price_per_hour numeric(20,9) NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    version timestamp with time zone NOT NULL,
    CONSTRAINT charges_check CHECK ((ended_at >= started_at)),
    CONSTRAINT charges_kind_check CHECK ((kind = ANY (ARRAY['server'::text, 'volume'::text, 'address'::text])))
);

CREATE TABLE finops.cursor (
    one boolean DEFAULT true NOT NULL,
    read_until timestamp with time zone DEFAULT '1969-12-31 20:30:00-03:30'::timestamp with time zone NOT NULL,
    CONSTRAINT cursor_one_check CHECK (one)
);

CREATE TABLE gateway.aliases (
    organisation_id uuid NOT NULL,
    name text NOT NULL,
    model text NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT aliases_check CHECK ((name <> model)),
    CONSTRAINT aliases_name_check CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 200)))
);

CREATE TABLE gateway.endpoints (
    id uuid NOT NULL,
    organisation_id uuid NOT NULL,
    name text NOT NULL,
    model text NOT NULL,
    base_url text NOT NULL,
    key_sealed bytea,
    private boolean DEFAULT false NOT NULL,
    state text DEFAULT 'unknown'::text NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    checked_at timestamp with time zone,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT endpoints_name_check CHECK ((name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'::text)),
    CONSTRAINT endpoints_state_check CHECK ((state = ANY (ARRAY['unknown'::text, 'reachable'::text, 'unreachable'::text])))
);

CREATE TABLE gateway.fallbacks (
    organisation_id uuid NOT NULL,
    model text NOT NULL,
    models text[] NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT fallbacks_models_check CHECK (((cardinality(models) >= 1) AND (cardinality(models) <= 8)))
);

CREATE TABLE gateway.leases (
    organisation_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    what text NOT NULL,
    starts date NOT NULL,
    replica_id uuid NOT NULL,
    amount bigint NOT NULL,
    wanted bigint DEFAULT 0 NOT NULL,
    CONSTRAINT leases_amount_check CHECK ((amount >= 0)),
    CONSTRAINT leases_what_check CHECK ((what = ANY (ARRAY['requests'::text, 'tokens'::text, 'concurrency'::text, 'budget'::text])))
);

CREATE TABLE gateway.limit_changes (
    one boolean DEFAULT true NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT limit_changes_one_check CHECK (one)
);

CREATE TABLE gateway.limits (
    organisation_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    level text NOT NULL,
    requests_per_minute bigint,
    tokens_per_minute bigint,
    concurrency bigint,
    max_tokens bigint,
    models text[],
    budget numeric(20,9),
    period text,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT limits_budget_check CHECK ((budget > (0)::numeric)),
    CONSTRAINT limits_budget_period_check CHECK (((budget IS NULL) = (period IS NULL))),
    CONSTRAINT limits_concurrency_check CHECK (((concurrency >= 1) AND (concurrency <= 1000000))),
    CONSTRAINT limits_level_check CHECK ((level = ANY (ARRAY['key'::text, 'member'::text, 'organisation'::text]))),
    CONSTRAINT limits_max_tokens_check CHECK (((max_tokens >= 1) AND (max_tokens <= 10000000))),
    CONSTRAINT limits_models_check CHECK ((cardinality(models) > 0)),
    CONSTRAINT limits_own_organisation_check CHECK (((level = 'organisation'::text) = (subject_id = organisation_id))),
    CONSTRAINT limits_period_check CHECK ((period = ANY (ARRAY['day'::text, 'month'::text]))),
    CONSTRAINT limits_requests_per_minute_check CHECK (((requests_per_minute >= 1) AND (requests_per_minute <= 1000000000))),
    CONSTRAINT limits_tokens_per_minute_check CHECK (((tokens_per_minute >= 1) AND (tokens_per_minute <= '1000000000000'::bigint)))
);

CREATE TABLE gateway.replicas (
    id uuid NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE gateway.spending (
    organisation_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    day date NOT NULL,
    cost numeric(20,9) NOT NULL
);

CREATE TABLE gateway.usage_records (
    request_id uuid NOT NULL,
    started_at timestamp with time zone NOT NULL,
    organisation_id uuid NOT NULL,
    key_id uuid,
    user_id uuid,
    model text NOT NULL,
    path text NOT NULL,
    upstream text NOT NULL,
    upstream_id uuid NOT NULL,
    status text NOT NULL,
    http_status integer NOT NULL,
    error text DEFAULT ''::text NOT NULL,
    streamed boolean NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cached_tokens bigint DEFAULT 0 NOT NULL,
    usage_source text NOT NULL,
    price_id bigint,
    input_price numeric(20,9) NOT NULL,
    output_price numeric(20,9) NOT NULL,
    cost numeric(20,9) NOT NULL,
    first_token_us bigint,
    duration_us bigint NOT NULL,
    stored_at timestamp with time zone DEFAULT now() NOT NULL,
    asked text DEFAULT ''::text NOT NULL,
    retried boolean DEFAULT false NOT NULL,
    CONSTRAINT usage_records_cached_tokens_check CHECK ((cached_tokens >= 0)),
    CONSTRAINT usage_records_completion_tokens_check CHECK ((completion_tokens >= 0)),
    CONSTRAINT usage_records_prompt_tokens_check CHECK ((prompt_tokens >= 0)),
    CONSTRAINT usage_records_status_check CHECK ((status = ANY (ARRAY['completed'::text, 'interrupted'::text]))),
    CONSTRAINT usage_records_usage_source_check CHECK ((usage_source = ANY (ARRAY['engine'::text, 'counted'::text, 'none'::text])))
)
PARTITION BY RANGE (started_at);

CREATE TABLE gateway.usage_records_default (
    request_id uuid NOT NULL,
    started_at timestamp with time zone NOT NULL,
    organisation_id uuid NOT NULL,
    key_id uuid,
    user_id uuid,
    model text NOT NULL,
    path text NOT NULL,
    upstream text NOT NULL,
    upstream_id uuid NOT NULL,
    status text NOT NULL,
    http_status integer NOT NULL,
    error text DEFAULT ''::text NOT NULL,
    streamed boolean NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cached_tokens bigint DEFAULT 0 NOT NULL,
    usage_source text NOT NULL,
    price_id bigint,
    input_price numeric(20,9) NOT NULL,
    output_price numeric(20,9) NOT NULL,
    cost numeric(20,9) NOT NULL,
    first_token_us bigint,
    duration_us bigint NOT NULL,
    stored_at timestamp with time zone DEFAULT now() NOT NULL,
    asked text DEFAULT ''::text NOT NULL,
    retried boolean DEFAULT false NOT NULL,
    CONSTRAINT usage_records_cached_tokens_check CHECK ((cached_tokens >= 0)),
    CONSTRAINT usage_records_completion_tokens_check CHECK ((completion_tokens >= 0)),
    CONSTRAINT usage_records_prompt_tokens_check CHECK ((prompt_tokens >= 0)),
    CONSTRAINT usage_records_status_check CHECK ((status = ANY (ARRAY['completed'::text, 'interrupted'::text]))),
    CONSTRAINT usage_records_usage_source_check CHECK ((usage_source = ANY (ARRAY['engine'::text, 'counted'::text, 'none'::text])))
);

CREATE TABLE instance.authorities (
    id uuid NOT NULL,
    certificate bytea NOT NULL,
    key_sealed bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE instance.deployments (
    id uuid NOT NULL,
    organisation_id uuid NOT NULL,
    name text NOT NULL,
    model_id uuid NOT NULL,
    model text NOT NULL,
    kind text NOT NULL,
    volume_gb integer NOT NULL,
    offers text[] NOT NULL,
    min_replicas integer NOT NULL,
    max_replicas integer NOT NULL,
    engine jsonb NOT NULL,
    engine_env bytea,
    stopped boolean DEFAULT false NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    reason text DEFAULT ''::text NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    retry_from timestamp with time zone DEFAULT now() NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    idle_minutes integer DEFAULT 15 NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL,
    woken_at timestamp with time zone,
    CONSTRAINT deployments_check CHECK ((min_replicas <= max_replicas)),
    CONSTRAINT deployments_idle_minutes_check CHECK (((idle_minutes >= 0) AND (idle_minutes <= 43200))),
    CONSTRAINT deployments_kind_check CHECK ((kind = ANY (ARRAY['chat'::text, 'embedding'::text]))),
    CONSTRAINT deployments_max_replicas_check CHECK (((max_replicas >= 1) AND (max_replicas <= 100))),
    CONSTRAINT deployments_min_replicas_check CHECK (((min_replicas >= 0) AND (min_replicas <= 100))),
    CONSTRAINT deployments_name_check CHECK ((name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'::text)),
    CONSTRAINT deployments_offers_check CHECK ((cardinality(offers) > 0)),
    CONSTRAINT deployments_volume_gb_check CHECK ((volume_gb >= 0))
);

CREATE TABLE instance.instances (
    id uuid NOT NULL,
    organisation_id uuid NOT NULL,
    deployment_id uuid NOT NULL,
    name text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    zone text NOT NULL,
    type text NOT NULL,
    price_per_hour numeric(20,9) NOT NULL,
    volume_gb integer NOT NULL,
    state text NOT NULL,
    desired text DEFAULT 'ready'::text NOT NULL,
    desired_reason text DEFAULT ''::text NOT NULL,
    desired_message text DEFAULT ''::text NOT NULL,
    reinstall boolean DEFAULT false NOT NULL,
    connectivity text DEFAULT 'lost'::text NOT NULL,
    eligibility text DEFAULT 'eligible'::text NOT NULL,
    step text DEFAULT ''::text NOT NULL,
    progress integer DEFAULT 0 NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    state_since timestamp with time zone DEFAULT now() NOT NULL,
    deadline_at timestamp with time zone,
    provider_server_id text DEFAULT ''::text NOT NULL,
    address text DEFAULT ''::text NOT NULL,
    flag text DEFAULT ''::text NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    ready_at timestamp with time zone,
    terminated_at timestamp with time zone,
    archived_at timestamp with time zone,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    lease_until timestamp with time zone DEFAULT '1969-12-31 20:30:00-03:30'::timestamp with time zone NOT NULL,
    lease_epoch bigint DEFAULT 0 NOT NULL,
    CONSTRAINT instances_connectivity_check CHECK ((connectivity = ANY (ARRAY['online'::text, 'suspect'::text, 'lost'::text]))),
    CONSTRAINT instances_desired_check CHECK ((desired = ANY (ARRAY['ready'::text, 'replaced'::text, 'drained'::text, 'terminated'::text]))),
    CONSTRAINT instances_eligibility_check CHECK ((eligibility = ANY (ARRAY['eligible'::text, 'cordoned'::text]))),
    CONSTRAINT instances_progress_check CHECK (((progress >= 0) AND (progress <= 100))),
    CONSTRAINT instances_state_check CHECK ((state = ANY (ARRAY['provisioning'::text, 'booting'::text, 'installing'::text, 'starting'::text, 'ready'::text, 'draining'::text, 'terminating'::text, 'terminated'::text, 'archived'::text, 'provisioning_failed'::text, 'startup_failed'::text, 'failed'::text])))
);

CREATE TABLE instance.nodes (
    instance_id uuid NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    join_token_hash bytea,
    join_expires_at timestamp with time zone,
    join_key bytea,
    join_used_at timestamp with time zone,
    certificate_serial text DEFAULT ''::text NOT NULL,
    previous_serial text DEFAULT ''::text NOT NULL,
    certificate_until timestamp with time zone,
    joined_at timestamp with time zone,
    agent_version text DEFAULT ''::text NOT NULL,
    agent_checksum text DEFAULT ''::text NOT NULL,
    heartbeat_at timestamp with time zone,
    heartbeat jsonb DEFAULT '{}'::jsonb NOT NULL,
    linked_at timestamp with time zone
);

CREATE TABLE instance.operations (
    id uuid NOT NULL,
    instance_id uuid NOT NULL,
    kind text NOT NULL,
    target text DEFAULT ''::text NOT NULL,
    status text NOT NULL,
    error text DEFAULT ''::text NOT NULL,
    epoch bigint NOT NULL,
    planned_at timestamp with time zone DEFAULT now() NOT NULL,
    sent_at timestamp with time zone,
    settled_at timestamp with time zone,
    CONSTRAINT operations_kind_check CHECK ((kind = ANY (ARRAY['create_server'::text, 'power_on'::text, 'install'::text, 'delete_server'::text, 'delete_resource'::text]))),
    CONSTRAINT operations_status_check CHECK ((status = ANY (ARRAY['planned'::text, 'sent'::text, 'confirmed'::text, 'absent'::text, 'ambiguous'::text])))
);

CREATE TABLE instance.passes (
    name text NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    lease_until timestamp with time zone DEFAULT '1969-12-31 20:30:00-03:30'::timestamp with time zone NOT NULL
);

CREATE TABLE instance.resources (
    id uuid NOT NULL,
    instance_id uuid NOT NULL,
    organisation_id uuid NOT NULL,
    kind text NOT NULL,
    provider text NOT NULL,
    zone text NOT NULL,
    provider_id text NOT NULL,
    description text NOT NULL,
    price_per_hour numeric(20,9) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    gone_at timestamp with time zone,
    orphan boolean DEFAULT false NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT resources_kind_check CHECK ((kind = ANY (ARRAY['server'::text, 'volume'::text, 'address'::text])))
);

CREATE TABLE instance.samples (
    instance_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    running integer,
    waiting integer,
    kv_cache real,
    gpu real,
    gpu_memory real,
    cpu real,
    memory real,
    disk real,
    net_rx bigint,
    net_tx bigint,
    tokens bigint
);

CREATE TABLE instance.steps (
    instance_id uuid NOT NULL,
    generation integer NOT NULL,
    step text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    failed boolean DEFAULT false NOT NULL,
    detail text DEFAULT ''::text NOT NULL
);

CREATE TABLE instance.transitions (
    instance_id uuid NOT NULL,
    seq integer NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY gateway.usage_records ATTACH PARTITION gateway.usage_records_default DEFAULT;

ALTER TABLE ONLY auth.api_key_changes
    ADD CONSTRAINT api_key_changes_pkey PRIMARY KEY (one);

ALTER TABLE ONLY auth.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY auth.api_keys
    ADD CONSTRAINT api_keys_public_id_key UNIQUE (public_id);

ALTER TABLE ONLY auth.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY auth.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (organisation_id, key);

ALTER TABLE ONLY auth.master_keys
    ADD CONSTRAINT master_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY auth.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (organisation_id, user_id);

ALTER TABLE ONLY auth.organisations
    ADD CONSTRAINT organisations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY auth.organisations
    ADD CONSTRAINT organisations_slug_key UNIQUE (slug);

ALTER TABLE ONLY auth.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY auth.sessions
    ADD CONSTRAINT sessions_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY auth.throttles
    ADD CONSTRAINT throttles_pkey PRIMARY KEY (key);

ALTER TABLE ONLY auth.tickets
    ADD CONSTRAINT tickets_pkey PRIMARY KEY (id);

ALTER TABLE ONLY auth.tickets
    ADD CONSTRAINT tickets_token_hash_key UNIQUE (token_hash);

ALTER TABLE ONLY auth.users
    ADD CONSTRAINT users_email_key UNIQUE (email);

ALTER TABLE ONLY auth.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY catalog.models
    ADD CONSTRAINT models_pkey PRIMARY KEY (id);

ALTER TABLE ONLY catalog.offers
    ADD CONSTRAINT offers_pkey PRIMARY KEY (provider, zone, type);

ALTER TABLE ONLY catalog.prices
    ADD CONSTRAINT prices_pkey PRIMARY KEY (id);

ALTER TABLE ONLY catalog.providers
    ADD CONSTRAINT providers_pkey PRIMARY KEY (code);

ALTER TABLE ONLY catalog.types
    ADD CONSTRAINT types_pkey PRIMARY KEY (provider, code);

ALTER TABLE ONLY catalog.zones
    ADD CONSTRAINT zones_pkey PRIMARY KEY (provider, code);

ALTER TABLE ONLY finops.charges
    ADD CONSTRAINT charges_pkey PRIMARY KEY (id);

ALTER TABLE ONLY finops.cursor
    ADD CONSTRAINT cursor_pkey PRIMARY KEY (one);

ALTER TABLE ONLY gateway.aliases
    ADD CONSTRAINT aliases_pkey PRIMARY KEY (organisation_id, name);

ALTER TABLE ONLY gateway.endpoints
    ADD CONSTRAINT endpoints_organisation_id_name_key UNIQUE (organisation_id, name);

ALTER TABLE ONLY gateway.endpoints
    ADD CONSTRAINT endpoints_pkey PRIMARY KEY (id);

ALTER TABLE ONLY gateway.fallbacks
    ADD CONSTRAINT fallbacks_pkey PRIMARY KEY (organisation_id, model);

ALTER TABLE ONLY gateway.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (organisation_id, subject_id, what, starts, replica_id);

ALTER TABLE ONLY gateway.limit_changes
    ADD CONSTRAINT limit_changes_pkey PRIMARY KEY (one);

ALTER TABLE ONLY gateway.limits
    ADD CONSTRAINT limits_pkey PRIMARY KEY (organisation_id, subject_id);

ALTER TABLE ONLY gateway.replicas
    ADD CONSTRAINT replicas_pkey PRIMARY KEY (id);

ALTER TABLE ONLY gateway.spending
    ADD CONSTRAINT spending_pkey PRIMARY KEY (organisation_id, subject_id, day);

ALTER TABLE ONLY gateway.usage_records
    ADD CONSTRAINT usage_records_pkey PRIMARY KEY (request_id, started_at);

ALTER TABLE ONLY gateway.usage_records_default
    ADD CONSTRAINT usage_records_default_pkey PRIMARY KEY (request_id, started_at);

ALTER TABLE ONLY instance.authorities
    ADD CONSTRAINT authorities_pkey PRIMARY KEY (id);

ALTER TABLE ONLY instance.deployments
    ADD CONSTRAINT deployments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY instance.instances
    ADD CONSTRAINT instances_name_key UNIQUE (name);

ALTER TABLE ONLY instance.instances
    ADD CONSTRAINT instances_pkey PRIMARY KEY (id);

ALTER TABLE ONLY instance.nodes
    ADD CONSTRAINT nodes_pkey PRIMARY KEY (instance_id);

ALTER TABLE ONLY instance.operations
    ADD CONSTRAINT operations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY instance.passes
    ADD CONSTRAINT passes_pkey PRIMARY KEY (name);

ALTER TABLE ONLY instance.resources
    ADD CONSTRAINT resources_pkey PRIMARY KEY (id);

ALTER TABLE ONLY instance.resources
    ADD CONSTRAINT resources_provider_zone_provider_id_key UNIQUE (provider, zone, provider_id);

ALTER TABLE ONLY instance.samples
    ADD CONSTRAINT samples_pkey PRIMARY KEY (instance_id, at);

ALTER TABLE ONLY instance.steps
    ADD CONSTRAINT steps_pkey PRIMARY KEY (instance_id, generation, step);

ALTER TABLE ONLY instance.transitions
    ADD CONSTRAINT transitions_pkey PRIMARY KEY (instance_id, seq);

CREATE INDEX api_keys_change_idx ON auth.api_keys USING btree (change);

CREATE INDEX api_keys_organisation_idx ON auth.api_keys USING btree (organisation_id, created_at DESC);

CREATE INDEX api_keys_user_idx ON auth.api_keys USING btree (user_id, organisation_id);

CREATE INDEX audit_organisation_idx ON auth.audit USING btree (organisation_id, id DESC);

CREATE INDEX memberships_user_idx ON auth.memberships USING btree (user_id);

CREATE INDEX sessions_user_idx ON auth.sessions USING btree (user_id) WHERE (revoked_at IS NULL);

CREATE UNIQUE INDEX tickets_invite_key ON auth.tickets USING btree (organisation_id, email) WHERE ((purpose = 'invite'::text) AND (used_at IS NULL));

CREATE INDEX tickets_user_idx ON auth.tickets USING btree (user_id) WHERE (used_at IS NULL);

CREATE UNIQUE INDEX models_organisation_name_key ON catalog.models USING btree (organisation_id, name) WHERE (organisation_id IS NOT NULL);

CREATE UNIQUE INDEX models_platform_name_key ON catalog.models USING btree (name) WHERE (organisation_id IS NULL);

CREATE INDEX prices_model_idx ON catalog.prices USING btree (model_id, id DESC);

CREATE INDEX charges_instance_idx ON finops.charges USING btree (instance_id);

CREATE INDEX charges_open_idx ON finops.charges USING btree (organisation_id) WHERE (ended_at IS NULL);

CREATE INDEX charges_organisation_idx ON finops.charges USING btree (organisation_id, started_at);

CREATE INDEX leases_replica_idx ON gateway.leases USING btree (replica_id);

CREATE INDEX usage_records_organisation_idx ON ONLY gateway.usage_records USING btree (organisation_id, started_at DESC);

CREATE INDEX usage_records_default_organisation_id_started_at_idx ON gateway.usage_records_default USING btree (organisation_id, started_at DESC);

CREATE INDEX usage_records_failed_idx ON ONLY gateway.usage_records USING btree (organisation_id, started_at DESC) WHERE (status <> 'completed'::text);

CREATE INDEX usage_records_default_organisation_id_started_at_idx1 ON gateway.usage_records_default USING btree (organisation_id, started_at DESC) WHERE (status <> 'completed'::text);

CREATE INDEX deployments_due_idx ON instance.deployments USING btree (due_at) WHERE (deleted_at IS NULL);

CREATE UNIQUE INDEX deployments_name_key ON instance.deployments USING btree (organisation_id, name) WHERE (deleted_at IS NULL);

CREATE INDEX instances_deployment_idx ON instance.instances USING btree (deployment_id);

CREATE INDEX instances_due_idx ON instance.instances USING btree (due_at) WHERE (state <> ALL (ARRAY['terminated'::text, 'archived'::text]));

CREATE INDEX instances_organisation_idx ON instance.instances USING btree (organisation_id, created_at DESC);

CREATE INDEX operations_instance_idx ON instance.operations USING btree (instance_id, planned_at);

CREATE UNIQUE INDEX operations_open_key ON instance.operations USING btree (instance_id, kind, target) WHERE (status = ANY (ARRAY['planned'::text, 'sent'::text, 'ambiguous'::text]));

CREATE INDEX resources_instance_idx ON instance.resources USING btree (instance_id);

CREATE INDEX resources_updated_idx ON instance.resources USING btree (updated_at);

ALTER INDEX gateway.usage_records_organisation_idx ATTACH PARTITION gateway.usage_records_default_organisation_id_started_at_idx;

ALTER INDEX gateway.usage_records_failed_idx ATTACH PARTITION gateway.usage_records_default_organisation_id_started_at_idx1;

ALTER INDEX gateway.usage_records_pkey ATTACH PARTITION gateway.usage_records_default_pkey;

ALTER TABLE ONLY auth.api_keys
    ADD CONSTRAINT api_keys_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.api_keys
    ADD CONSTRAINT api_keys_pepper_key_fkey FOREIGN KEY (pepper_key) REFERENCES auth.master_keys(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.api_keys
    ADD CONSTRAINT api_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.audit
    ADD CONSTRAINT audit_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.idempotency
    ADD CONSTRAINT idempotency_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.memberships
    ADD CONSTRAINT memberships_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.memberships
    ADD CONSTRAINT memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.sessions
    ADD CONSTRAINT sessions_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.tickets
    ADD CONSTRAINT tickets_invited_by_fkey FOREIGN KEY (invited_by) REFERENCES auth.users(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.tickets
    ADD CONSTRAINT tickets_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY auth.tickets
    ADD CONSTRAINT tickets_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE RESTRICT;

ALTER TABLE ONLY catalog.models
    ADD CONSTRAINT models_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY catalog.offers
    ADD CONSTRAINT offers_provider_type_fkey FOREIGN KEY (provider, type) REFERENCES catalog.types(provider, code) ON DELETE RESTRICT;

ALTER TABLE ONLY catalog.offers
    ADD CONSTRAINT offers_provider_zone_fkey FOREIGN KEY (provider, zone) REFERENCES catalog.zones(provider, code) ON DELETE RESTRICT;

ALTER TABLE ONLY catalog.prices
    ADD CONSTRAINT prices_model_id_fkey FOREIGN KEY (model_id) REFERENCES catalog.models(id) ON DELETE RESTRICT;

ALTER TABLE ONLY catalog.prices
    ADD CONSTRAINT prices_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY catalog.types
    ADD CONSTRAINT types_provider_fkey FOREIGN KEY (provider) REFERENCES catalog.providers(code) ON DELETE RESTRICT;

ALTER TABLE ONLY catalog.zones
    ADD CONSTRAINT zones_provider_fkey FOREIGN KEY (provider) REFERENCES catalog.providers(code) ON DELETE RESTRICT;

ALTER TABLE ONLY finops.charges
    ADD CONSTRAINT charges_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY gateway.aliases
    ADD CONSTRAINT aliases_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY gateway.endpoints
    ADD CONSTRAINT endpoints_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY gateway.fallbacks
    ADD CONSTRAINT fallbacks_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY gateway.leases
    ADD CONSTRAINT leases_replica_id_fkey FOREIGN KEY (replica_id) REFERENCES gateway.replicas(id) ON DELETE CASCADE;

ALTER TABLE ONLY gateway.limits
    ADD CONSTRAINT limits_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.deployments
    ADD CONSTRAINT deployments_model_id_fkey FOREIGN KEY (model_id) REFERENCES catalog.models(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.deployments
    ADD CONSTRAINT deployments_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.instances
    ADD CONSTRAINT instances_deployment_id_fkey FOREIGN KEY (deployment_id) REFERENCES instance.deployments(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.instances
    ADD CONSTRAINT instances_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.nodes
    ADD CONSTRAINT nodes_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES instance.instances(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.operations
    ADD CONSTRAINT operations_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES instance.instances(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.resources
    ADD CONSTRAINT resources_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES instance.instances(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.resources
    ADD CONSTRAINT resources_organisation_id_fkey FOREIGN KEY (organisation_id) REFERENCES auth.organisations(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.samples
    ADD CONSTRAINT samples_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES instance.instances(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.steps
    ADD CONSTRAINT steps_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES instance.instances(id) ON DELETE RESTRICT;

ALTER TABLE ONLY instance.transitions
    ADD CONSTRAINT transitions_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES instance.instances(id) ON DELETE RESTRICT;

