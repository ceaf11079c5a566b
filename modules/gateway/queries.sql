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

-- name: InsertAlias :exec
INSERT INTO gateway.aliases (organisation_id, name, model, created_by) VALUES (@organisation_id, @name, @model, @created_by);

-- name: DeleteAlias :one
DELETE FROM gateway.aliases WHERE organisation_id = @organisation_id AND name = @name RETURNING model;

-- name: Aliases :many
SELECT name, model, created_by, created_at FROM gateway.aliases WHERE organisation_id = @organisation_id ORDER BY name;

-- name: AllAliases :many
-- AllAliases is what the gateway answers to besides the models' own names, over
-- all organisations.
SELECT organisation_id, name, model FROM gateway.aliases ORDER BY organisation_id, name;

-- name: CommitDurably :exec
-- CommitDurably makes the commit of this transaction wait for the disk, whatever
-- the server's setting: the spool forgets what was committed, a minute later.
SELECT set_config('synchronous_commit', 'on', true);

-- name: StoredRequests :many
-- StoredRequests says which of these requests, begun between two times, are there.
SELECT request_id FROM gateway.usage_records WHERE request_id = ANY(@request_ids::uuid[]) AND started_at BETWEEN @first AND @last;

-- name: AddSpending :exec
-- AddSpending adds to what was spent, by rows in one order, so that two replicas
-- cannot wait for each other. Amounts are nano-euros, days are counted from 1970.
INSERT INTO gateway.spending AS s (organisation_id, subject_id, day, cost)
SELECT unnest(@organisation_ids::uuid[]), unnest(@subject_ids::uuid[]), 'epoch'::date + unnest(@days::int[]), unnest(@costs::bigint[]) * 0.000000001
 ORDER BY 1, 2, 3
ON CONFLICT (organisation_id, subject_id, day) DO UPDATE SET cost = s.cost + excluded.cost;

-- name: HasUsage :one
-- HasUsage says whether a record that was stored is there.
SELECT EXISTS (SELECT 1 FROM gateway.usage_records
                WHERE organisation_id = @organisation_id AND request_id = @request_id AND started_at = @started_at);

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
-- UsageRecords is a page of records, the newest first, before a position. What
-- is null or empty does not narrow it.
SELECT request_id, started_at, key_id, user_id, model, asked, path, upstream, upstream_id, status, http_status, error, streamed, prompt_tokens,
       completion_tokens, cached_tokens, usage_source, price_id, input_price, output_price, cost, first_token_us, duration_us, retried
  FROM gateway.usage_records
 WHERE organisation_id = @organisation_id AND started_at >= @since AND started_at < @until
   AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id')::uuid)
   AND (sqlc.narg('key_id')::uuid IS NULL OR key_id = sqlc.narg('key_id')::uuid)
   AND (sqlc.narg('upstream_id')::uuid IS NULL OR upstream_id = sqlc.narg('upstream_id')::uuid)
   AND (@model::text = '' OR model = @model::text OR asked = @model::text) AND (@status::text = '' OR status = @status::text)
   AND (@path::text = '' OR path = @path::text) AND (@error::text = '' OR error = @error::text)
   AND (sqlc.narg('retried')::boolean IS NULL OR retried = sqlc.narg('retried')::boolean)
   AND duration_us >= @duration_us::bigint AND (@first_token_us::bigint = 0 OR first_token_us >= @first_token_us::bigint)
   AND (started_at, request_id) < (@before_at::timestamptz, @before_id::uuid)
 ORDER BY started_at DESC, request_id DESC LIMIT @page_size;

-- name: UsageRecord :one
SELECT request_id, started_at, key_id, user_id, model, asked, path, upstream, upstream_id, status, http_status, error, streamed, prompt_tokens,
       completion_tokens, cached_tokens, usage_source, price_id, input_price, output_price, cost, first_token_us, duration_us, retried
  FROM gateway.usage_records
 WHERE request_id = @request_id AND organisation_id = @organisation_id
   AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id')::uuid) LIMIT 1;

-- name: RequestsSince :one
SELECT count(*) FROM gateway.usage_records WHERE organisation_id = @organisation_id AND started_at >= @since;

-- name: MakePartition :exec
-- MakePartition makes the partition of the month that starts a number of months from now.
SELECT gateway.make_partition((date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => @ahead::int))::date);

-- name: BumpLimits :one
-- BumpLimits takes the next version of the limits; its row stays locked until
-- the transaction ends.
UPDATE gateway.limit_changes SET version = version + 1 RETURNING version;

-- name: PutLimits :exec
INSERT INTO gateway.limits AS l (organisation_id, subject_id, level, requests_per_minute, tokens_per_minute, concurrency, max_tokens,
  models, budget, period)
VALUES (@organisation_id, @subject_id, @level, nullif(@requests_per_minute::bigint, 0), nullif(@tokens_per_minute::bigint, 0),
        nullif(@concurrency::bigint, 0), nullif(@max_tokens::bigint, 0), nullif(@models::text[], '{}'), nullif(@budget::numeric, 0),
        nullif(@period::text, ''))
ON CONFLICT (organisation_id, subject_id) DO UPDATE SET
  requests_per_minute = excluded.requests_per_minute, tokens_per_minute = excluded.tokens_per_minute, concurrency = excluded.concurrency,
  max_tokens = excluded.max_tokens, models = excluded.models, budget = excluded.budget, period = excluded.period, changed_at = now();

-- name: DeleteLimits :exec
DELETE FROM gateway.limits WHERE organisation_id = @organisation_id AND subject_id = @subject_id;

