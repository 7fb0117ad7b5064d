-- The extension, the roles everything else is granted to, and the schemas.
CREATE EXTENSION IF NOT EXISTS timescaledb;

-- Roles belong to the cluster, not to the database: another database of the
-- same server may have made them already, perhaps at this very moment. What is
-- right already is not touched: its row would stay locked until this migration
-- ends, and every other one would wait.
DO $$
DECLARE
    role record;
    line text;
BEGIN
    FOR role IN
        SELECT * FROM (VALUES
            ('hypertick_reader', ARRAY['statement_timeout=15s', 'default_transaction_read_only=on'],
             'Hypertick: reads everything public, writes nothing. For the API and Grafana. '
             'No password until one is set.'),
            ('hypertick_writer', '{}',
             'Hypertick: appends ticks and moves ingest positions. For ingest. No password until one is set.'),
            ('hypertick_operator', ARRAY['statement_timeout=15s'],
             'Hypertick: reads everything public, writes alert rules and the state of notifications. '
             'For the API''s writes and the notifier. No password until one is set.')
        ) r(name, settings, comment)
    LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role.name) THEN
                EXECUTE format('CREATE ROLE %I LOGIN', role.name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        BEGIN
            FOR line IN
                SELECT s.line FROM unnest(role.settings) s(line)
                WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role.name AND s.line = ANY (r.rolconfig))
            LOOP
                EXECUTE format('ALTER ROLE %I SET %I = %L', role.name,
                               split_part(line, '=', 1), split_part(line, '=', 2));
            END LOOP;
            IF (SELECT shobj_description(r.oid, 'pg_authid') FROM pg_roles r WHERE r.rolname = role.name)
               IS DISTINCT FROM role.comment THEN
                EXECUTE format('COMMENT ON ROLE %I IS %L', role.name, role.comment);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            IF sqlerrm !~ 'tuple concurrently updated' THEN
                RAISE;
            END IF;
        END;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO hypertick_writer, hypertick_reader, hypertick_operator;

CREATE SCHEMA _hypertick;
COMMENT ON SCHEMA _hypertick IS 'Private helpers of Hypertick. They may change with every release.';
GRANT USAGE ON SCHEMA _hypertick TO hypertick_writer, hypertick_reader, hypertick_operator;

CREATE SCHEMA indicator;
COMMENT ON SCHEMA indicator IS
    'Indicators: every function that takes (symbol, interval, from, to, ...) and returns SETOF indicator.point is '
    'one. Also the mergeable states they are computed from.';
GRANT USAGE ON SCHEMA indicator TO hypertick_reader, hypertick_writer, hypertick_operator;
-- A migration that adds an indicator needs no GRANT.
ALTER DEFAULT PRIVILEGES IN SCHEMA indicator GRANT EXECUTE ON FUNCTIONS TO hypertick_reader, hypertick_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA indicator GRANT SELECT ON TABLES TO hypertick_reader, hypertick_writer;

CREATE SCHEMA alert;
COMMENT ON SCHEMA alert IS 'Alert rules, the events they found, and the notifications about them.';
GRANT USAGE ON SCHEMA alert TO hypertick_reader, hypertick_operator;

-- Which baseline made this database. Until 0.1.0 a database of another one is
-- not upgraded but refused; the baseline migration inserts the row.
CREATE TABLE _hypertick.baseline (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    checksum text    NOT NULL
);
COMMENT ON TABLE _hypertick.baseline IS 'The baseline migration that made this database: one row.';
COMMENT ON COLUMN _hypertick.baseline.one IS 'Always true.';
COMMENT ON COLUMN _hypertick.baseline.checksum IS 'SHA-256 of the baseline.';
GRANT SELECT ON _hypertick.baseline TO hypertick_reader, hypertick_writer, hypertick_operator;
