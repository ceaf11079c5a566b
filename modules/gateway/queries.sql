-- name: InsertEndpoint :exec
INSERT INTO gateway.endpoints (id, organisation_id, name, model, base_url, key_sealed, private, created_by)
VALUES (@id, @organisation_id, @name, @model, @base_url, @key_sealed, @private, @created_by);

-- name: Endpoints :many
SELECT id, name, model, base_url, (key_sealed IS NOT NULL)::boolean AS keyed, state, message, checked_at, created_at
  FROM gateway.endpoints WHERE organisation_id = @organisation_id ORDER BY name;

-- name: DeleteEndpoint :one
DELETE FROM gateway.endpoints WHERE organisation_id = @organisation_id AND (id::text = @ref::text OR name = @ref::text) RETURNING id, name;

-- name: AllEndpoints :many
-- AllEndpoints is what the gateway routes to, over all organisations.
SELECT id, organisation_id, name, model, base_url, key_sealed, private, state, checked_at FROM gateway.endpoints ORDER BY id;

-- name: SetEndpointState :execrows
UPDATE gateway.endpoints SET state = @state, message = @message, checked_at = now()
 WHERE id = @id AND organisation_id = @organisation_id;

-- name: SetFallback :exec
INSERT INTO gateway.fallbacks (organisation_id, model, models, changed_by) VALUES (@organisation_id, @model, @models, @changed_by)
ON CONFLICT (organisation_id, model) DO UPDATE SET models = excluded.models, changed_by = excluded.changed_by, changed_at = now();

-- name: DeleteFallback :exec
DELETE FROM gateway.fallbacks WHERE organisation_id = @organisation_id AND model = @model;

-- name: Fallbacks :many
SELECT model, models FROM gateway.fallbacks WHERE organisation_id = @organisation_id;

-- name: AllFallbacks :many
-- AllFallbacks is what the gateway falls back to, over all organisations.
SELECT organisation_id, model, models FROM gateway.fallbacks ORDER BY organisation_id, model;

-- name: CommitDurably :exec
-- CommitDurably makes the commit of this transaction wait for the disk, whatever
-- the server's setting: the spool forgets what was committed.
SELECT set_config('synchronous_commit', 'on', true);

-- name: InsertUsage :execrows
-- InsertUsage stores a batch of final records; one that is there already stays.
-- Amounts come as nano-euros, which are cheap to send.
INSERT INTO gateway.usage_records (request_id, started_at, organisation_id, key_id, user_id, model, path, upstream, upstream_id, status,
  http_status, error, streamed, prompt_tokens, completion_tokens, cached_tokens, usage_source, price_id, input_price, output_price, cost,
  first_token_us, duration_us)
SELECT u.request_id, u.started_at, u.organisation_id, nullif(u.key_id, '00000000-0000-0000-0000-000000000000'),
       nullif(u.user_id, '00000000-0000-0000-0000-000000000000'), u.model, u.path, u.upstream, u.upstream_id, u.status,
       u.http_status, u.error, u.streamed, u.prompt_tokens, u.completion_tokens, u.cached_tokens, u.usage_source, nullif(u.price_id, 0),
       u.input_price * 0.000000001, u.output_price * 0.000000001, u.cost * 0.000000001, nullif(u.first_token_us, 0), u.duration_us
  FROM (SELECT unnest(@request_ids::uuid[]) AS request_id, unnest(@started_ats::timestamptz[]) AS started_at,
               unnest(@organisation_ids::uuid[]) AS organisation_id, unnest(@key_ids::uuid[]) AS key_id, unnest(@user_ids::uuid[]) AS user_id,
               unnest(@models::text[]) AS model, unnest(@paths::text[]) AS path, unnest(@upstreams::text[]) AS upstream,
               unnest(@upstream_ids::uuid[]) AS upstream_id, unnest(@statuses::text[]) AS status, unnest(@http_statuses::int[]) AS http_status,
               unnest(@errors::text[]) AS error, unnest(@streameds::boolean[]) AS streamed, unnest(@prompt_tokens::bigint[]) AS prompt_tokens,
               unnest(@completion_tokens::bigint[]) AS completion_tokens, unnest(@cached_tokens::bigint[]) AS cached_tokens,
               unnest(@usage_sources::text[]) AS usage_source, unnest(@price_ids::bigint[]) AS price_id,
               unnest(@input_prices::bigint[]) AS input_price, unnest(@output_prices::bigint[]) AS output_price, unnest(@costs::bigint[]) AS cost,
               unnest(@first_token_us::bigint[]) AS first_token_us, unnest(@duration_us::bigint[]) AS duration_us) u
