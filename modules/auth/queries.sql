-- name: InsertMasterKeys :exec
-- InsertMasterKeys names keys of the ring that seals this database.
INSERT INTO auth.master_keys (id) SELECT unnest(@ids::text[]) ON CONFLICT DO NOTHING;

-- name: MasterKeys :many
SELECT id FROM auth.master_keys ORDER BY created_at, id;

-- name: LockMasterKeys :exec
-- LockMasterKeys lets one process at a time name the first key; others may read.
LOCK TABLE auth.master_keys IN SHARE ROW EXCLUSIVE MODE;

-- name: LockUsers :exec
-- LockUsers lets one process at a time make the first admin; others may read.
LOCK TABLE auth.users IN SHARE ROW EXCLUSIVE MODE;

-- name: InsertOrganisation :one
-- InsertOrganisation returns no row when the slug is taken.
INSERT INTO auth.organisations (id, name, slug, demo) VALUES (@id, @name, @slug, @demo)
ON CONFLICT (slug) DO NOTHING RETURNING slug;

-- name: OrganisationsOf :many
SELECT o.id, o.name, o.slug, m.role FROM auth.organisations o
  JOIN auth.memberships m ON m.organisation_id = o.id
 WHERE m.user_id = @user_id ORDER BY o.name, o.id;

-- name: CountOrganisations :one
SELECT count(*) AS total, count(*) FILTER (WHERE demo) AS demo FROM auth.organisations;

-- name: LockOrganisation :one
-- LockOrganisation makes changes of one organisation's members wait for each other.
SELECT name FROM auth.organisations WHERE id = @organisation_id FOR NO KEY UPDATE;

-- name: InsertUser :exec
INSERT INTO auth.users (id, email, password_hash, platform_admin)
VALUES (@id, @email, sqlc.narg('password_hash'), @platform_admin);

-- name: UserByEmail :one
SELECT id, email, password_hash, disabled_at FROM auth.users WHERE email = @email;

-- name: UserByID :one
SELECT id, email, password_hash, disabled_at FROM auth.users WHERE id = @id;

-- name: FirstPlatformAdmin :one
SELECT id, email, password_hash FROM auth.users WHERE platform_admin
 ORDER BY (password_hash IS NULL), created_at, id LIMIT 1;

-- name: SetPassword :exec
UPDATE auth.users SET password_hash = @password_hash::text WHERE id = @id;

-- name: RenewPasswordHash :exec
-- RenewPasswordHash replaces a hash by one of the same password, unless the
-- password was changed meanwhile.
UPDATE auth.users SET password_hash = @next::text WHERE id = @id AND password_hash = @current::text;

-- name: InsertMembership :execrows
INSERT INTO auth.memberships (organisation_id, user_id, role) VALUES (@organisation_id, @user_id, @role)
ON CONFLICT (organisation_id, user_id) DO NOTHING;

-- name: SetRole :execrows
UPDATE auth.memberships SET role = @role WHERE organisation_id = @organisation_id AND user_id = @user_id;

-- name: RoleOf :one
SELECT m.role FROM auth.memberships m JOIN auth.users u ON u.id = m.user_id AND u.disabled_at IS NULL
 WHERE m.organisation_id = @organisation_id AND m.user_id = @user_id;

-- name: Members :many
SELECT u.id, u.email, u.name, m.role, m.created_at,
       coalesce((SELECT max(s.last_seen_at) FROM auth.sessions s
                  WHERE s.user_id = u.id AND s.organisation_id = m.organisation_id), 'epoch')::timestamptz AS last_seen_at
  FROM auth.memberships m JOIN auth.users u ON u.id = m.user_id
 WHERE m.organisation_id = @organisation_id
 ORDER BY array_position(ARRAY['owner', 'admin', 'manager', 'user', 'auditor'], m.role), m.created_at, u.email;

