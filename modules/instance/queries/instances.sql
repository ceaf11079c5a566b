-- name: InsertInstance :exec
INSERT INTO instance.instances (id, organisation_id, deployment_id, name, model, provider, zone, type,
    price_per_hour, volume_gb, state, step, progress, message, deadline_at, created_by)
VALUES (@id, @organisation_id, @deployment_id, @name, @model, @provider, @zone, @type,
    @price_per_hour, @volume_gb, @state, @step, @progress, @message, now() + make_interval(secs => @deadline::float8), @created_by);

-- name: Want :exec
-- Want records what is wanted of an instance; the reconciler makes it so.
UPDATE instance.instances
   SET desired = @desired, desired_reason = @reason, desired_message = @message, due_at = now()
 WHERE id = @id;

-- name: Instances :many
SELECT sqlc.embed(i), d.name AS deployment, d.kind
  FROM instance.instances i JOIN instance.deployments d ON d.id = i.deployment_id
 WHERE i.organisation_id = @organisation_id
   AND (@deployment::text = '' OR d.name = @deployment::text OR d.id::text = @deployment::text)
   AND (cardinality(@states::text[]) = 0 OR i.state = ANY (@states::text[]))
   AND (@archived::boolean OR i.state <> 'archived')
   AND (@ref::text = '' OR i.name = @ref::text OR i.id::text = @ref::text)
 ORDER BY i.created_at DESC, i.id DESC
 LIMIT @lim;

-- name: LockInstance :one
SELECT sqlc.embed(i), d.name AS deployment, d.kind, (i.lease_until > now())::boolean AS leased,
    (d.deleted_at IS NULL AND NOT d.stopped AND d.max_replicas > (
      SELECT count(*) FROM instance.instances r WHERE r.deployment_id = d.id AND r.desired = 'ready'
         AND r.state IN ('provisioning', 'booting', 'installing', 'starting', 'ready')))::boolean AS room
  FROM instance.instances i JOIN instance.deployments d ON d.id = i.deployment_id
 WHERE i.organisation_id = @organisation_id AND (i.name = @ref::text OR i.id::text = @ref::text)
   FOR UPDATE OF i;

-- name: SetEligibility :exec
UPDATE instance.instances SET eligibility = @eligibility, flag = @flag
 WHERE id = @id AND organisation_id = @organisation_id;

-- name: AskReinstall :exec
UPDATE instance.instances SET reinstall = true, due_at = now()
 WHERE id = @id AND organisation_id = @organisation_id;

-- name: MoveInstance :exec
-- MoveInstance changes the state of an instance that no reconciler holds, and
-- fences out one that thinks it does.
UPDATE instance.instances
   SET state = @state, step = @step, progress = @progress, reason = @reason, message = @message,
       desired = @desired, generation = generation + @generations::int, attempts = 0, reinstall = false, state_since = now(),
       deadline_at = now() + make_interval(secs => sqlc.narg('deadline')::float8),
       provider_server_id = '', address = '', connectivity = 'lost', flag = '',
       archived_at = CASE WHEN @state = 'archived' THEN now() ELSE archived_at END,
       due_at = now(), lease_until = 'epoch', lease_epoch = lease_epoch + 1
 WHERE id = @id;

-- name: ClaimDue :many
-- ClaimDue leases up to batch instances whose turn has come.
WITH due AS (
  SELECT i.id FROM instance.instances i
   WHERE i.due_at <= now() AND i.lease_until <= now() AND i.state NOT IN ('terminated', 'archived')
     AND i.id <> ALL (@skip::uuid[])
   ORDER BY i.due_at LIMIT @batch::int
     FOR UPDATE SKIP LOCKED)
UPDATE instance.instances i
   SET lease_until = now() + make_interval(secs => @lease::float8), lease_epoch = i.lease_epoch + 1
  FROM due JOIN instance.instances j ON j.id = due.id JOIN instance.deployments d ON d.id = j.deployment_id
 WHERE i.id = due.id
RETURNING sqlc.embed(i), d.name AS deployment, d.kind, d.offers,
    coalesce((d.engine ->> 'start_seconds')::int, 0)::int AS start_seconds, now()::timestamptz AS now;

