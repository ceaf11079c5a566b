-- name: LockCatalogue :exec
-- LockCatalogue lets one transaction at a time load the shipped catalogue.
SELECT pg_advisory_xact_lock(7102002);

-- name: UpsertProvider :exec
INSERT INTO catalog.providers (code, title) VALUES (@code, @title)
ON CONFLICT (code) DO UPDATE SET title = excluded.title;

-- name: UpsertZone :exec
INSERT INTO catalog.zones (provider, code, title, region) VALUES (@provider, @code, @title, @region)
ON CONFLICT (provider, code) DO UPDATE SET title = excluded.title, region = excluded.region;

-- name: UpsertType :exec
INSERT INTO catalog.types (provider, code, gpu, gpu_count, gpu_vram_gb, cpu_count, ram_gb, bandwidth_mbps)
VALUES (@provider, @code, @gpu, @gpu_count, @gpu_vram_gb, @cpu_count, @ram_gb, @bandwidth_mbps)
ON CONFLICT (provider, code) DO UPDATE
   SET gpu = excluded.gpu, gpu_count = excluded.gpu_count, gpu_vram_gb = excluded.gpu_vram_gb,
       cpu_count = excluded.cpu_count, ram_gb = excluded.ram_gb, bandwidth_mbps = excluded.bandwidth_mbps;

-- name: UpsertShippedOffer :exec
-- UpsertShippedOffer leaves alone what a provider has told since.
INSERT INTO catalog.offers (provider, zone, type, price_per_hour, active)
VALUES (@provider, @zone, @type, @price_per_hour, @active)
ON CONFLICT (provider, zone, type) DO UPDATE
   SET price_per_hour = excluded.price_per_hour, active = excluded.active
 WHERE offers.checked_at = 'epoch';

-- name: UpsertShippedModel :one
INSERT INTO catalog.models (id, name, title, kind, required_vram_gb, context_length, volume_gb, simulated, engine, shipped)
VALUES (@id, @name, @title, @kind, @required_vram_gb, @context_length, @volume_gb, @simulated, @engine, true)
ON CONFLICT (name) WHERE organisation_id IS NULL DO UPDATE
   SET title = excluded.title, kind = excluded.kind, required_vram_gb = excluded.required_vram_gb,
       context_length = excluded.context_length, volume_gb = excluded.volume_gb, simulated = excluded.simulated,
       engine = excluded.engine, active = models.active OR NOT models.shipped, shipped = true
RETURNING id;

-- name: RetireShippedModels :exec
-- RetireShippedModels takes models that are shipped no more out of the choice;
-- what runs goes on.
UPDATE catalog.models SET active = false, shipped = false WHERE shipped AND name <> ALL (@names::text[]);

-- name: InsertShippedPrice :exec
-- InsertShippedPrice adds a version when the shipped price is new, unless
-- somebody has set another one since.
INSERT INTO catalog.prices (model_id, input, output, created_by)
SELECT @model_id, @input, @output, 'catalogue'
 WHERE NOT EXISTS (
   SELECT FROM (SELECT input, output, created_by FROM catalog.prices
                 WHERE model_id = @model_id AND organisation_id IS NULL ORDER BY id DESC LIMIT 1) newest
    WHERE newest.created_by <> 'catalogue' OR (newest.input = @input AND newest.output = @output));

-- name: Models :many
-- Models are the organisation's own and the platform's that it does not
-- replace by one of its own, each with the price in force for it.
SELECT DISTINCT ON (m.name)
       m.id, m.organisation_id, m.name, m.title, m.kind, m.required_vram_gb, m.context_length, m.volume_gb, m.simulated,
       m.engine, m.active, m.shipped, m.created_at, coalesce(p.id, 0)::bigint AS price_id, p.organisation_id AS price_organisation_id,
       coalesce(p.input, 0)::numeric AS input, coalesce(p.output, 0)::numeric AS output
  FROM catalog.models m
  LEFT JOIN LATERAL (
    SELECT v.id, v.organisation_id, v.input, v.output FROM catalog.prices v
     WHERE v.model_id = m.id AND (v.organisation_id IS NULL OR v.organisation_id = @organisation_id)
     ORDER BY v.organisation_id IS NULL, v.id DESC LIMIT 1) p ON true
 WHERE m.organisation_id IS NULL OR m.organisation_id = @organisation_id
 ORDER BY m.name, m.organisation_id IS NULL;

-- name: InsertModel :exec
INSERT INTO catalog.models (id, organisation_id, name, title, kind, required_vram_gb, context_length, volume_gb, simulated, engine)
VALUES (@id, @organisation_id, @name, @title, @kind, @required_vram_gb, @context_length, @volume_gb, @simulated, @engine);

-- name: EnsureModel :one
-- EnsureModel adds a model that neither the organisation nor the platform has.
INSERT INTO catalog.models (id, organisation_id, name, title, required_vram_gb, context_length, volume_gb)
SELECT @id, @organisation_id, @name, @name, 0, 0, 0
 WHERE NOT EXISTS (SELECT FROM catalog.models WHERE name = @name AND organisation_id IS NULL)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: InsertPrice :one
INSERT INTO catalog.prices (model_id, organisation_id, input, output, created_by)
VALUES (@model_id, @organisation_id, @input, @output, @created_by) RETURNING id;

-- name: PricesOf :many
-- PricesOf are the versions that have been in force for the organisation, newest first.
SELECT id, organisation_id, input, output, created_by, created_at FROM catalog.prices
 WHERE model_id = @model_id AND (organisation_id IS NULL OR organisation_id = @organisation_id)
 ORDER BY id DESC LIMIT 100;

-- name: PriceBook :many
-- PriceBook is the newest version of each organisation's, and the platform's, price of each model name.
SELECT DISTINCT ON (p.organisation_id, m.name) p.id, p.organisation_id, m.name, p.input, p.output
  FROM catalog.prices p JOIN catalog.models m ON m.id = p.model_id
 ORDER BY p.organisation_id, m.name, m.organisation_id IS NULL, p.id DESC;

-- name: Offers :many
SELECT o.provider, o.zone, o.type, o.price_per_hour, o.stock, o.active, o.checked_at,
       z.title AS zone_title, z.region, t.gpu, t.gpu_count, t.gpu_vram_gb, t.cpu_count, t.ram_gb, t.bandwidth_mbps
  FROM catalog.offers o
  JOIN catalog.zones z ON z.provider = o.provider AND z.code = o.zone
  JOIN catalog.types t ON t.provider = o.provider AND t.code = o.type
 ORDER BY o.provider, o.price_per_hour, o.zone, o.type;

-- name: RefreshOffers :execrows
-- RefreshOffers writes what providers say of price and stock now. An offer of a
-- zone or type that the catalogue does not know is left out.
INSERT INTO catalog.offers (provider, zone, type, price_per_hour, stock, checked_at)
SELECT new.provider, new.zone, new.type, new.price_per_hour, new.stock, now()
  FROM (SELECT unnest(@providers::text[]) AS provider, unnest(@zones::text[]) AS zone, unnest(@types::text[]) AS type,
               unnest(@prices::numeric[]) AS price_per_hour, unnest(@stocks::text[]) AS stock) new
  JOIN catalog.zones z ON z.provider = new.provider AND z.code = new.zone
  JOIN catalog.types t ON t.provider = new.provider AND t.code = new.type
 ORDER BY new.provider, new.zone, new.type
ON CONFLICT (provider, zone, type) DO UPDATE
   SET price_per_hour = excluded.price_per_hour, stock = excluded.stock, checked_at = now();
