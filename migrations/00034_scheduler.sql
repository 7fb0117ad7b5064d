-- +goose Up
-- The setting is defined by TimescaleDB's loader, and only where the server
-- preloads it; unlike shared_preload_libraries every role may read it.
CREATE FUNCTION _hypertick.has_scheduler() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN pg_catalog.current_setting('timescaledb.max_background_workers', true) IS NOT NULL;
COMMENT ON FUNCTION _hypertick.has_scheduler() IS 'Whether TimescaleDB''s own background workers run here: they need the library to be preloaded, which the embedded database cannot do.';
REVOKE EXECUTE ON FUNCTION _hypertick.has_scheduler() FROM PUBLIC;

-- +goose Down
DROP FUNCTION _hypertick.has_scheduler();
