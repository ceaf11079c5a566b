-- name: LockAuthorities :exec
LOCK TABLE instance.authorities IN SHARE ROW EXCLUSIVE MODE;

-- name: Authority :one
SELECT id, certificate, key_sealed FROM instance.authorities ORDER BY created_at, id LIMIT 1;

-- name: InsertAuthority :exec
INSERT INTO instance.authorities (id, certificate, key_sealed) VALUES (@id, @certificate, @key_sealed);

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

-- name: PruneSamples :execrows
DELETE FROM instance.samples WHERE ctid = ANY (ARRAY(
  SELECT s.ctid FROM instance.samples s WHERE s.at < now() - make_interval(secs => @age::float8) LIMIT @lim));
