-- +goose Up
-- When a process last had a tunnel to a node that did not report. Null, or old,
-- of a node that reports: then nobody writes it.
ALTER TABLE instance.nodes ADD COLUMN linked_at timestamptz;

-- +goose Down
ALTER TABLE instance.nodes DROP COLUMN linked_at;
