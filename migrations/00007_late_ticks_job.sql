-- +goose Up
-- The oldest trade time that is still accepted: older ones fall behind the
-- retention of ticks or of their candles, and a candle there could only be
-- rebuilt from what is left of it. Migration 00008 gives it its meaning.
CREATE FUNCTION tick_horizon() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN NULL::timestamptz;
COMMENT ON FUNCTION tick_horizon() IS 'Ticks older than this are not accepted, for retention has reached them. NULL: all are.';
REVOKE EXECUTE ON FUNCTION tick_horizon() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tick_horizon() TO hypertick_reader, hypertick_writer;

-- Moves late ticks on. Each transaction takes one narrow range of time, so
-- that TimescaleDB invalidates just that range: the rows from the oldest
-- waiting one to the first pause of more than max_gap, at most max_rows.
-- +goose StatementBegin
CREATE PROCEDURE _hypertick.move_late_ticks(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    max_gap  CONSTANT interval := coalesce(config ->> 'max_gap', '5 minutes')::interval;
    max_rows CONSTANT int := coalesce((config ->> 'max_rows')::int, 50000);
    upto     timestamptz;
BEGIN
    LOOP
        -- Rows of the range's last ts go together, even past max_rows: the
        -- next range must begin after it.
        SELECT pg_catalog.max(r.ts) INTO upto
        FROM (
            SELECT w.ts, pg_catalog.bool_or(w.pause) OVER (ORDER BY w.ts ROWS UNBOUNDED PRECEDING) AS beyond
            FROM (
                SELECT l.ts, l.ts - pg_catalog.lag(l.ts) OVER (ORDER BY l.ts) > max_gap AS pause
                FROM (SELECT t.ts FROM public.late_ticks t ORDER BY t.ts LIMIT max_rows) l
            ) w
        ) r
        WHERE r.beyond IS NOT TRUE;
        EXIT WHEN upto IS NULL;

        WITH moved AS (
            DELETE FROM public.late_ticks l WHERE l.ts <= upto
            RETURNING l.ts, l.symbol, l.price, l.size, l.seq, l.venue
        )
        INSERT INTO public.ticks (ts, symbol, price, size, seq, venue)
        SELECT m.ts, m.symbol, m.price, m.size, m.seq, m.venue FROM moved m;
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.move_late_ticks(int, jsonb) IS 'Job: moves late_ticks into ticks, one narrow time range a transaction. config: max_gap, max_rows.';
REVOKE EXECUTE ON PROCEDURE _hypertick.move_late_ticks(int, jsonb) FROM PUBLIC;

SELECT add_job('_hypertick.move_late_ticks', INTERVAL '5 seconds',
    config => '{"max_gap": "5 minutes", "max_rows": 50000}', fixed_schedule => false);

-- +goose Down
SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE proc_schema = '_hypertick' AND proc_name = 'move_late_ticks';
DROP PROCEDURE _hypertick.move_late_ticks(int, jsonb);
DROP FUNCTION tick_horizon();