ON CONFLICT (request_id, started_at) DO NOTHING;

-- name: UsageSummary :one
SELECT count(*) AS requests, count(*) FILTER (WHERE status = 'interrupted') AS interrupted,
       coalesce(sum(prompt_tokens), 0)::bigint AS prompt_tokens, coalesce(sum(completion_tokens), 0)::bigint AS completion_tokens,
       coalesce(sum(cost), 0)::numeric AS cost
  FROM gateway.usage_records
 WHERE organisation_id = @organisation_id AND started_at >= @since AND started_at < @until
   AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id')::uuid);

-- name: UsageByDay :many
SELECT date_trunc('day', started_at AT TIME ZONE 'UTC')::timestamp::date::text AS day, model, count(*) AS requests,
       coalesce(sum(prompt_tokens), 0)::bigint AS prompt_tokens, coalesce(sum(completion_tokens), 0)::bigint AS completion_tokens,
       coalesce(sum(cost), 0)::numeric AS cost
  FROM gateway.usage_records
 WHERE organisation_id = @organisation_id AND started_at >= @since AND started_at < @until
   AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id')::uuid)
 GROUP BY 1, 2 ORDER BY 1, 2;

-- name: UsageByKey :many
SELECT key_id, user_id, count(*) AS requests, coalesce(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
       coalesce(sum(completion_tokens), 0)::bigint AS completion_tokens, coalesce(sum(cost), 0)::numeric AS cost
  FROM gateway.usage_records
 WHERE organisation_id = @organisation_id AND started_at >= @since AND started_at < @until
   AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id')::uuid)
 GROUP BY 1, 2 ORDER BY cost DESC, requests DESC;

-- name: UsageByUpstream :many
SELECT upstream, upstream_id, count(*) AS requests, coalesce(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
       coalesce(sum(completion_tokens), 0)::bigint AS completion_tokens, coalesce(sum(cost), 0)::numeric AS cost
  FROM gateway.usage_records
 WHERE organisation_id = @organisation_id AND started_at >= @since AND started_at < @until
   AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id')::uuid)
 GROUP BY 1, 2 ORDER BY requests DESC;

-- name: UsageRecords :many
-- UsageRecords is a page of records, the newest first, before a position.
SELECT request_id, started_at, key_id, user_id, model, path, upstream, upstream_id, status, http_status, error, streamed, prompt_tokens,
       completion_tokens, cached_tokens, usage_source, price_id, input_price, output_price, cost, first_token_us, duration_us
  FROM gateway.usage_records
 WHERE organisation_id = @organisation_id AND started_at >= @since AND started_at < @until
   AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id')::uuid)
   AND (sqlc.narg('key_id')::uuid IS NULL OR key_id = sqlc.narg('key_id')::uuid)
   AND (@model::text = '' OR model = @model::text) AND (@status::text = '' OR status = @status::text)
   AND (started_at, request_id) < (@before_at::timestamptz, @before_id::uuid)
 ORDER BY started_at DESC, request_id DESC LIMIT @page_size;

-- name: RequestsSince :one
SELECT count(*) FROM gateway.usage_records WHERE organisation_id = @organisation_id AND started_at >= @since;

-- name: MakePartition :exec
-- MakePartition makes the partition of the month that starts a number of months from now.
SELECT gateway.make_partition((date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => @ahead::int))::date);
