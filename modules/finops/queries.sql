-- name: Cursor :one
SELECT read_until FROM finops.cursor;

-- name: MoveCursor :exec
UPDATE finops.cursor SET read_until = greatest(read_until, @read_until);

-- name: UpsertCharge :execrows
-- UpsertCharge writes a charge, or ends one that was open. What was frozen stays,
-- and what another process has read later stays too.
INSERT INTO finops.charges (id, organisation_id, instance_id, instance, model, provider, zone, kind, description, price_per_hour, started_at, ended_at, version)
VALUES (@id, @organisation_id, @instance_id, @instance, @model, @provider, @zone, @kind, @description, @price_per_hour, @started_at, sqlc.narg('ended_at'), @version)
ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at, version = excluded.version
  WHERE finops.charges.version <= excluded.version AND finops.charges.ended_at IS DISTINCT FROM excluded.ended_at;

-- name: Now :one
SELECT now()::timestamptz AS now;

-- name: Charges :many
-- Charges lists what cost something between two instants, the oldest first.
SELECT id, organisation_id, instance_id, instance, model, provider, zone, kind, description, price_per_hour, started_at, ended_at
  FROM finops.charges
 WHERE organisation_id = @organisation_id AND started_at < @until AND (ended_at IS NULL OR ended_at > @since)
 ORDER BY started_at, id;

-- name: ChargesOf :many
SELECT id, organisation_id, instance_id, instance, model, provider, zone, kind, description, price_per_hour, started_at, ended_at
  FROM finops.charges WHERE organisation_id = @organisation_id AND instance_id = ANY(@instances::uuid[]) ORDER BY started_at, id;

-- name: BurnRate :one
SELECT coalesce(sum(price_per_hour), 0)::numeric AS rate FROM finops.charges WHERE organisation_id = @organisation_id AND ended_at IS NULL;