-- name: OtherOwners :one
-- OtherOwners counts the owners besides one who can sign in.
SELECT count(*) FROM auth.memberships m JOIN auth.users u ON u.id = m.user_id
 WHERE m.organisation_id = @organisation_id AND m.role = 'owner' AND m.user_id <> @user_id AND u.disabled_at IS NULL;

-- name: DeleteMembership :execrows
DELETE FROM auth.memberships WHERE organisation_id = @organisation_id AND user_id = @user_id;

-- name: LeaveSessions :exec
-- LeaveSessions takes an organisation out of a former member's sessions.
UPDATE auth.sessions SET organisation_id = NULL WHERE organisation_id = @organisation_id AND user_id = @user_id;

-- name: InsertSession :one
-- InsertSession begins a session in the organisation that its user last worked
-- in, or else the one he joined first.
INSERT INTO auth.sessions (id, token_hash, user_id, organisation_id, ip, user_agent, expires_at)
VALUES (@id, @token_hash, @user_id,
  (SELECT m.organisation_id FROM auth.memberships m
     LEFT JOIN LATERAL (SELECT max(s.last_seen_at) AS at FROM auth.sessions s
                         WHERE s.user_id = m.user_id AND s.organisation_id = m.organisation_id) last ON true
    WHERE m.user_id = @user_id ORDER BY last.at DESC NULLS LAST, m.created_at, m.organisation_id LIMIT 1),
  @ip, @user_agent, now() + make_interval(secs => @life_secs::float8))
RETURNING organisation_id;

-- name: EndOldestSessions :exec
-- EndOldestSessions leaves a user the sessions that were used last.
UPDATE auth.sessions SET revoked_at = now() WHERE id IN (
  SELECT s.id FROM auth.sessions s WHERE s.user_id = @user_id AND s.revoked_at IS NULL AND s.expires_at > now()
   ORDER BY s.last_seen_at DESC, s.id DESC OFFSET @keep::int);

-- name: SessionByToken :one
-- SessionByToken returns a live session with what its user is now.
SELECT s.id, s.user_id, s.organisation_id, (s.last_seen_at < now() - interval '1 minute')::boolean AS stale,
       u.email, u.platform_admin, m.role
  FROM auth.sessions s
  JOIN auth.users u ON u.id = s.user_id AND u.disabled_at IS NULL
  LEFT JOIN auth.memberships m ON m.organisation_id = s.organisation_id AND m.user_id = s.user_id
 WHERE s.token_hash = @token_hash AND s.revoked_at IS NULL AND s.expires_at > now()
   AND s.last_seen_at > now() - make_interval(secs => @idle_secs::float8);

-- name: TouchSession :exec
UPDATE auth.sessions SET last_seen_at = now() WHERE id = @id;

-- name: SetSessionOrganisation :execrows
UPDATE auth.sessions s SET organisation_id = @organisation_id
 WHERE s.id = @id AND s.user_id = @user_id
   AND EXISTS (SELECT FROM auth.memberships m WHERE m.organisation_id = @organisation_id AND m.user_id = s.user_id);

-- name: SessionsOf :many
SELECT id, ip, user_agent, created_at, last_seen_at, expires_at FROM auth.sessions
 WHERE user_id = @user_id AND revoked_at IS NULL AND expires_at > now()
   AND last_seen_at > now() - make_interval(secs => @idle_secs::float8)
 ORDER BY last_seen_at DESC, id DESC;

-- name: EndSession :execrows
UPDATE auth.sessions SET revoked_at = now() WHERE id = @id AND user_id = @user_id AND revoked_at IS NULL;

-- name: EndOtherSessions :exec
UPDATE auth.sessions SET revoked_at = now() WHERE user_id = @user_id AND id <> @keep AND revoked_at IS NULL;

-- name: KnownAddress :one
-- KnownAddress reports whether a user has signed in from an address of late.
SELECT EXISTS (SELECT FROM auth.sessions WHERE user_id = @user_id AND ip = @ip AND created_at > now() - interval '30 days');

