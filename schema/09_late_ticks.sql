-- Late ticks: how they get into ticks, and which bars they change. Ticks that are
-- cancelled or corrected change bars the same way (see 09_tick_changes.sql).
--
-- Whoever shows bars wants to read just those again that changed (GET
-- /v1/stream follows them). Three steps, because a late tick shows in a bar only
-- once the continuous aggregates have been refreshed:
--   late_arrivals      ingest, and the jobs, note where ticks came late or went;
--   awaited_revisions  the bars they belong to, until each level shows them;
--   bar_revisions      the result, in the order in which it could be seen.
-- Ticks in order cost nothing here: only what comes after its minute is noted.

CREATE TABLE _hypertick.late_arrivals (
    at        timestamptz      NOT NULL DEFAULT clock_timestamp(),
    symbol    text COLLATE "C" NOT NULL,
    venue     text COLLATE "C" NOT NULL,
    after_seq bigint           NOT NULL,
    last_seq  bigint           NOT NULL,
    oldest    timestamptz      NOT NULL,
    newest    timestamptz      NOT NULL,
    undone    boolean          NOT NULL DEFAULT false
);
COMMENT ON TABLE _hypertick.late_arrivals IS
    'Ticks stored after the minute they belong to, one row per batch and feed. A job empties it within seconds.';
COMMENT ON COLUMN _hypertick.late_arrivals.at IS 'When they were stored.';
COMMENT ON COLUMN _hypertick.late_arrivals.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN _hypertick.late_arrivals.venue IS 'See ticks.venue.';
COMMENT ON COLUMN _hypertick.late_arrivals.after_seq IS 'Every seq of the batch is above it.';
COMMENT ON COLUMN _hypertick.late_arrivals.last_seq IS 'Highest seq of the batch.';
COMMENT ON COLUMN _hypertick.late_arrivals.oldest IS 'Oldest ts of the batch.';
COMMENT ON COLUMN _hypertick.late_arrivals.newest IS 'Newest ts of the batch.';
COMMENT ON COLUMN _hypertick.late_arrivals.undone IS
    'Every minute from oldest to newest has changed: ticks of it are gone or have other values.';
GRANT SELECT ON _hypertick.late_arrivals TO hypertick_reader, hypertick_writer;
GRANT INSERT ON _hypertick.late_arrivals TO hypertick_writer;

CREATE TABLE _hypertick.awaited_revisions (
    symbol     text COLLATE "C" NOT NULL,
    "interval" text             NOT NULL,
    bucket     timestamptz      NOT NULL,
    whole      boolean          NOT NULL,
    undone     boolean          NOT NULL DEFAULT false,
    since      timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, "interval", bucket)
);
COMMENT ON TABLE _hypertick.awaited_revisions IS
    'Bars that late ticks belong to, or that ticks were taken out of, and that do not show it yet.';
COMMENT ON COLUMN _hypertick.awaited_revisions.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN _hypertick.awaited_revisions."interval" IS 'Interval of the bar.';
COMMENT ON COLUMN _hypertick.awaited_revisions.bucket IS 'Start of the bar.';
COMMENT ON COLUMN _hypertick.awaited_revisions.whole IS 'See bar_revisions.whole.';
COMMENT ON COLUMN _hypertick.awaited_revisions.undone IS 'See bar_revisions.undone.';
COMMENT ON COLUMN _hypertick.awaited_revisions.since IS 'When the job first listed it.';
GRANT SELECT ON _hypertick.awaited_revisions TO hypertick_reader;

CREATE TABLE bar_revisions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol     text COLLATE "C" NOT NULL,
    "interval" text             NOT NULL,
    bucket     timestamptz      NOT NULL,
    whole      boolean          NOT NULL DEFAULT false,
    undone     boolean          NOT NULL DEFAULT false,
    at         timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX bar_revisions_at_idx ON bar_revisions (at);
COMMENT ON TABLE bar_revisions IS
    'Closed bars of the materialised intervals that have changed, by late ticks or because ticks were cancelled or '
    'corrected, listed when the change can be read. Kept for a day.';
