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

-- name: OrphanOwner :one
SELECT sqlc.embed(i) FROM instance.instances i WHERE i.id = @id;

-- name: Orphans :many
SELECT id, instance_id, organisation_id, kind, zone, provider_id FROM instance.resources
 WHERE provider = @provider AND orphan AND gone_at IS NULL
 ORDER BY kind <> 'server', created_at;