-- name: TryAccount :one
-- TryAccount counts an attempt before its password is looked at, so that many at
-- once are counted too, and blocks the next: from the sixth on for 1 s, 2 s, 4 s,
-- at most 15 minutes. A quiet hour forgets. No row while it is blocked.
INSERT INTO auth.throttles AS t (key, failures, last_at) VALUES (@key, 1, now())
ON CONFLICT (key) DO UPDATE SET
  failures = CASE WHEN t.last_at < now() - interval '1 hour' THEN 1 ELSE t.failures + 1 END,
  last_at = now(),
  blocked_until = CASE WHEN t.last_at >= now() - interval '1 hour' AND t.failures >= @free::int
    THEN now() + make_interval(secs => least(900, power(2, least(t.failures - @free::int, 20)))) ELSE t.blocked_until END
 WHERE t.blocked_until <= now()
RETURNING failures;

-- name: TryAddress :one
-- TryAddress counts an attempt in the address's current minute. No row when the
-- minute has had its share.
INSERT INTO auth.throttles AS t (key, failures, last_at, blocked_until) VALUES (@key, 1, now(), now() + interval '1 minute')
ON CONFLICT (key) DO UPDATE SET
  failures = CASE WHEN t.blocked_until <= now() THEN 1 ELSE t.failures + 1 END,
  last_at = now(),
  blocked_until = CASE WHEN t.blocked_until <= now() THEN now() + interval '1 minute' ELSE t.blocked_until END
 WHERE t.blocked_until <= now() OR t.failures < @free::int
RETURNING failures;

-- name: BlockedFor :one
-- BlockedFor returns the seconds until a key may try again.
SELECT greatest(0, extract(epoch FROM blocked_until - now()))::float8 AS secs FROM auth.throttles WHERE key = @key;

-- name: ForgetAttempts :exec
DELETE FROM auth.throttles WHERE key = @key;

-- name: RefundAttempt :exec
-- RefundAttempt takes back an attempt that turned out well, or was not looked at.
UPDATE auth.throttles SET failures = greatest(failures - 1, 0) WHERE key = @key;

-- name: InsertTicket :exec
INSERT INTO auth.tickets (id, purpose, token_hash, user_id, expires_at)
VALUES (@id, @purpose, @token_hash, @user_id::uuid, now() + make_interval(secs => @life_secs::float8));

-- name: PutInvitation :one
-- PutInvitation makes the one pending invitation of an address, or renews it: the
-- link before stops working.
INSERT INTO auth.tickets (id, purpose, token_hash, organisation_id, email, role, invited_by, expires_at)
VALUES (@id, 'invite', @token_hash, @organisation_id::uuid, @email::text, @role::text, sqlc.narg('invited_by'),
        now() + make_interval(secs => @life_secs::float8))
ON CONFLICT (organisation_id, email) WHERE purpose = 'invite' AND used_at IS NULL DO UPDATE SET
  token_hash = excluded.token_hash, role = excluded.role, invited_by = excluded.invited_by,
  created_at = now(), expires_at = excluded.expires_at
RETURNING id, expires_at;

-- name: Invitations :many
SELECT t.id, t.email::text AS email, t.role::text AS role, coalesce(u.email, '') AS invited_by, t.created_at, t.expires_at
  FROM auth.tickets t LEFT JOIN auth.users u ON u.id = t.invited_by
 WHERE t.organisation_id = @organisation_id::uuid AND t.purpose = 'invite' AND t.used_at IS NULL AND t.expires_at > now()
 ORDER BY t.created_at DESC, t.id;

-- name: WithdrawInvitation :one
UPDATE auth.tickets SET used_at = now()
 WHERE organisation_id = @organisation_id::uuid AND id = @id AND purpose = 'invite' AND used_at IS NULL
RETURNING email::text AS email, role::text AS role;

