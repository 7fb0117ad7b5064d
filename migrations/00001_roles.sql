-- +goose Up
-- The extension, the two roles everything else is granted to, and the schema
-- of private helpers.
CREATE EXTENSION IF NOT EXISTS timescaledb;

-- Roles belong to the cluster, not the database, so another database of the
-- same server may have made them already (perhaps at this very moment).
-- +goose StatementBegin
DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['hypertick_reader', 'hypertick_writer'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r) THEN
                EXECUTE pg_catalog.format('CREATE ROLE %I LOGIN', r);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    -- Cluster-wide rows: two databases migrating at once may collide on them.
    BEGIN
        ALTER ROLE hypertick_reader SET statement_timeout = '15s';
        ALTER ROLE hypertick_reader SET default_transaction_read_only = on;
        COMMENT ON ROLE hypertick_reader IS 'Hypertick: reads everything public, writes nothing. Used by the API and Grafana. Has no password until one is set.';
        COMMENT ON ROLE hypertick_writer IS 'Hypertick: appends ticks and moves ingest positions. Used by ingest. Has no password until one is set.';
    EXCEPTION WHEN OTHERS THEN
        IF sqlerrm !~ 'tuple concurrently updated' THEN
            RAISE;
        END IF;
    END;
END
$$;
-- +goose StatementEnd

CREATE SCHEMA _hypertick;
COMMENT ON SCHEMA _hypertick IS 'Private helpers of Hypertick. No promise is made about them.';
GRANT USAGE ON SCHEMA _hypertick TO hypertick_writer, hypertick_reader;
GRANT USAGE ON SCHEMA public TO hypertick_writer, hypertick_reader;

-- +goose Down
DROP SCHEMA _hypertick;
REVOKE USAGE ON SCHEMA public FROM hypertick_writer, hypertick_reader;
-- Another database of this server may still use the roles: then they stay.
-- +goose StatementBegin
DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['hypertick_reader', 'hypertick_writer'] LOOP
        BEGIN
            EXECUTE pg_catalog.format('DROP ROLE %I', r);
        EXCEPTION
            WHEN dependent_objects_still_exist THEN
                RAISE NOTICE 'role % is still used by another database and stays', r;
            WHEN undefined_object THEN
                NULL;
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd
