-- name: InsertMasterKey :exec
-- InsertMasterKey names the ring that seals this database, unless one is named already.
INSERT INTO auth.master_keys (id, canary) VALUES (@id, @canary) ON CONFLICT DO NOTHING;

-- name: MasterKeys :many
SELECT id, canary FROM auth.master_keys ORDER BY created_at;

-- name: LockAuth :exec
-- LockAuth lets one transaction at a time decide who is the first.
SELECT pg_advisory_xact_lock(7102001);

-- name: InsertOrganisation :exec
INSERT INTO auth.organisations (id, name, slug, demo) VALUES (@id, @name, @slug, @demo);

-- name: OrganisationsOf :many
SELECT o.id, o.name, o.slug, m.role FROM auth.organisations o
  JOIN auth.memberships m ON m.organisation_id = o.id
 WHERE m.user_id = @user_id ORDER BY o.name;

-- name: OrganisationBySlug :one
SELECT id, name, slug, demo FROM auth.organisations WHERE slug = @slug;

-- name: CountOrganisations :one
SELECT count(*) AS total, count(*) FILTER (WHERE demo) AS demo FROM auth.organisations;

-- name: InsertUser :exec
INSERT INTO auth.users (id, email, name, password_hash, platform_admin)
VALUES (@id, @email, @name, sqlc.narg('password_hash'), @platform_admin);

-- name: UserByEmail :one
SELECT id, email, name, password_hash, platform_admin, disabled_at FROM auth.users WHERE email = @email;

-- name: UserByID :one
SELECT id, email, name, password_hash, platform_admin, disabled_at FROM auth.users WHERE id = @id;

-- name: AnyPlatformAdmin :one
SELECT EXISTS (SELECT FROM auth.users WHERE platform_admin AND password_hash IS NOT NULL) AS set_up,
       EXISTS (SELECT FROM auth.users WHERE platform_admin) AS present;

-- name: FirstPlatformAdmin :one
SELECT id, email FROM auth.users WHERE platform_admin ORDER BY created_at LIMIT 1;

-- name: SetPassword :exec
UPDATE auth.users SET password_hash = @password_hash::text WHERE id = @id;

-- name: UpsertMembership :exec
INSERT INTO auth.memberships (organisation_id, user_id, role) VALUES (@organisation_id, @user_id, @role)
ON CONFLICT (organisation_id, user_id) DO UPDATE SET role = excluded.role;

-- name: Members :many
SELECT u.id, u.email, u.name, m.role, m.created_at, (u.password_hash IS NOT NULL)::boolean AS set_up,
       (SELECT max(s.last_seen_at) FROM auth.sessions s WHERE s.user_id = u.id)::timestamptz AS last_seen_at
  FROM auth.memberships m JOIN auth.users u ON u.id = m.user_id
 WHERE m.organisation_id = @organisation_id ORDER BY m.created_at, u.email;

-- name: LockMembers :many
-- LockMembers takes the organisation's memberships for a change of roles.
SELECT user_id, role FROM auth.memberships WHERE organisation_id = @organisation_id ORDER BY user_id FOR UPDATE;

-- name: DeleteMembership :execrows
DELETE FROM auth.memberships WHERE organisation_id = @organisation_id AND user_id = @user_id;

-- name: InsertSession :exec
INSERT INTO auth.sessions (id, token_hash, user_id, organisation_id, ip, user_agent, expires_at)
VALUES (@id, @token_hash, @user_id, sqlc.narg('organisation_id'), @ip, @user_agent, now() + make_interval(secs => @life_secs::float8));

-- name: SessionByToken :one
-- SessionByToken returns a live session with what its user is now.
SELECT s.id, s.user_id, s.organisation_id, s.last_seen_at, u.email, u.platform_admin, m.role
  FROM auth.sessions s
  JOIN auth.users u ON u.id = s.user_id AND u.disabled_at IS NULL
  LEFT JOIN auth.memberships m ON m.organisation_id = s.organisation_id AND m.user_id = s.user_id
 WHERE s.token_hash = @token_hash AND s.revoked_at IS NULL AND s.expires_at > now()
   AND s.last_seen_at > now() - make_interval(secs => @idle_secs::float8);

-- name: TouchSession :exec
UPDATE auth.sessions SET last_seen_at = now() WHERE id = @id;

-- name: SetSessionOrganisation :execrows
UPDATE auth.sessions s SET organisation_id = @organisation_id
 WHERE s.id = @id AND EXISTS (SELECT FROM auth.memberships m WHERE m.organisation_id = @organisation_id AND m.user_id = s.user_id);

-- name: SessionsOf :many
SELECT id, ip, user_agent, created_at, last_seen_at FROM auth.sessions
 WHERE user_id = @user_id AND revoked_at IS NULL AND expires_at > now() ORDER BY last_seen_at DESC;

-- name: EndSession :execrows
UPDATE auth.sessions SET revoked_at = now() WHERE id = @id AND user_id = @user_id AND revoked_at IS NULL;

-- name: EndOtherSessions :exec
UPDATE auth.sessions SET revoked_at = now() WHERE user_id = @user_id AND id <> @keep AND revoked_at IS NULL;

-- name: Throttles :many
SELECT key, failures, blocked_until > now() AS blocked, extract(epoch FROM blocked_until - now())::float8 AS wait_secs
  FROM auth.throttles WHERE key = ANY(@keys::text[]);