-- name: TicketByToken :one
-- TicketByToken returns a link that can still be used, and whose it is.
SELECT t.id, t.purpose, t.user_id, t.organisation_id, t.role, t.invited_by, t.expires_at,
       coalesce(t.email, u.email)::text AS email, coalesce(o.name, '') AS organisation,
       coalesce(u.platform_admin, false) AS platform_admin,
       EXISTS (SELECT FROM auth.memberships m WHERE m.user_id = t.user_id) AS placed,
       EXISTS (SELECT FROM auth.users x WHERE x.email = coalesce(t.email, u.email) AND x.password_hash IS NOT NULL) AS has_password
  FROM auth.tickets t
  LEFT JOIN auth.users u ON u.id = t.user_id
  LEFT JOIN auth.organisations o ON o.id = t.organisation_id
 WHERE t.token_hash = @token_hash AND t.used_at IS NULL AND t.expires_at > now() AND u.disabled_at IS NULL;

-- name: UseTicket :execrows
-- UseTicket uses a link up, for one caller only.
UPDATE auth.tickets SET used_at = now() WHERE id = @id AND used_at IS NULL AND expires_at > now();

-- name: VoidTickets :exec
UPDATE auth.tickets SET used_at = now() WHERE user_id = @user_id::uuid AND used_at IS NULL;

-- name: BumpKeys :one
-- BumpKeys takes the next version of the keys; its row stays locked until the
-- transaction ends. Every change of what a key may do begins with it, and takes
-- no lock of another kind after it.
UPDATE auth.api_key_changes SET version = version + 1 RETURNING version;

-- name: InsertKey :one
-- InsertKey makes a key. Without networks, one that a key makes can be used where
-- that one can.
INSERT INTO auth.api_keys (id, public_id, organisation_id, user_id, name, scopes, secret_mac, pepper_key, expires_at, change, networks)
VALUES (@id, @public_id, @organisation_id, sqlc.narg('user_id'), @name, @scopes, @secret_mac, @pepper_key, sqlc.narg('expires_at'), @change,
        coalesce(nullif(CAST(@networks::text[] AS cidr[]), '{}'),
                 (SELECT p.networks FROM auth.api_keys p WHERE p.organisation_id = @organisation_id AND p.id = sqlc.narg('parent')), '{}'))
RETURNING created_at, expires_at, networks::text[] AS networks, coalesce((SELECT u.email FROM auth.users u WHERE u.id = user_id), '')::text AS owner;

-- name: Keys :many
-- Keys lists an organisation's keys, newest first; with an owner only that owner's.
SELECT k.id, k.public_id, k.name, k.scopes, k.networks::text[] AS networks, k.created_at, k.expires_at, k.last_used_at, k.revoked_at, k.user_id, coalesce(u.email, '') AS owner,
       (k.user_id IS NOT NULL AND (m.user_id IS NULL OR u.disabled_at IS NOT NULL))::boolean AS suspended
  FROM auth.api_keys k
  LEFT JOIN auth.users u ON u.id = k.user_id
  LEFT JOIN auth.memberships m ON m.organisation_id = k.organisation_id AND m.user_id = k.user_id
 WHERE k.organisation_id = @organisation_id AND (sqlc.narg('owner_id')::uuid IS NULL OR k.user_id = sqlc.narg('owner_id')::uuid)
 ORDER BY k.created_at DESC, k.id DESC;

-- name: KeyForRevocation :one
SELECT name, revoked_at FROM auth.api_keys
 WHERE organisation_id = @organisation_id AND id = @id
   AND (sqlc.narg('owner_id')::uuid IS NULL OR user_id = sqlc.narg('owner_id')::uuid);

-- name: RevokeKey :execrows
UPDATE auth.api_keys SET revoked_at = now(), change = @change
 WHERE organisation_id = @organisation_id AND id = @id AND revoked_at IS NULL;

