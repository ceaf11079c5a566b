-- +goose Up
-- What did not go well is rare among millions of requests that did, and is what
-- people look for. Later partitions get the index when they are attached.
CREATE INDEX usage_records_failed_idx ON gateway.usage_records (organisation_id, started_at DESC) WHERE status <> 'completed';

-- A first server did not take the request, and another one, the upstream, was asked.
ALTER TABLE gateway.usage_records ADD COLUMN retried boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE gateway.usage_records DROP COLUMN retried;
DROP INDEX gateway.usage_records_failed_idx;