-- name: CountFailure :exec
-- CountFailure notes a failed sign-in and blocks the key for longer and longer,
-- never for ever: from the fifth on 1 s, 2 s, 4 s, at most 15 minutes. A quiet
-- hour forgets.
INSERT INTO auth.throttles AS t (key, failures, last_at) VALUES (@key, 1, now())
ON CONFLICT (key) DO UPDATE SET
  failures = CASE WHEN t.last_at < now() - interval '1 hour' THEN 1 ELSE t.failures + 1 END,
  last_at = now(),
  blocked_until = CASE WHEN t.last_at >= now() - interval '1 hour' AND t.failures + 1 >= @free::int
    THEN now() + make_interval(secs => least(900, power(2, least(t.failures + 1 - @free::int, 20)))) ELSE t.blocked_until END;

-- name: ForgetFailures :exec
DELETE FROM auth.throttles WHERE key = @key;

-- name: InsertTicket :exec
INSERT INTO auth.tickets (id, purpose, token_hash, user_id, expires_at)
VALUES (@id, @purpose, @token_hash, @user_id, now() + make_interval(secs => @life_secs::float8));

-- name: TicketByToken :one
SELECT t.id, t.purpose, t.user_id, t.used_at, (t.expires_at <= now())::boolean AS expired, u.email
  FROM auth.tickets t JOIN auth.users u ON u.id = t.user_id WHERE t.token_hash = @token_hash;

-- name: UseTicket :execrows
UPDATE auth.tickets SET used_at = now() WHERE id = @id AND used_at IS NULL AND expires_at > now();

-- name: VoidTickets :exec
UPDATE auth.tickets SET used_at = now() WHERE user_id = @user_id AND used_at IS NULL;

-- name: InsertKey :exec
INSERT INTO auth.api_keys (id, public_id, organisation_id, user_id, name, scopes, secret_mac, pepper_key, expires_at)
VALUES (@id, @public_id, @organisation_id, sqlc.narg('user_id'), @name, @scopes, @secret_mac, @pepper_key, sqlc.narg('expires_at'));

-- name: Keys :many
-- Keys lists an organisation's keys, newest first; with an owner only that owner's.
SELECT k.id, k.public_id, k.name, k.scopes, k.created_at, k.expires_at, k.last_used_at, k.revoked_at, k.user_id, coalesce(u.email, '') AS owner
  FROM auth.api_keys k LEFT JOIN auth.users u ON u.id = k.user_id
 WHERE k.organisation_id = @organisation_id AND (sqlc.narg('owner_id')::uuid IS NULL OR k.user_id = sqlc.narg('owner_id')::uuid)
 ORDER BY k.created_at DESC, k.id;

-- name: RevokeKey :one
UPDATE auth.api_keys SET revoked_at = now(), change = nextval('auth.api_key_changes')
 WHERE organisation_id = @organisation_id AND id = @id AND revoked_at IS NULL
   AND (sqlc.narg('owner_id')::uuid IS NULL OR user_id = sqlc.narg('owner_id')::uuid)
RETURNING name;

-- name: LoadKeys :many
-- LoadKeys returns every key a replica must know, with what its owner is now.
-- Keys revoked or expired for a day are unknown again.
SELECT k.id, k.public_id, k.organisation_id, k.user_id, k.name, k.scopes, k.secret_mac, k.expires_at, k.revoked_at,
       coalesce(m.role, '') AS owner_role, coalesce(u.platform_admin, false) AS platform_admin,
       (k.user_id IS NOT NULL AND (m.user_id IS NULL OR u.disabled_at IS NOT NULL))::boolean AS orphaned
  FROM auth.api_keys k
  LEFT JOIN auth.users u ON u.id = k.user_id
  LEFT JOIN auth.memberships m ON m.organisation_id = k.organisation_id AND m.user_id = k.user_id
 WHERE coalesce(k.revoked_at, k.expires_at, now()) > now() - interval '1 day';

-- name: KeyVersion :one
-- KeyVersion changes whenever LoadKeys would answer otherwise: it reads what is
-- committed, so it cannot miss a change that commits late.
SELECT concat_ws('/',
  (SELECT count(*) || ':' || coalesce(sum(change), 0) FROM auth.api_keys),
  (SELECT count(*) || ':' || coalesce(sum(hashtext(m.user_id::text || m.role)), 0) FROM auth.memberships m),
  (SELECT count(*) FROM auth.users WHERE disabled_at IS NOT NULL))::text AS version;

-- name: TouchKeys :exec
UPDATE auth.api_keys k SET last_used_at = greatest(k.last_used_at, u.at)
  FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@ats::timestamptz[]) AS at) u WHERE k.id = u.id;

-- name: InsertAudit :exec
INSERT INTO auth.audit (organisation_id, actor, actor_name, action, object, detail, ip, request_id)
VALUES (sqlc.narg('organisation_id'), @actor, @actor_name, @action, @object, @detail, @ip, @request_id);

-- name: AuditPage :many
SELECT id, actor, actor_name, action, object, detail, ip, request_id, at FROM auth.audit
 WHERE organisation_id = @organisation_id AND (@before::bigint = 0 OR id < @before::bigint) ORDER BY id DESC LIMIT @page_size;