-- name: KeyNetworks :one
SELECT networks::text[] AS networks FROM auth.api_keys WHERE organisation_id = @organisation_id AND id = @id;

-- name: SetKeyNetworks :execrows
UPDATE auth.api_keys SET networks = CAST(@networks::text[] AS cidr[]), change = @change
 WHERE organisation_id = @organisation_id AND id = @id
   AND (sqlc.narg('owner_id')::uuid IS NULL OR user_id = sqlc.narg('owner_id')::uuid);

-- name: MarkKeysOf :exec
-- MarkKeysOf makes replicas read a member's keys again.
UPDATE auth.api_keys SET change = @change WHERE organisation_id = @organisation_id AND user_id = @user_id AND revoked_at IS NULL;

-- name: KeyActor :one
-- KeyActor returns what a key may do now; no row when it may do nothing.
SELECT k.id, k.organisation_id, k.user_id, k.name, k.scopes, k.expires_at, m.role, u.platform_admin
  FROM auth.api_keys k
  LEFT JOIN auth.users u ON u.id = k.user_id
  LEFT JOIN auth.memberships m ON m.organisation_id = k.organisation_id AND m.user_id = k.user_id
 WHERE k.organisation_id = @organisation_id AND k.id = @id AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
   AND (k.user_id IS NULL OR (m.role IS NOT NULL AND u.disabled_at IS NULL));

-- name: KeyVersion :one
-- KeyVersion returns how often keys have changed.
SELECT version FROM auth.api_key_changes;

-- name: KeysSince :many
-- KeysSince returns what changed after a version, for every organisation: this
-- is the table by which a key finds its organisation. Keys revoked long ago are
-- left out, so they are answered as unknown.
SELECT k.id, k.public_id, k.organisation_id, k.user_id, k.name, k.scopes, k.networks::text[] AS networks, k.secret_mac, k.expires_at, k.revoked_at, k.change,
       m.role, u.disabled_at
  FROM auth.api_keys k
  LEFT JOIN auth.users u ON u.id = k.user_id
  LEFT JOIN auth.memberships m ON m.organisation_id = k.organisation_id AND m.user_id = k.user_id
 WHERE k.change > @since::bigint
   AND (k.revoked_at IS NULL OR k.revoked_at > now() - interval '30 days');

-- name: TouchKeys :exec
-- TouchKeys notes when keys were last used, never going back. Rows are locked in
-- the order of their ids, so that two replicas cannot wait for each other.
WITH used AS (
  SELECT unnest(@ids::uuid[]) AS id, unnest(@ats::timestamptz[]) AS at
), locked AS (
  SELECT k.id FROM auth.api_keys k WHERE k.id = ANY (@ids::uuid[]) ORDER BY k.id FOR NO KEY UPDATE
)
UPDATE auth.api_keys k SET last_used_at = greatest(k.last_used_at, used.at)
  FROM used JOIN locked ON locked.id = used.id
 WHERE k.id = used.id;

-- name: InsertAudit :exec
-- InsertAudit adds a line. Who comes without a name is called as its key is, or as its member.
INSERT INTO auth.audit (organisation_id, actor, actor_name, action, object, detail, ip, request_id)
VALUES (sqlc.narg('organisation_id'), @actor, coalesce(nullif(@actor_name::text, ''),
         (SELECT k.name FROM auth.api_keys k WHERE k.id = sqlc.narg('key_id') AND k.organisation_id = sqlc.narg('organisation_id')),
         (SELECT u.email FROM auth.users u WHERE u.id = sqlc.narg('user_id')), @actor),
        @action, @object, @detail, @ip, @request_id);

