-- Deployments ---------------------------------------------------------------

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

-- Instances -----------------------------------------------------------------

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

-- Operations ----------------------------------------------------------------

-- name: PlanOperation :exec
INSERT INTO instance.operations (id, instance_id, kind, target, status, epoch)
VALUES (@id, @instance_id, @kind, @target, 'planned', @epoch)
ON CONFLICT (instance_id, kind, target) WHERE status IN ('planned', 'sent', 'ambiguous') DO NOTHING;

-- name: SendOperation :one
-- SendOperation records, before anything is sent, that it is. There is no row
-- when the lease is lost: then nothing may be sent.
WITH holder AS (
  SELECT i.id FROM instance.instances i WHERE i.id = @instance_id AND i.lease_epoch = @epoch AND i.lease_until > now() FOR UPDATE)
INSERT INTO instance.operations (id, instance_id, kind, target, status, epoch, sent_at)
SELECT @id, holder.id, @kind, @target, 'sent', @epoch, now() FROM holder
ON CONFLICT (instance_id, kind, target) WHERE status IN ('planned', 'sent', 'ambiguous')
DO UPDATE SET status = 'sent', sent_at = now(), epoch = excluded.epoch
RETURNING id;

-- name: SettleOperation :exec
UPDATE instance.operations
   SET status = @status, error = @error,
       target = CASE WHEN @target::text <> '' THEN @target::text ELSE target END,
       settled_at = CASE WHEN @status IN ('confirmed', 'absent') THEN now() END
 WHERE id = @id AND status IN ('planned', 'sent', 'ambiguous');

-- name: Operations :many
SELECT id, kind, target, status, error, planned_at, sent_at, settled_at FROM instance.operations
 WHERE instance_id = @instance_id ORDER BY planned_at, id;

-- Resources -----------------------------------------------------------------

-- name: SaveResource :execrows
-- SaveResource records something billed; what is known already stays as it is.
INSERT INTO instance.resources (id, instance_id, organisation_id, kind, provider, zone, provider_id, description, price_per_hour, created_at)
VALUES (@id, @instance_id, @organisation_id, @kind, @provider, @zone, @provider_id, @description, @price_per_hour, @created_at)
ON CONFLICT (provider, zone, provider_id) DO NOTHING;

-- name: EndResource :execrows
-- EndResource closes what the provider has answered to be gone.
UPDATE instance.resources
   SET gone_at = greatest(created_at, coalesce(sqlc.narg('at')::timestamptz, now())), updated_at = clock_timestamp()
 WHERE id = @id AND gone_at IS NULL;

-- name: InstanceResources :many
SELECT r.id, r.instance_id, r.organisation_id, i.name AS instance, i.model, r.kind, r.provider, r.zone, r.provider_id,
    r.description, r.price_per_hour, r.created_at, r.gone_at, r.updated_at
  FROM instance.resources r JOIN instance.instances i ON i.id = r.instance_id
 WHERE r.instance_id = @instance_id ORDER BY r.created_at, r.kind;

-- name: ResourcesSince :many
SELECT r.id, r.instance_id, r.organisation_id, i.name AS instance, i.model, r.kind, r.provider, r.zone, r.provider_id,
    r.description, r.price_per_hour, r.created_at, r.gone_at, r.updated_at
  FROM instance.resources r JOIN instance.instances i ON i.id = r.instance_id
 WHERE r.updated_at >= @since ORDER BY r.updated_at;

-- name: MarkOrphan :exec
-- MarkOrphan has the sweep delete something. What was believed to be gone, and
-- for longer than a listing may lag, is billed on: its provider still has it.
UPDATE instance.resources
   SET orphan = true, gone_at = NULL, updated_at = CASE WHEN gone_at IS NULL THEN updated_at ELSE clock_timestamp() END
 WHERE provider = @provider AND zone = @zone AND provider_id = @provider_id
   AND (gone_at IS NULL OR gone_at < now() - make_interval(secs => @lag::float8));

-- name: OpenResources :many
-- OpenResources lists what is believed to be billed and wanted at a provider.
SELECT r.id, r.instance_id, r.organisation_id, r.kind, r.zone, r.provider_id, r.created_at, i.state
  FROM instance.resources r JOIN instance.instances i ON i.id = r.instance_id
 WHERE r.provider = @provider AND r.gone_at IS NULL AND NOT r.orphan;

-- name: OwnersByID :many
-- OwnersByID lists what the sweep has to know of the instances that a provider's tags name.
SELECT i.id, i.organisation_id, i.name, i.state, i.provider_server_id,
    EXISTS (SELECT FROM instance.operations o WHERE o.instance_id = i.id AND o.kind = 'create_server'
             AND o.status IN ('planned', 'sent', 'ambiguous'))::boolean AS in_doubt
  FROM instance.instances i WHERE i.id = ANY (@ids::uuid[]);

-- name: WakeInstances :exec
UPDATE instance.instances SET due_at = now() WHERE id = ANY (@ids::uuid[]);

-- Authority -----------------------------------------------------------------