-- name: LimitsOf :many
-- LimitsOf returns an organisation's limits, or one subject's, with what was
-- spent in the period of the budget and what replicas have leased of it.
SELECT l.subject_id, l.level, coalesce(l.requests_per_minute, 0)::bigint AS requests_per_minute,
       coalesce(l.tokens_per_minute, 0)::bigint AS tokens_per_minute, coalesce(l.concurrency, 0)::bigint AS concurrency,
       coalesce(l.max_tokens, 0)::bigint AS max_tokens, coalesce(l.models, '{}')::text[] AS models,
       coalesce(l.budget, 0)::numeric AS budget, coalesce(l.period, '')::text AS period,
       coalesce((SELECT sum(s.cost) FROM gateway.spending s
                  WHERE s.organisation_id = l.organisation_id AND s.subject_id = l.subject_id
                    AND s.day >= date_trunc(l.period, now() AT TIME ZONE 'UTC')::date), 0)::numeric AS spent,
       coalesce((SELECT sum(e.amount) FROM gateway.leases e
                  WHERE e.organisation_id = l.organisation_id AND e.subject_id = l.subject_id AND e.what = 'budget'
                    AND e.starts = date_trunc(l.period, now() AT TIME ZONE 'UTC')::date), 0)::bigint AS leased
  FROM gateway.limits l
 WHERE l.organisation_id = @organisation_id AND (sqlc.narg('subject_id')::uuid IS NULL OR l.subject_id = sqlc.narg('subject_id')::uuid)
 ORDER BY l.level DESC, l.subject_id;

-- name: AllLimits :many
-- AllLimits is what replicas hold requests to, over all organisations.
SELECT organisation_id, subject_id, level, coalesce(requests_per_minute, 0)::bigint AS requests_per_minute,
       coalesce(tokens_per_minute, 0)::bigint AS tokens_per_minute, coalesce(concurrency, 0)::bigint AS concurrency,
       coalesce(max_tokens, 0)::bigint AS max_tokens, coalesce(models, '{}')::text[] AS models, coalesce(budget, 0)::numeric AS budget,
       coalesce(period, '')::text AS period
  FROM gateway.limits;

-- name: SeeReplica :one
-- SeeReplica notes that a replica is there, and returns whether it was before,
-- how many others are, and the version of the limits. Replicas that have not
-- been seen for long are forgotten, and their leases with them.
WITH me AS (
  INSERT INTO gateway.replicas (id) VALUES (@id) ON CONFLICT (id) DO UPDATE SET seen_at = now() RETURNING (xmax <> 0) AS known
), gone AS (
  DELETE FROM gateway.replicas WHERE seen_at < now() - interval '6 minutes' AND id <> @id
)
SELECT me.known::boolean AS known, (SELECT version FROM gateway.limit_changes)::bigint AS version,
       (SELECT count(*) FROM gateway.replicas r WHERE r.id <> @id AND r.seen_at >= now() - interval '15 seconds') AS others
  FROM me;

-- name: ForgetReplica :exec
DELETE FROM gateway.replicas WHERE id = @id;

-- name: LockLimits :many
-- LockLimits makes replicas lease of the same limits one after the other.
SELECT organisation_id, subject_id FROM gateway.limits
 WHERE (organisation_id, subject_id) IN (SELECT unnest(@organisation_ids::uuid[]), unnest(@subject_ids::uuid[]))
 ORDER BY organisation_id, subject_id FOR NO KEY UPDATE;

-- name: Leased :many
-- Leased returns what other replicas have leased of limits, one row per limit
-- that was asked about, in the order of asking, and what was spent since the
-- period began. Rates are leased only by replicas that are there.
SELECT a.at::bigint AS at, coalesce(sum(e.amount), 0)::bigint AS amount, coalesce(sum(e.wanted), 0)::bigint AS wanted,
       coalesce((SELECT sum(s.cost) FROM gateway.spending s WHERE a.what = 'budget' AND s.organisation_id = a.organisation_id
                    AND s.subject_id = a.subject_id AND s.day >= a.starts AND s.day < a.ends), 0)::numeric AS spent
  FROM (SELECT unnest(@ats::bigint[]) AS at, unnest(@organisation_ids::uuid[]) AS organisation_id, unnest(@subject_ids::uuid[]) AS subject_id,
               unnest(@whats::text[]) AS what, unnest(@starts::date[]) AS starts, unnest(@ends::date[]) AS ends) a
  LEFT JOIN (gateway.leases e JOIN gateway.replicas r ON r.id = e.replica_id AND r.id <> @replica_id)
    ON e.organisation_id = a.organisation_id AND e.subject_id = a.subject_id AND e.what = a.what AND e.starts = a.starts
   AND (a.what = 'budget' OR r.seen_at >= now() - interval '15 seconds')
 GROUP BY a.at, a.organisation_id, a.subject_id, a.what, a.starts, a.ends ORDER BY a.at;

-- name: PutLeases :exec
INSERT INTO gateway.leases (organisation_id, subject_id, what, starts, replica_id, amount, wanted)
SELECT unnest(@organisation_ids::uuid[]), unnest(@subject_ids::uuid[]), unnest(@whats::text[]), unnest(@starts::date[]), @replica_id,
       unnest(@amounts::bigint[]), unnest(@wanteds::bigint[])
ON CONFLICT (organisation_id, subject_id, what, starts, replica_id) DO UPDATE SET amount = excluded.amount, wanted = excluded.wanted;

-- name: DropLeases :exec
-- DropLeases forgets a replica's leases that are empty, or of periods that have
-- ended long ago.
DELETE FROM gateway.leases WHERE replica_id = @replica_id AND (amount = 0 AND wanted = 0 OR what = 'budget' AND starts < now() - interval '40 days');