-- name: AuditPage :many
-- AuditPage returns an organisation's audit, newest first, before an entry (0: from
-- the newest). An object that is told by its id is named as the line itself names
-- it, or as it is called now; a session is its actor's own. People in the lines of
-- an organisation are or were its members, and keep their address.
SELECT id, actor, actor_name, action, object, detail, ip, request_id, at,
       coalesce(detail ->> 'name', detail ->> 'email', CASE kind
         WHEN 'session' THEN actor_name
         WHEN 'model' THEN detail ->> 'model'
         WHEN 'price' THEN detail ->> 'model'
         WHEN 'key' THEN (SELECT k.name FROM auth.api_keys k WHERE k.id = page.ref AND k.organisation_id = @organisation_id::uuid)
         WHEN 'organisation' THEN (SELECT o.name FROM auth.organisations o WHERE o.id = page.ref AND o.id = @organisation_id::uuid)
         WHEN 'member' THEN (SELECT u.email FROM auth.users u WHERE u.id = page.ref)
         WHEN 'user' THEN (SELECT u.email FROM auth.users u WHERE u.id = page.ref)
       END, '')::text AS object_name
  FROM (SELECT a.*, split_part(a.action, '.', 1) AS kind,
               CASE WHEN a.object ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN a.object::uuid END AS ref
          FROM auth.audit a
         WHERE a.organisation_id = @organisation_id::uuid AND (@before::bigint = 0 OR a.id < @before::bigint)
         ORDER BY a.id DESC LIMIT @page_size) page
 ORDER BY id DESC;

-- name: BeginRequest :one
-- BeginRequest claims an idempotency key. One that a process has left unfinished
-- for five minutes may be claimed again by the same request. No row when it is
-- claimed; the time of the claim is the proof of it.
INSERT INTO auth.idempotency AS i (organisation_id, key, request_hash) VALUES (@organisation_id, @key, @request_hash)
ON CONFLICT (organisation_id, key) DO UPDATE SET
  request_hash = excluded.request_hash, status = NULL, body = NULL, content_type = '', created_at = now()
 WHERE i.created_at < now() - interval '24 hours'
    OR (i.status IS NULL AND i.request_hash = excluded.request_hash AND i.created_at < now() - interval '5 minutes')
RETURNING created_at;

-- name: RequestByKey :one
SELECT request_hash, status, content_type, body FROM auth.idempotency WHERE organisation_id = @organisation_id AND key = @key;

-- name: FinishRequest :execrows
UPDATE auth.idempotency SET status = @status::int, content_type = @content_type, body = @body
 WHERE organisation_id = @organisation_id AND key = @key AND created_at = @claimed_at AND status IS NULL;

-- name: AbandonRequest :exec
DELETE FROM auth.idempotency WHERE organisation_id = @organisation_id AND key = @key AND created_at = @claimed_at AND status IS NULL;

-- name: SweepSessions :execrows
DELETE FROM auth.sessions WHERE least(expires_at, revoked_at) < now() - interval '30 days';

-- name: SweepTickets :execrows
DELETE FROM auth.tickets WHERE least(expires_at, used_at) < now() - interval '30 days';

-- name: SweepThrottles :execrows
DELETE FROM auth.throttles WHERE last_at < now() - interval '1 day';

-- name: SweepRequests :execrows
DELETE FROM auth.idempotency WHERE created_at < now() - interval '24 hours';

-- name: SweepAudit :execrows
-- SweepAudit deletes the oldest lines of the audit that were written so many days
-- ago, up to a number of them. Ids follow time, so only as many lines are looked at.
DELETE FROM auth.audit WHERE id IN (
  SELECT oldest.id FROM (SELECT a.id, a.at FROM auth.audit a ORDER BY a.id LIMIT @batch) oldest
   WHERE oldest.at < now() - make_interval(days => @days::int));

-- name: MemberRole :one
SELECT role FROM auth.memberships WHERE organisation_id = @organisation_id AND user_id = @user_id;

-- name: IsMember :one
SELECT EXISTS (SELECT FROM auth.memberships m JOIN auth.users u ON u.id = m.user_id
                WHERE m.organisation_id = @organisation_id AND u.email = @email);