-- name: LockAuthorities :exec
LOCK TABLE instance.authorities IN SHARE ROW EXCLUSIVE MODE;

-- name: Authority :one
SELECT id, certificate, key_sealed FROM instance.authorities ORDER BY created_at, id LIMIT 1;

-- name: InsertAuthority :exec
INSERT INTO instance.authorities (id, certificate, key_sealed) VALUES (@id, @certificate, @key_sealed);

-- Nodes ---------------------------------------------------------------------

-- name: OpenJoin :exec
-- OpenJoin lets the bearer of a token join as the instance; a new generation
-- voids what the one before was given.
INSERT INTO instance.nodes (instance_id, generation, join_token_hash, join_expires_at)
VALUES (@instance_id, @generation, @join_token_hash, now() + make_interval(secs => @life::float8))
ON CONFLICT (instance_id) DO UPDATE
   SET generation = excluded.generation, join_token_hash = excluded.join_token_hash, join_expires_at = excluded.join_expires_at,
       join_key = NULL, join_used_at = NULL, certificate_serial = '', previous_serial = '', certificate_until = NULL,
       joined_at = NULL, heartbeat_at = NULL, linked_at = NULL, heartbeat = '{}'
 WHERE instance.nodes.generation < excluded.generation
    OR (instance.nodes.generation = excluded.generation AND instance.nodes.join_used_at IS NULL);

-- name: LockNode :one
SELECT n.instance_id, n.generation, n.join_token_hash, n.join_key, n.certificate_serial, n.previous_serial, n.certificate_until,
    coalesce(n.join_expires_at > now(), false)::boolean AS join_open, i.organisation_id, i.name, i.state
  FROM instance.nodes n JOIN instance.instances i ON i.id = n.instance_id
 WHERE n.instance_id = @instance_id
   FOR UPDATE OF n;

-- name: JoinNode :exec
UPDATE instance.nodes
   SET join_key = @join_key, join_used_at = coalesce(join_used_at, now()), joined_at = coalesce(joined_at, now()),
       previous_serial = @previous_serial, certificate_serial = @certificate_serial, certificate_until = @certificate_until,
       agent_version = @agent_version, agent_checksum = @agent_checksum, heartbeat_at = now()
 WHERE instance_id = @instance_id;

-- name: FlagInstance :exec
UPDATE instance.instances SET flag = @flag, eligibility = 'cordoned' WHERE id = @id;

-- name: NodeIdentity :one
-- NodeIdentity is what decides whether a certificate is still good.
SELECT n.generation, n.certificate_serial, n.previous_serial, n.certificate_until, i.organisation_id, i.state
  FROM instance.nodes n JOIN instance.instances i ON i.id = n.instance_id
 WHERE n.instance_id = @instance_id;

-- name: Beat :one
-- Beat keeps a report and returns the one before it. There is no row when the
-- node was installed anew since its agent was identified.
WITH old AS (SELECT o.instance_id, o.heartbeat, o.heartbeat_at FROM instance.nodes o
              WHERE o.instance_id = @instance_id AND o.generation = @generation FOR UPDATE)
UPDATE instance.nodes n
   SET heartbeat = @heartbeat, heartbeat_at = now(), agent_version = @agent_version, agent_checksum = @agent_checksum,
       previous_serial = CASE WHEN n.certificate_serial = @serial THEN '' ELSE n.previous_serial END
  FROM old WHERE n.instance_id = old.instance_id
RETURNING old.heartbeat AS previous, extract(epoch FROM now() - coalesce(old.heartbeat_at, now()))::float8 AS seconds;

-- name: Connect :execrows
UPDATE instance.instances SET connectivity = 'online', due_at = now()
 WHERE id = @id AND connectivity <> 'online';

-- name: WakeInstance :exec
UPDATE instance.instances SET due_at = now() WHERE id = @id;

-- name: AddSample :exec
-- AddSample keeps at most one sample in ten seconds.
INSERT INTO instance.samples (instance_id, at, running, waiting, kv_cache, gpu, gpu_memory, cpu, memory, disk, net_rx, net_tx, tokens)
VALUES (@instance_id, date_bin('10 seconds', now(), 'epoch'), @running, @waiting, @kv_cache, @gpu, @gpu_memory, @cpu, @memory, @disk, @net_rx, @net_tx, @tokens)
ON CONFLICT (instance_id, at) DO NOTHING;

-- name: Samples :many
SELECT s.at, s.running, s.waiting, s.kv_cache, s.gpu, s.gpu_memory, s.cpu, s.memory, s.disk, s.net_rx, s.net_tx, s.tokens
  FROM instance.samples s JOIN instance.instances i ON i.id = s.instance_id
 WHERE i.organisation_id = @organisation_id AND s.instance_id = @instance_id AND s.at >= @since
 ORDER BY s.at;

-- name: Node :one
SELECT generation, joined_at, certificate_until, agent_version, agent_checksum, heartbeat_at, linked_at, heartbeat
  FROM instance.nodes WHERE instance_id = @instance_id;