COMMENT ON COLUMN bar_revisions.id IS
    'Rises in the order in which revisions become visible: a reader that has seen id n has seen all below.';
COMMENT ON COLUMN bar_revisions.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN bar_revisions."interval" IS
    'Interval of the bar. Bars that are rolled up at read have changed where those they are made of have.';
COMMENT ON COLUMN bar_revisions.bucket IS 'Start of the bar, UTC.';
COMMENT ON COLUMN bar_revisions.whole IS
    'More than a day of the symbol changed at once, a backfill: its other bars are not listed.';
COMMENT ON COLUMN bar_revisions.undone IS
    'Ticks of it were cancelled or corrected: it, or shorter bars in it, may be gone. Such a bar is listed even '
    'before it closes.';
COMMENT ON COLUMN bar_revisions.at IS 'When it was listed.';
COMMENT ON INDEX bar_revisions_at_idx IS 'Finds what is older than a day.';
GRANT SELECT ON bar_revisions TO hypertick_reader, hypertick_writer;

-- Each transaction takes one narrow range of time, so that TimescaleDB
-- invalidates just that range: the rows from the oldest waiting one to the first
-- pause of more than max_gap, at most max_rows. Within a wide chunk a pause does not
-- count: there the history is thin, its refresh costs little, and a transaction for each
-- tick would cost much. No SET search_path here: a procedure with one may not COMMIT.
CREATE PROCEDURE _hypertick.move_late_ticks(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    max_gap  CONSTANT interval := coalesce(config ->> 'max_gap', '5 minutes')::interval;
    max_rows CONSTANT int := coalesce((config ->> 'max_rows')::int, 50000);
    upto     timestamptz;
BEGIN
    PERFORM public.widen_history(min(t.ts), max(t.ts), count(*))
    FROM public.late_ticks t WHERE t.ts < now() - INTERVAL '35 days'
    HAVING count(*) > 0;
    COMMIT;
    LOOP
        -- Rows of the range's last ts go together, even past max_rows: the next
        -- range must begin after it.
        SELECT max(waiting.ts) INTO upto
        FROM (
            SELECT gapped.ts, bool_or(gapped.pause) OVER (ORDER BY gapped.ts ROWS UNBOUNDED PRECEDING) AS beyond
            FROM (
                SELECT oldest.ts,
                       oldest.ts - lag(oldest.ts) OVER rising > max_gap
                       AND (wide.range_start = lag(wide.range_start) OVER rising) IS NOT TRUE AS pause
                FROM (SELECT t.ts FROM public.late_ticks t ORDER BY t.ts LIMIT max_rows) oldest
                LEFT JOIN _hypertick.wide_chunks wide ON oldest.ts >= wide.range_start AND oldest.ts < wide.range_end
                WINDOW rising AS (ORDER BY oldest.ts)
            ) gapped
        ) waiting
        WHERE waiting.beyond IS NOT TRUE;
        EXIT WHEN upto IS NULL;

        WITH moved AS (
            DELETE FROM public.late_ticks l WHERE l.ts <= upto
            RETURNING l.ts, l.symbol, l.price, l.size, l.seq, l.venue, l.side, l.flags
        ), noted AS (
            INSERT INTO _hypertick.late_arrivals (symbol, venue, after_seq, last_seq, oldest, newest)
            SELECT m.symbol, m.venue, min(m.seq) - 1, max(m.seq), min(m.ts), max(m.ts)
            FROM moved m GROUP BY m.symbol, m.venue, public.time_bucket(INTERVAL '1 minute', m.ts)
        )
        INSERT INTO public.ticks (ts, symbol, price, size, seq, venue, side, flags)
        SELECT m.ts, m.symbol, m.price, m.size, m.seq, m.venue, m.side, m.flags FROM moved m;
        COMMIT;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE _hypertick.move_late_ticks(int, jsonb) IS
    'Job: moves late_ticks into ticks, one narrow time range a transaction. config: max_gap, max_rows.';
REVOKE EXECUTE ON PROCEDURE _hypertick.move_late_ticks(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.move_late_ticks', INTERVAL '5 seconds',
    config => '{"max_gap": "5 minutes", "max_rows": 50000}', fixed_schedule => false);

CREATE FUNCTION _hypertick.same_bar(a candle, b candle) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Sums differ in their last digits by the order of what they add up. Where
    -- prices are below 0 a notional may be small while what it adds up is not.
    SELECT (a.trades, a.open, a.high, a.low, a.close) IS NOT DISTINCT FROM (b.trades, b.open, b.high, b.low, b.close)
       AND bool_and(s.x IS NOT DISTINCT FROM s.y
                    OR coalesce(abs(s.x - s.y) <= (1e-12 + 2e-16 * a.trades) * s.size, false))
    FROM (VALUES (a.volume, b.volume, b.volume),
                 (a.buy_volume, b.buy_volume, b.volume),
                 (a.notional, b.notional,
                  greatest(abs(b.notional), b.volume * abs(b.high), b.volume * abs(b.low)))) s(x, y, size)
$$;
COMMENT ON FUNCTION _hypertick.same_bar(candle, candle) IS
    'Whether two bars are the same: count and prices as they are, sums up to rounding. A bar that is all NULL is one '
    'that does not exist.';
REVOKE EXECUTE ON FUNCTION _hypertick.same_bar(candle, candle) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.same_bar(candle, candle) TO hypertick_reader, hypertick_writer;

CREATE PROCEDURE _hypertick.note_revisions(job_id int, config jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    -- A bar closes when its end has passed by some seconds: what comes before
    -- that changes no closed bar.
    grace  CONSTANT interval := coalesce(config ->> 'grace', '2 seconds')::interval;
    keep   CONSTANT interval := coalesce(config ->> 'keep', '25 hours')::interval;
    flood  CONSTANT interval := coalesce(config ->> 'flood', '1 day')::interval;
    -- Intervals of seconds share no bucket but the second.
    grain  CONSTANT interval := (SELECT CASE WHEN min(i.width) < '1 minute' THEN '1 second' ELSE '1 minute' END
                                 FROM public.intervals i WHERE i.materialized);
    -- A flood is listed once, by a bar of the widest interval below a day.
    coarse CONSTANT text := (SELECT i."interval" FROM public.intervals i
                             WHERE i.materialized AND i.width <= '1 hour' ORDER BY i.width DESC LIMIT 1);
    level  record;
BEGIN
    -- One writer at a time, so that ids become visible in their order.
    PERFORM pg_advisory_xact_lock(hashtext('_hypertick.note_revisions'));

    WITH taken AS (
        DELETE FROM _hypertick.late_arrivals a RETURNING a.*
    ), feeds AS (
        SELECT t.symbol, sum(t.newest - t.oldest) > flood AS whole FROM taken t GROUP BY t.symbol
    ), touched AS (
        -- The rows say from where to where a batch reached, the ticks which
        -- minutes it touched.
        SELECT t.symbol, k.start, t.at, false AS whole, t.undone
        FROM taken t
        JOIN feeds f ON f.symbol = t.symbol AND NOT f.whole
        CROSS JOIN LATERAL (
            SELECT DISTINCT public.time_bucket(grain, tick.ts) AS start
            FROM public.ticks tick
            WHERE NOT t.undone AND tick.symbol = t.symbol AND tick.ts >= t.oldest AND tick.ts <= t.newest
              AND tick.venue = t.venue AND tick.seq > t.after_seq AND tick.seq <= t.last_seq
            UNION ALL
            SELECT g.start
            FROM generate_series(public.time_bucket(grain, t.oldest), t.newest, grain) g(start)
            WHERE t.undone
        ) k
        UNION ALL
        SELECT t.symbol, public.time_bucket(grain, min(t.oldest)), max(t.at), true, bool_or(t.undone)
        FROM taken t JOIN feeds f ON f.symbol = t.symbol AND f.whole
        GROUP BY t.symbol
    ), bars AS (
        -- A forming bar is made of ticks as they come. Whoever made it so must be
        -- told when one of them is gone.
        SELECT k.symbol, i."interval", public.time_bucket(i.width, k.start) AS bucket, bool_or(k.whole) AS whole,
               bool_or(k.undone) AS undone
        FROM touched k CROSS JOIN public.intervals i
        WHERE i.materialized
          AND (k.undone OR _hypertick.bucket_end(public.time_bucket(i.width, k.start), i.width) <= k.at - grace)
          AND (NOT k.whole OR i."interval" = coarse)
        GROUP BY 1, 2, 3
    )
    INSERT INTO _hypertick.awaited_revisions AS awaited (symbol, "interval", bucket, whole, undone)
    SELECT b.symbol, b."interval", b.bucket, b.whole, b.undone FROM bars b
    ON CONFLICT (symbol, "interval", bucket) DO UPDATE
    SET whole = awaited.whole OR excluded.whole, undone = awaited.undone OR excluded.undone;

    -- A bar shows what happened to its ticks when it is what its source makes of it
    -- (nothing at all, where they are gone), and that in turn is awaited no more.
    -- Bars are read by a function: where the materialisation is behind, a join with
    -- the aggregate would compute all that is not materialised for each of them.
    FOR level IN
        SELECT i."interval", i.width, i.source, whole.whole,
               CASE WHEN whole.whole OR i.source IS NULL THEN 'ticks' ELSE 'candles_' || i.source END AS made_of
        FROM public.intervals i CROSS JOIN (VALUES (false), (true)) whole(whole)
        WHERE i.materialized
          AND EXISTS (SELECT FROM _hypertick.awaited_revisions a
                      WHERE a."interval" = i."interval" AND a.whole = whole.whole)
        ORDER BY i.width
    LOOP
        EXECUTE format($q$
            WITH waiting AS MATERIALIZED (
                SELECT a.symbol, a.bucket, _hypertick.bucket_end(a.bucket, $3) AS until
                FROM _hypertick.awaited_revisions a WHERE a."interval" = $1 AND a.whole = $4
                ORDER BY a.since LIMIT 5000
            ), shown AS (
                SELECT w.symbol, w.bucket
                FROM waiting w
                LEFT JOIN LATERAL _hypertick.raw_candles(w.symbol, $1, w.bucket, w.until) bar ON true
                LEFT JOIN LATERAL (
                    SELECT %1$s FROM %2$s GROUP BY 1, 2
                ) made ON true
                WHERE NOT EXISTS (
                        SELECT FROM _hypertick.awaited_revisions below
                        WHERE below.symbol = w.symbol AND below."interval" = $2
                          AND below.bucket >= w.bucket AND below.bucket < w.until)
                  AND _hypertick.same_bar(ROW(bar.*)::public.candle, ROW(made.*)::public.candle)
            ), done AS (
                DELETE FROM _hypertick.awaited_revisions w USING shown s
                WHERE w."interval" = $1 AND w.symbol = s.symbol AND w.bucket = s.bucket
                RETURNING w.symbol, w.bucket, w.whole, w.undone
            )
            INSERT INTO public.bar_revisions (symbol, "interval", bucket, whole, undone)
            SELECT d.symbol, $1, d.bucket, d.whole, d.undone FROM done d ORDER BY d.bucket, d.symbol$q$,
            _hypertick.candle_columns(level.made_of, level.width),
            CASE level.made_of
                WHEN 'ticks' THEN 'public.ticks WHERE symbol = w.symbol AND ts >= w.bucket AND ts < w.until'
                ELSE '_hypertick.raw_candles(w.symbol, $2, w.bucket, w.until)' END)
        USING level."interval", level.source, level.width, level.whole;
    END LOOP;

    -- Where retention has dropped the ticks they never agree.
    DELETE FROM _hypertick.awaited_revisions w WHERE w.since < now() - INTERVAL '1 hour';
    DELETE FROM public.bar_revisions r WHERE r.at < now() - keep;
END
$$;
COMMENT ON PROCEDURE _hypertick.note_revisions(int, jsonb) IS
    'Job: lists bars that late, cancelled or corrected ticks have changed in bar_revisions. config: grace, keep, '
    'flood.';
REVOKE EXECUTE ON PROCEDURE _hypertick.note_revisions(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.note_revisions', INTERVAL '5 seconds',
    config => '{"grace": "2 seconds", "keep": "25 hours", "flood": "1 day"}', fixed_schedule => false);
