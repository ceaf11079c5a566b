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