-- name: Nodes :many
SELECT n.instance_id, i.name, i.model, i.state, i.connectivity, n.joined_at, n.certificate_until, n.agent_version,
    n.agent_checksum, n.heartbeat_at, n.heartbeat
  FROM instance.nodes n JOIN instance.instances i ON i.id = n.instance_id
 WHERE i.organisation_id = @organisation_id AND i.state NOT IN ('terminated', 'archived')
 ORDER BY i.name;

-- name: LinkNodes :many
-- LinkNodes notes that nodes which do not report have a tunnel, and puts them online. It writes nothing of nodes that report.
WITH quiet AS (SELECT n.instance_id FROM instance.nodes n WHERE n.instance_id = ANY(@instance_ids::uuid[])
  AND n.heartbeat_at < now() - make_interval(secs => @quiet::float8) FOR NO KEY UPDATE SKIP LOCKED), -- another process does it just now
linked AS (UPDATE instance.nodes n SET linked_at = now() FROM quiet q WHERE n.instance_id = q.instance_id RETURNING n.instance_id)
UPDATE instance.instances i SET connectivity = 'online', due_at = now() FROM linked l WHERE i.id = l.instance_id AND i.connectivity <> 'online'
   AND i.state IN ('installing', 'starting', 'ready', 'draining') RETURNING i.id, i.organisation_id, i.name;

-- name: Watch :many
-- Watch sets the connectivity of nodes by how long they have neither reported
-- nor had a tunnel while somebody was listening.
UPDATE instance.instances i
   SET connectivity = w.connectivity, due_at = now()
  FROM (SELECT n.instance_id,
          CASE WHEN n.silent > @lost::float8 THEN 'lost' WHEN n.silent > @suspect::float8 THEN 'suspect' ELSE 'online' END AS connectivity
          FROM (SELECT m.instance_id,
                  extract(epoch FROM now() - greatest(m.heartbeat_at, m.linked_at, @listening_since::timestamptz)) AS silent
                  FROM instance.nodes m WHERE m.heartbeat_at IS NOT NULL) n) w
 WHERE i.id = w.instance_id AND i.state IN ('installing', 'starting', 'ready', 'draining')
   AND i.connectivity <> w.connectivity AND w.connectivity <> 'online'
   AND NOT (i.connectivity = 'lost' AND w.connectivity = 'suspect')
RETURNING i.id, i.organisation_id, i.name, i.connectivity;

-- name: Silence :one
-- Silence counts the nodes that should report, and those that are lost.
SELECT count(*) AS nodes, count(*) FILTER (WHERE connectivity = 'lost') AS lost
  FROM instance.instances WHERE state = 'ready';

-- name: Routes :many
SELECT i.id, i.organisation_id, i.name, i.model, d.kind, n.heartbeat_at,
    coalesce((n.heartbeat -> 'gauges' ->> 'running')::bigint, 0)::bigint AS running,
    coalesce((n.heartbeat -> 'gauges' ->> 'waiting')::bigint, 0)::bigint AS waiting,
    coalesce((n.heartbeat -> 'gauges' ->> 'kv_cache_use')::float8, 0)::float8 AS kv_cache,
    coalesce((n.heartbeat -> 'gauges' ->> 'generation_tokens')::bigint, 0)::bigint AS generated
  FROM instance.instances i JOIN instance.nodes n ON n.instance_id = i.id JOIN instance.deployments d ON d.id = i.deployment_id
 WHERE i.state = 'ready' AND i.connectivity = 'online' AND i.eligibility = 'eligible'
   AND coalesce(n.heartbeat -> 'engine' ->> 'state', 'ready') = 'ready'
 ORDER BY i.id;

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

-- Passes --------------------------------------------------------------------

-- name: OpenPass :exec
INSERT INTO instance.passes (name) VALUES (@name) ON CONFLICT (name) DO NOTHING;

-- name: ClaimPass :one
-- ClaimPass returns until when the pass is the caller's; there is no row when it
-- is not due or another's.
UPDATE instance.passes SET lease_until = now() + make_interval(secs => @lease::float8), due_at = now() + make_interval(secs => @period::float8)
 WHERE name = @name AND due_at <= now() AND lease_until <= now()
RETURNING lease_until;

-- name: ClosePass :exec
-- ClosePass gives the lease back, unless somebody else has it by now.
UPDATE instance.passes SET lease_until = 'epoch' WHERE name = @name AND lease_until = @lease_until;

-- name: PruneSamples :execrows
DELETE FROM instance.samples WHERE ctid = ANY (ARRAY(
  SELECT s.ctid FROM instance.samples s WHERE s.at < now() - make_interval(secs => @age::float8) LIMIT @lim));

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

-- name: Clock :one
SELECT now()::timestamptz AS now;

-- name: OrphanOwner :one
SELECT sqlc.embed(i) FROM instance.instances i WHERE i.id = @id;

-- name: Orphans :many
SELECT id, instance_id, organisation_id, kind, zone, provider_id FROM instance.resources
 WHERE provider = @provider AND orphan AND gone_at IS NULL
 ORDER BY kind <> 'server', created_at;
