-- name: InsertDeployment :exec
INSERT INTO instance.deployments (id, organisation_id, name, model_id, model, kind, volume_gb, offers,
    min_replicas, max_replicas, idle_minutes, engine, engine_env, created_by)
VALUES (@id, @organisation_id, @name, @model_id, @model, @kind, @volume_gb, @offers,
    @min_replicas, @max_replicas, @idle_minutes, @engine, @engine_env, @created_by);

-- name: Deployments :many
-- Deployments lists an organisation's deployments with the replicas that are
-- meant to serve, and those of them that do.
SELECT sqlc.embed(d),
    count(i.id) FILTER (WHERE i.desired = 'ready' AND i.state IN ('provisioning', 'booting', 'installing', 'starting', 'ready')) AS live,
    count(i.id) FILTER (WHERE i.desired IN ('ready', 'replaced') AND i.state = 'ready') AS ready
  FROM instance.deployments d
  LEFT JOIN instance.instances i ON i.deployment_id = d.id
 WHERE d.organisation_id = @organisation_id AND d.deleted_at IS NULL
   AND (@ref::text = '' OR d.name = @ref::text OR d.id::text = @ref::text)
 GROUP BY d.id
 ORDER BY d.name;

-- name: LockDeployment :one
SELECT sqlc.embed(d) FROM instance.deployments d
 WHERE d.organisation_id = @organisation_id AND d.deleted_at IS NULL
   AND (d.name = @ref::text OR d.id::text = @ref::text)
   FOR UPDATE;

-- name: ChangeDeployment :exec
-- ChangeDeployment counts as a use: what was changed just now does not go to
-- sleep at once.
UPDATE instance.deployments
   SET min_replicas = @min_replicas, max_replicas = @max_replicas, idle_minutes = @idle_minutes, stopped = @stopped,
       retry_from = CASE WHEN @started::boolean THEN now() ELSE retry_from END,
       woken_at = CASE WHEN @stopped THEN NULL WHEN @started::boolean THEN now() ELSE woken_at END,
       used_at = now(), due_at = now()
 WHERE id = @id AND organisation_id = @organisation_id;

-- name: DeleteDeployment :exec
UPDATE instance.deployments SET deleted_at = now(), reason = '', message = ''
 WHERE id = @id AND organisation_id = @organisation_id;

-- name: LockDueDeployment :one
-- LockDueDeployment holds the deployment whose turn it is; another replica's is
-- left to it.
SELECT sqlc.embed(d), now()::timestamptz AS now FROM instance.deployments d
 WHERE d.due_at <= now() AND d.deleted_at IS NULL
 ORDER BY d.due_at LIMIT 1
   FOR UPDATE SKIP LOCKED;

-- name: DelayDeployment :exec
UPDATE instance.deployments SET reason = @reason, message = @message,
       woken_at = CASE WHEN @sleeps::boolean THEN NULL ELSE woken_at END,
       due_at = now() + make_interval(secs => @after::float8)
 WHERE id = @id;

-- name: WakeDeployment :exec
UPDATE instance.deployments SET due_at = now() WHERE id = @id AND deleted_at IS NULL;

-- name: Rouse :one
-- Rouse wants one of a model's deployments awake, if all of them sleep. Of those
-- who ask at once, over all processes, one gets the row.
UPDATE instance.deployments d SET woken_at = now(), used_at = now(), due_at = now()
 WHERE d.id = (SELECT s.id FROM instance.deployments s
                WHERE s.organisation_id = @organisation_id AND s.model = @model AND s.deleted_at IS NULL
                  AND NOT s.stopped AND s.min_replicas = 0
                ORDER BY s.created_at, s.id LIMIT 1)
   AND d.deleted_at IS NULL AND NOT d.stopped AND d.min_replicas = 0 AND d.woken_at IS NULL
   AND NOT EXISTS (SELECT FROM instance.deployments o
                    WHERE o.organisation_id = @organisation_id AND o.model = @model AND o.deleted_at IS NULL
                      AND NOT o.stopped AND (o.min_replicas > 0 OR o.woken_at IS NOT NULL))
   AND NOT EXISTS (SELECT FROM instance.instances i JOIN instance.deployments o ON o.id = i.deployment_id
                    WHERE o.organisation_id = @organisation_id AND o.model = @model AND i.desired = 'ready'
                      AND i.state IN ('provisioning', 'booting', 'installing', 'starting', 'ready'))
RETURNING d.id, d.name;

-- name: Used :exec
-- Used notes that instances have had requests. A row that another process holds
-- is left to the next time, so that two of them cannot wait for each other.
WITH used AS (
  SELECT d.id FROM instance.deployments d
   WHERE d.id IN (SELECT i.deployment_id FROM instance.instances i WHERE i.id = ANY (@ids::uuid[]))
     AND d.used_at < now() - make_interval(secs => @every::float8)
     FOR NO KEY UPDATE SKIP LOCKED)
UPDATE instance.deployments d SET used_at = now() FROM used WHERE d.id = used.id;

-- name: Replicas :many
-- Replicas lists what exists of a deployment.
SELECT id, name, state, desired, eligibility, reason, message, created_at, state_since
  FROM instance.instances
 WHERE deployment_id = @deployment_id AND state NOT IN ('terminated', 'archived')
 ORDER BY created_at, id;

-- name: Failures :one
-- Failures counts the replicas that failed since the last one got ready.
SELECT count(*) AS failures, coalesce(max(t.at), 'epoch')::timestamptz AS last_at
  FROM instance.transitions t JOIN instance.instances i ON i.id = t.instance_id
 WHERE i.deployment_id = @deployment_id
   AND t.to_state IN ('provisioning_failed', 'startup_failed', 'failed')
   AND t.at > @since::timestamptz
   AND t.at > (SELECT coalesce(max(r.at), 'epoch') FROM instance.transitions r
                 JOIN instance.instances j ON j.id = r.instance_id
                WHERE j.deployment_id = @deployment_id AND r.to_state = 'ready');

-- name: DeploymentEngine :one
SELECT d.id, d.engine, d.engine_env FROM instance.deployments d
  JOIN instance.instances i ON i.deployment_id = d.id
 WHERE i.id = @instance_id;

-- name: Wishes :many
-- Wishes lists the deployments, each with the replica that is nearest to serving.
SELECT d.organisation_id, d.model, d.stopped, d.min_replicas, (d.woken_at IS NOT NULL)::boolean AS woken, d.reason, d.message,
    now()::timestamptz AS now,
    coalesce(i.id, '00000000-0000-0000-0000-000000000000')::uuid AS instance_id, coalesce(i.name, '')::text AS instance,
    coalesce(i.type, '')::text AS type, coalesce(i.state, '')::text AS state, coalesce(i.step, '')::text AS step,
    coalesce(i.generation, 0)::int AS generation, coalesce(i.eligibility = 'cordoned', false)::boolean AS cordoned, coalesce(i.message, '')::text AS instance_message
  FROM instance.deployments d
  LEFT JOIN LATERAL (
    SELECT r.id, r.name, r.type, r.state, r.step, r.generation, r.message, r.eligibility FROM instance.instances r
     WHERE r.deployment_id = d.id AND r.desired = 'ready' AND r.state IN ('provisioning', 'booting', 'installing', 'starting', 'ready')
     ORDER BY r.eligibility = 'cordoned', r.progress DESC, r.created_at, r.id LIMIT 1) i ON true
 WHERE d.deleted_at IS NULL
 ORDER BY d.organisation_id, d.model, d.created_at, d.id;