-- name: Settle :execrows
-- Settle writes what a step found out, unless somebody else has the lease now.
-- What was asked for in the meantime is looked at at once.
UPDATE instance.instances
   SET state = @state, step = @step, progress = @progress, reason = @reason, message = @message,
       generation = @generation, attempts = @attempts, provider = @provider, zone = @zone, type = @type,
       price_per_hour = @price_per_hour, provider_server_id = @provider_server_id, address = @address,
       state_since = CASE WHEN state <> @state THEN now() ELSE state_since END,
       deadline_at = sqlc.narg('deadline_at'),
       ready_at = CASE WHEN @state = 'ready' THEN coalesce(ready_at, now()) ELSE ready_at END,
       terminated_at = CASE WHEN @state = 'terminated' THEN coalesce(terminated_at, now()) ELSE terminated_at END,
       connectivity = CASE WHEN @offline::boolean THEN 'lost' ELSE connectivity END,
       reinstall = reinstall AND NOT @reinstalled::boolean,
       due_at = CASE WHEN desired <> @seen_desired OR reinstall <> @seen_reinstall THEN now()
                     ELSE now() + make_interval(secs => @after::float8) END,
       lease_until = 'epoch'
 WHERE id = @id AND lease_epoch = @lease_epoch;

-- name: InsertTransition :exec
INSERT INTO instance.transitions (instance_id, seq, from_state, to_state, reason, message)
SELECT @instance_id, coalesce(max(t.seq), 0) + 1, @from_state, @to_state, @reason, @message
  FROM instance.transitions t WHERE t.instance_id = @instance_id;

-- name: Transitions :many
SELECT seq, from_state, to_state, reason, message, at FROM instance.transitions
 WHERE instance_id = @instance_id ORDER BY seq;

-- name: StartStep :exec
INSERT INTO instance.steps (instance_id, generation, step) VALUES (@instance_id, @generation, @step)
ON CONFLICT (instance_id, generation, step)
DO UPDATE SET started_at = now(), ended_at = NULL, failed = false, detail = '';

-- name: EndStep :exec
UPDATE instance.steps SET ended_at = now(), failed = @failed, detail = @detail
 WHERE instance_id = @instance_id AND generation = @generation AND step = @step AND ended_at IS NULL;

-- name: NoteStep :exec
UPDATE instance.steps SET detail = @detail
 WHERE instance_id = @instance_id AND generation = @generation AND step = @step AND ended_at IS NULL;

-- name: Steps :many
SELECT generation, step, started_at, ended_at, failed, detail FROM instance.steps
 WHERE instance_id = @instance_id ORDER BY generation, started_at, ended_at NULLS LAST;

-- name: UsualSteps :many
-- UsualSteps returns how long each step took, by the median, the organisation's
-- last twenty instances of the model on the type of machine that became ready.
WITH alike AS (
  SELECT i.id FROM instance.instances i
   WHERE i.organisation_id = @organisation_id AND i.model = @model AND i.type = @type AND i.ready_at IS NOT NULL
   ORDER BY i.created_at DESC LIMIT 20)
SELECT s.step, count(*) AS times,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM s.ended_at - s.started_at))::float8 AS seconds
  FROM instance.steps s JOIN alike ON alike.id = s.instance_id
 WHERE s.ended_at IS NOT NULL AND NOT s.failed AND NOT (s.instance_id = @id AND s.generation = @generation)
 GROUP BY s.step;

-- name: OldTerminated :many
SELECT id, organisation_id FROM instance.instances
 WHERE state = 'terminated' AND terminated_at < now() - make_interval(secs => @age::float8)
 ORDER BY terminated_at LIMIT @lim
   FOR UPDATE SKIP LOCKED;

-- name: OldFailed :many
-- OldFailed lists what failed long ago and costs nothing any more.
SELECT id, organisation_id FROM instance.instances
 WHERE state IN ('provisioning_failed', 'startup_failed', 'failed') AND desired <> 'terminated' AND deadline_at IS NULL
   AND state_since < now() - make_interval(secs => @age::float8)
 ORDER BY state_since LIMIT @lim
   FOR UPDATE SKIP LOCKED;
