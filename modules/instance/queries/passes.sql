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

-- name: Clock :one
SELECT now()::timestamptz AS now;
