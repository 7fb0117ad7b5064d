-- Data quality of the ticks. Nothing is dropped or changed: findings are
-- recorded, for people and for status.

CREATE TABLE quality_findings (
    kind     text             NOT NULL
             CHECK (kind IN ('stale', 'gap', 'conflict', 'outlier', 'crossed', 'skew', 'split')),
    venue    text COLLATE "C" NOT NULL,
    symbol   text COLLATE "C" NOT NULL,
    since    timestamptz      NOT NULL,
    seq      bigint           NOT NULL DEFAULT 0,
    seen_at  timestamptz      NOT NULL,
    ended_at timestamptz,
    value    float8           NOT NULL,
    bound    float8           NOT NULL,
    detail   text             NOT NULL,
    PRIMARY KEY (kind, venue, symbol, since, seq)
);
CREATE INDEX quality_findings_seen_at_idx ON quality_findings (seen_at);
CREATE INDEX quality_findings_open_idx ON quality_findings (kind) WHERE ended_at IS NULL;
COMMENT ON TABLE quality_findings IS 'Data quality findings. Kept for 30 days after they were last seen.';
COMMENT ON COLUMN quality_findings.kind IS
    'stale: no tick though there should be some. gap: seqs that have not come. conflict: ticks that differ from a '
    'stored one in price or size alone, see feed_conflicts. outlier: a price far from those right before and after. '
    'crossed: two venues disagree about the price. skew: a venue''s clock is wrong, or its ticks come late. '
    'split: the price has changed as by a split that corporate_actions does not have.';
COMMENT ON COLUMN quality_findings.venue IS
    'See ticks.venue; of crossed the one with the higher price, of split empty.';
COMMENT ON COLUMN quality_findings.symbol IS 'See ticks.symbol. Empty: all of the venue.';
COMMENT ON COLUMN quality_findings.since IS
    'When it began: of stale the last tick, of gap and outlier the tick''s own time, of split the '
    'open of the day.';
COMMENT ON COLUMN quality_findings.seq IS
    'Of gap the first seq missing, of conflict and outlier the tick''s; 0 otherwise.';
COMMENT ON COLUMN quality_findings.seen_at IS 'When a check last saw it.';
COMMENT ON COLUMN quality_findings.ended_at IS 'When it was over. NULL: it lasts.';
COMMENT ON COLUMN quality_findings.value IS
    'How much: seconds of stale and skew (negative: behind), ticks of gap and conflict, a price of outlier, a '
    'fraction of crossed, the last close over the open of split.';
COMMENT ON COLUMN quality_findings.bound IS
    'What it should have kept within: seconds, 0 ticks, the price around an outlier, a fraction; of split the common '
    'ratio.';
COMMENT ON COLUMN quality_findings.detail IS 'One sentence about it.';
COMMENT ON INDEX quality_findings_seen_at_idx IS 'Finds the newest, and what can go.';
COMMENT ON INDEX quality_findings_open_idx IS 'Serves those that last.';
GRANT SELECT ON quality_findings TO hypertick_reader;

CREATE TABLE quality_runs (
    one     boolean     PRIMARY KEY DEFAULT true CHECK (one),
    upto    timestamptz NOT NULL,
    gap_id  bigint      NOT NULL,
    conflict_id bigint NOT NULL DEFAULT 0,
    days_upto timestamptz NOT NULL DEFAULT clock_timestamp(),
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    took    interval    NOT NULL DEFAULT '0'
);
COMMENT ON TABLE quality_runs IS 'How far the checks of the ticks have come: one row.';
COMMENT ON COLUMN quality_runs.one IS 'Always true.';
COMMENT ON COLUMN quality_runs.upto IS 'Ticks up to here have been looked at for outliers.';
COMMENT ON COLUMN quality_runs.gap_id IS 'The last of feed_gaps that has been looked at.';
COMMENT ON COLUMN quality_runs.conflict_id IS 'The last of feed_conflicts that has been looked at.';
COMMENT ON COLUMN quality_runs.days_upto IS 'Trading days that ended by then have been looked at for splits.';
COMMENT ON COLUMN quality_runs.at IS 'When the last check ended.';
COMMENT ON COLUMN quality_runs.took IS 'How long it took.';
GRANT SELECT ON quality_runs TO hypertick_reader;

CREATE TABLE _hypertick.quality_waiting (
    symbol text COLLATE "C" NOT NULL,
    venue  text COLLATE "C" NOT NULL,
    ts     timestamptz      NOT NULL,
    seq    bigint           NOT NULL,
    price  float8           NOT NULL,
    PRIMARY KEY (symbol, venue, ts, seq)
);
COMMENT ON TABLE _hypertick.quality_waiting IS
    'Ticks that jumped, and have not enough ticks after them yet to tell an outlier from a move.';
COMMENT ON COLUMN _hypertick.quality_waiting.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN _hypertick.quality_waiting.venue IS 'See ticks.venue.';
COMMENT ON COLUMN _hypertick.quality_waiting.ts IS 'See ticks.ts.';
COMMENT ON COLUMN _hypertick.quality_waiting.seq IS 'See ticks.seq.';
COMMENT ON COLUMN _hypertick.quality_waiting.price IS 'See ticks.price.';

-- A symbol is expected to trade when it did so a week ago at this time of day, or,
-- where its history is shorter, a day ago: so a closed market is not stale. With
-- a history shorter still it is expected to trade as it did.
CREATE FUNCTION _hypertick.quality_stale(at timestamptz, quiet interval, gaps float8)
RETURNS TABLE (venue text, symbol text, since timestamptz, value float8, bound float8, detail text)
LANGUAGE sql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    WITH venues AS (
        SELECT feed.venue, max(feed.updated_at) AS moved, max(feed.last_ts) AS last_ts
        FROM public.feed_positions feed
        GROUP BY feed.venue
    ), silent AS MATERIALIZED (
        SELECT feed.venue, feed.symbol, feed.last_ts, own.moved >= at - quiet AS alone
        FROM public.feed_positions feed JOIN venues own ON own.venue = feed.venue
        WHERE feed.last_ts < at - quiet AND feed.updated_at < at - quiet
          -- Where nothing moves at all it is not the feeds: see pipeline.
          AND EXISTS (SELECT FROM venues other WHERE other.moved >= at - quiet)
    ), days AS MATERIALIZED (
        SELECT n.days, make_interval(days => n.days) AS ago FROM (VALUES (7), (1)) n(days)
    ), had AS MATERIALIZED (
        SELECT DISTINCT days.days, bar.symbol
        FROM days
        JOIN public.candles_1d bar ON bar.bucket >= at - days.ago - INTERVAL '8 days'
                                  AND bar.bucket < at - days.ago - INTERVAL '1 day'
        WHERE EXISTS (SELECT FROM silent)
    ), traded AS MATERIALIZED (
        SELECT near.days, near.symbol
        FROM (
            SELECT days.days, bar.symbol, bar.bucket < at - days.ago AS before
            FROM days
            JOIN public.candles_1m bar ON bar.bucket >= at - days.ago - INTERVAL '15 minutes'
                                      AND bar.bucket < at - days.ago + INTERVAL '15 minutes'
            WHERE EXISTS (SELECT FROM silent)
        ) near
        GROUP BY near.days, near.symbol
        HAVING bool_or(near.before) AND bool_or(NOT near.before)
    ), expected AS MATERIALIZED (
        SELECT silent.*
        FROM silent
        WHERE CASE
            WHEN EXISTS (SELECT FROM had WHERE had.symbol = silent.symbol AND had.days = 7)
                THEN EXISTS (SELECT FROM traded WHERE traded.symbol = silent.symbol AND traded.days = 7)
            WHEN EXISTS (SELECT FROM had WHERE had.symbol = silent.symbol AND had.days = 1)
                THEN EXISTS (SELECT FROM traded WHERE traded.symbol = silent.symbol AND traded.days = 1)
            ELSE true END
    ), usual AS (
        -- A symbol that trades once in ten minutes is not stale after two.
        SELECT expected.*, greatest(date_part('epoch', quiet), gaps * 3600 / greatest(hour.trades, 1)) AS bound
        FROM expected
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(bar.trades), 0)::float8 AS trades
            FROM public.candles_1m bar
            WHERE bar.symbol = expected.symbol
              AND bar.bucket > expected.last_ts - INTERVAL '1 hour' AND bar.bucket <= expected.last_ts
        ) hour
    ), overdue AS MATERIALIZED (
        SELECT usual.*, date_part('epoch', at - usual.last_ts) AS age
        FROM usual
        WHERE at - usual.last_ts > make_interval(secs => usual.bound)
    )
    SELECT overdue.venue, overdue.symbol, overdue.last_ts, overdue.age, overdue.bound,
           format('no tick since %s UTC, though its venue trades',
                  to_char(overdue.last_ts AT TIME ZONE 'UTC', 'HH24:MI:SS'))
    FROM overdue
    WHERE overdue.alone
    UNION ALL
    -- Where all of a venue is silent, that is one finding and not one each.
    SELECT own.venue, '', own.last_ts, date_part('epoch', at - own.last_ts), min(overdue.bound),
           format('no tick of any symbol since %s UTC, though other venues trade',
                  to_char(own.last_ts AT TIME ZONE 'UTC', 'HH24:MI:SS'))
    FROM overdue JOIN venues own ON own.venue = overdue.venue
    WHERE NOT overdue.alone
    GROUP BY own.venue, own.last_ts
$$;
COMMENT ON FUNCTION _hypertick.quality_stale(timestamptz, interval, float8) IS
    'Symbols that have been silent for longer than quiet, and than gaps times the usual time between their trades, '
    'while their venue trades and they did at this time a week (or a day) before; and venues that are silent as a '
    'whole while others trade.';

CREATE FUNCTION _hypertick.quality_skew(at timestamptz, ahead interval, behind interval)
RETURNS TABLE (venue text, value float8, bound float8, detail text)
LANGUAGE sql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
    WITH v AS (
        -- A tick's own time against the database's when it was stored.
        SELECT p.venue, max(p.last_ts - p.updated_at) AS newest
        FROM public.feed_positions p
        WHERE p.updated_at > at - INTERVAL '1 minute'
        GROUP BY p.venue
    )
    SELECT v.venue, date_part('epoch', v.newest), date_part('epoch', ahead),
           format('its ticks are stamped %s s ahead of the database''s clock',
                  round(date_part('epoch', v.newest)::numeric, 1))
    FROM v
    WHERE v.newest > ahead
    UNION ALL
    -- Hours behind is history that somebody loads.
    SELECT v.venue, date_part('epoch', v.newest), -date_part('epoch', behind),
           format('its newest ticks are %s s old when they come: its clock is behind, or the feed is slow',
                  round(-date_part('epoch', v.newest)::numeric))
    FROM v
    WHERE v.newest < -behind AND v.newest > INTERVAL '-1 hour'
$$;
COMMENT ON FUNCTION _hypertick.quality_skew(timestamptz, interval, interval) IS
    'Venues whose ticks of the last minute are all stamped more than ahead before, or behind after, the time at '
    'which they were stored.';

CREATE FUNCTION _hypertick.quality_crossed(at timestamptz, apart float8)
RETURNS TABLE (venue text, symbol text, value float8, bound float8, detail text)
LANGUAGE sql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    WITH several AS MATERIALIZED (
        SELECT p.symbol
        FROM public.feed_positions p
        WHERE p.updated_at > at - INTERVAL '2 minutes'
        GROUP BY p.symbol
        HAVING count(*) > 1
    ), traded AS (
        -- The median of a minute: a single outlier does not move it.
        SELECT s.symbol, t.venue, t.price
        FROM several s
        CROSS JOIN LATERAL (
            SELECT k.venue, percentile_cont(0.5) WITHIN GROUP (ORDER BY k.price) AS price
            FROM public.ticks k
            WHERE k.symbol = s.symbol AND k.ts > at - INTERVAL '1 minute' AND k.ts <= at
            GROUP BY k.venue
        ) t
    ), extremes AS (
        SELECT t.symbol, min(t.price) AS low, max(t.price) AS high,
               (array_agg(t.venue ORDER BY t.price, t.venue))[1] AS low_venue,
               (array_agg(t.venue ORDER BY t.price DESC, t.venue))[1] AS high_venue
        FROM traded t
        GROUP BY t.symbol
    )
    SELECT e.high_venue, e.symbol, e.high / e.low - 1, apart,
           format('%s %% above the price at %s', round((100 * (e.high / e.low - 1))::numeric, 2), e.low_venue)
    FROM extremes e
    WHERE e.low > 0 AND e.high / e.low - 1 > apart
$$;
COMMENT ON FUNCTION _hypertick.quality_crossed(timestamptz, float8) IS
    'Symbols whose median prices of the last minute at two venues are further apart than that fraction.';

-- Hampel's test: a tick against the median of five ticks before and five after
-- it, in median absolute deviations. A move leaves as many ticks on its far side as
-- on its near one, so it is none; a tick that stands alone is.
CREATE FUNCTION _hypertick.quality_around(
    symbol text, venue text, ts timestamptz, seq bigint, OUT before float8[], OUT after float8[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT k.price
                 FROM public.ticks k
                 WHERE k.symbol = quality_around.symbol AND k.venue = quality_around.venue
                   AND k.ts <= quality_around.ts AND k.ts > quality_around.ts - INTERVAL '1 hour'
                   AND (k.ts, k.seq) < (quality_around.ts, quality_around.seq)
                 ORDER BY k.ts DESC, k.seq DESC LIMIT 5),
           ARRAY(SELECT k.price
                 FROM public.ticks k
                 WHERE k.symbol = quality_around.symbol AND k.venue = quality_around.venue
                   AND k.ts >= quality_around.ts AND k.ts < quality_around.ts + INTERVAL '1 hour'
                   AND (k.ts, k.seq) > (quality_around.ts, quality_around.seq)
                 ORDER BY k.ts, k.seq LIMIT 5)
$$;
COMMENT ON FUNCTION _hypertick.quality_around(text, text, timestamptz, bigint) IS
    'Prices of up to five ticks before and after one, within an hour, nearest first.';

CREATE FUNCTION _hypertick.quality_hampel(before float8[], after float8[], OUT median float8, OUT mad float8)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- As many on either side: otherwise the side with more of them decides.
    WITH n AS (
        SELECT least(cardinality(before), cardinality(after)) AS n
    ), p AS (
        SELECT unnest(before[1:n.n] || after[1:n.n]) AS x FROM n
    ), m AS (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY p.x) AS median FROM p
    )
    SELECT m.median, (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(p.x - m.median)) FROM p)
    FROM m
$$;
COMMENT ON FUNCTION _hypertick.quality_hampel(float8[], float8[]) IS
    'Median of the prices around a tick, and the median of how far they are from it. NULL where a side has none.';

CREATE FUNCTION _hypertick.quality_check(config jsonb, at timestamptz DEFAULT now()) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    quiet   CONSTANT interval := coalesce(config ->> 'stale', '2 minutes')::interval;
    gaps    CONSTANT float8 := coalesce((config ->> 'stale_gaps')::float8, 20);
    jump    CONSTANT float8 := coalesce((config ->> 'outlier')::float8, 0.03);
    mads    CONSTANT float8 := coalesce((config ->> 'outlier_mads')::float8, 10);
    apart   CONSTANT float8 := coalesce((config ->> 'crossed')::float8, 0.01);
    ahead   CONSTANT interval := coalesce(config ->> 'ahead', '2 seconds')::interval;
    lag_    CONSTANT interval := coalesce(config ->> 'behind', '1 minute')::interval;
    backlog CONSTANT bigint := coalesce((config ->> 'backlog')::bigint, 1000);
    reach   CONSTANT interval := coalesce(config ->> 'reach', '10 minutes')::interval;
    ratio   CONSTANT float8 := coalesce((config ->> 'split')::float8, 0.03);
    drift   CONSTANT float8 := coalesce((config ->> 'split_drift')::float8, 0.1);
    volume  CONSTANT float8 := coalesce((config ->> 'split_volume')::float8, 3);
    keep    CONSTANT interval := coalesce(config ->> 'keep', '30 days')::interval;
    began   CONSTANT timestamptz := clock_timestamp();
    run     public.quality_runs;
    until   timestamptz;
    last_id bigint;
    last_conflict bigint;
    behind  boolean;
BEGIN
    INSERT INTO public.quality_runs (upto, days_upto, gap_id)
    SELECT at - reach, at - reach, coalesce(max(g.id), 0) FROM public.feed_gaps g
    ON CONFLICT DO NOTHING;
    SELECT q.* INTO run FROM public.quality_runs q FOR UPDATE;

    -- Gaps that ingest has seen and that are open, one finding for each feed and
    -- check.
    SELECT coalesce(max(g.id), run.gap_id) INTO last_id FROM public.feed_gaps g WHERE g.id > run.gap_id;
    INSERT INTO public.quality_findings AS f
        (kind, venue, symbol, since, seq, seen_at, ended_at, value, bound, detail)
    SELECT 'gap', g.venue, g.symbol, min(g.before_ts), min(g.from_seq), at, max(g.after_ts),
           sum(m.missing)::float8, 0,
           format('%s ticks have not come, seq %s to %s%s', sum(m.missing), min(g.from_seq), max(g.to_seq),
                  CASE WHEN count(*) > 1 THEN format(' in %s gaps', count(*)) ELSE '' END)
    FROM public.feed_gaps g
    CROSS JOIN LATERAL (SELECT sum(upper(r.part)::numeric - lower(r.part)) AS missing
                        FROM (SELECT unnest(g.missing) AS part) r) m
    WHERE g.id > run.gap_id AND g.id <= last_id AND g.closed_at IS NULL
    GROUP BY g.venue, g.symbol
    ON CONFLICT (kind, venue, symbol, since, seq) DO UPDATE
    SET seen_at = excluded.seen_at, ended_at = excluded.ended_at, value = excluded.value, detail = excluded.detail;

    -- Of what has come since there is nothing to find any more.
    DELETE FROM public.quality_findings f
    WHERE f.kind = 'gap' AND NOT EXISTS (
        SELECT FROM public.feed_gaps g
        WHERE g.symbol = f.symbol AND g.venue = f.venue AND g.closed_at IS NULL
          AND g.before_ts >= f.since AND g.after_ts <= f.ended_at);

    SELECT coalesce(max(c.id), run.conflict_id) INTO last_conflict
    FROM public.feed_conflicts c WHERE c.id > run.conflict_id;
    INSERT INTO public.quality_findings AS f
        (kind, venue, symbol, since, seq, seen_at, ended_at, value, bound, detail)
    SELECT 'conflict', c.venue, c.symbol, min(c.ts), min(c.seq), quality_check.at, max(c.ts), count(*), 0,
           format('%s ticks came with the ts and seq of a stored one and another price or size, the first seq %s: %s',
                  count(*), min(c.seq), string_agg(DISTINCT c.outcome, ', '))
    FROM public.feed_conflicts c
    WHERE c.id > run.conflict_id AND c.id <= last_conflict
    GROUP BY c.venue, c.symbol
    ON CONFLICT (kind, venue, symbol, since, seq) DO UPDATE
    SET seen_at = excluded.seen_at, ended_at = excluded.ended_at, value = excluded.value, detail = excluded.detail;

    -- Outliers among the ticks since the last check. Most ticks are near the one
    -- before and are not checked further. Ticks in flight are given some seconds.
    until := at - INTERVAL '10 seconds';
    IF until > run.upto THEN
        INSERT INTO _hypertick.quality_waiting (symbol, venue, ts, seq, price)
        SELECT j.symbol, j.venue, j.ts, j.seq, j.price
        FROM (
            SELECT t.symbol, t.venue, t.ts, t.seq, t.price,
                   lag(t.price) OVER (PARTITION BY t.symbol, t.venue ORDER BY t.ts, t.seq) AS before
            FROM public.ticks t
            WHERE t.ts > greatest(run.upto, at - reach) AND t.ts <= until
        ) j
        -- Of the first one the tick before it lies before what was read.
        CROSS JOIN LATERAL (
            SELECT coalesce(j.before,
                            (_hypertick.quality_around(j.symbol, j.venue, j.ts, j.seq)).before[1]) AS before
        ) b
        WHERE abs(j.price - b.before) > jump * abs(b.before)
        LIMIT 10000
        ON CONFLICT DO NOTHING;
    ELSE
        until := run.upto;
    END IF;
    WITH judged AS MATERIALIZED (
        SELECT w.symbol, w.venue, w.ts, w.seq, w.price, cardinality(a.after) AS after,
               least(cardinality(a.before), cardinality(a.after)) AS around, h.median, h.mad
        FROM _hypertick.quality_waiting w
        CROSS JOIN LATERAL _hypertick.quality_around(w.symbol, w.venue, w.ts, w.seq) a
        CROSS JOIN LATERAL _hypertick.quality_hampel(a.before, a.after) h
    ), done AS (
        DELETE FROM _hypertick.quality_waiting w USING judged j
        WHERE j.symbol = w.symbol AND j.venue = w.venue AND j.ts = w.ts AND j.seq = w.seq
          AND (j.after = 5 OR j.ts < at - INTERVAL '1 hour')
        RETURNING j.*
    )
    INSERT INTO public.quality_findings (kind, venue, symbol, since, seq, seen_at, ended_at, value, bound, detail)
    SELECT 'outlier', d.venue, d.symbol, d.ts, d.seq, at, d.ts, d.price, d.median,
           format('traded at %s, while the ticks before and after are around %s', d.price, d.median)
    FROM done d
    WHERE d.around >= 2
      AND abs(d.price - d.median) > jump * abs(d.median)
      AND abs(d.price - d.median) > mads * 1.4826 * d.mad
    ON CONFLICT DO NOTHING;

    -- What lasts, and what is over. While ingest works off a backlog nobody can
    -- say how fresh a feed is: what was known stays as it is.
    SELECT coalesce(sum(a.behind), 0) > backlog INTO behind
    FROM (SELECT DISTINCT ON (x.topic, x.partition) x.behind
          FROM public.ingest_activity x
          WHERE x.minute > at - INTERVAL '10 minutes'
          ORDER BY x.topic, x.partition, x.minute DESC) a;
    IF NOT behind THEN
        WITH now_ AS MATERIALIZED (
            SELECT 'stale' AS kind, s.* FROM _hypertick.quality_stale(at, quiet, gaps) s
            UNION ALL
            SELECT 'crossed', c.venue, c.symbol, NULL, c.value, c.bound, c.detail
            FROM _hypertick.quality_crossed(at, apart) c
            UNION ALL
            SELECT 'skew', k.venue, '', NULL, k.value, k.bound, k.detail
            FROM _hypertick.quality_skew(at, ahead, lag_) k
        ), matched AS MATERIALIZED (
            SELECT n.*, coalesce(f.since, n.since, at) AS began
            FROM now_ n
            LEFT JOIN public.quality_findings f ON f.kind = n.kind AND f.venue = n.venue AND f.symbol = n.symbol
                                               AND f.ended_at IS NULL AND (n.since IS NULL OR f.since = n.since)
        ), ended AS (
            UPDATE public.quality_findings f SET ended_at = at
            WHERE f.ended_at IS NULL AND f.kind <> 'split'
              AND NOT EXISTS (SELECT FROM matched m
                              WHERE m.kind = f.kind AND m.venue = f.venue AND m.symbol = f.symbol
                                AND m.began = f.since)
        )
        INSERT INTO public.quality_findings AS f (kind, venue, symbol, since, seen_at, value, bound, detail)
        SELECT m.kind, m.venue, m.symbol, m.began, at, m.value, m.bound, m.detail FROM matched m
        ON CONFLICT (kind, venue, symbol, since, seq) DO UPDATE
        SET seen_at = excluded.seen_at, ended_at = NULL, value = excluded.value, bound = excluded.bound,
            detail = excluded.detail;

        -- A trading day is judged once, when its ticks have come.
        INSERT INTO public.quality_findings (kind, venue, symbol, since, seen_at, value, bound, detail)
        SELECT 'split', '', s.symbol, s.since, at, s.value, s.bound, s.detail
        FROM _hypertick.quality_splits(greatest(run.days_upto, at - INTERVAL '7 days'), at - INTERVAL '10 minutes',
                                       ratio, drift, volume) s
        ON CONFLICT DO NOTHING;
        run.days_upto := greatest(run.days_upto, at - INTERVAL '10 minutes');
    END IF;
    -- It lasts until the split is entered, or for a week.
    UPDATE public.quality_findings f SET ended_at = at
    WHERE f.ended_at IS NULL AND f.kind = 'split'
      AND (f.since < at - INTERVAL '7 days' OR _hypertick.quality_split_entered(f.symbol, f.since));

    DELETE FROM public.quality_findings f WHERE f.seen_at < at - keep AND f.ended_at IS NOT NULL;
    UPDATE public.quality_runs
    SET upto = until, days_upto = run.days_upto, gap_id = last_id, conflict_id = last_conflict, at = clock_timestamp(),
        took = clock_timestamp() - began;
END
$$;
COMMENT ON FUNCTION _hypertick.quality_check(jsonb, timestamptz) IS
    'Checks what came since the last check and writes quality_findings. config: see check_quality(), the job.';

CREATE PROCEDURE _hypertick.check_quality(job_id int, config jsonb)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _hypertick.quality_check(config)
$$;
COMMENT ON PROCEDURE _hypertick.check_quality(int, jsonb) IS
    'Job: checks the ticks that came. config: stale, silence from which on a symbol counts as stale, and stale_gaps, '
    'how many times the usual time between its trades that must be; outlier, a fraction of the price, and '
    'outlier_mads, in deviations of 1.4826 times the median one; crossed, a fraction; ahead and behind, of a '
    'venue''s clock; split, how far from a common ratio the open may be, split_drift, how far the price may go on '
    'that day, and split_volume, how many times the usual notional it may have; backlog, from how many records on '
    'ingest counts as behind; reach, how far back a check looks after a pause; keep.';

REVOKE EXECUTE ON FUNCTION
    _hypertick.quality_stale(timestamptz, interval, float8),
    _hypertick.quality_skew(timestamptz, interval, interval),
    _hypertick.quality_crossed(timestamptz, float8),
    _hypertick.quality_around(text, text, timestamptz, bigint),
    _hypertick.quality_hampel(float8[], float8[]),
    _hypertick.quality_check(jsonb, timestamptz)
FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE _hypertick.check_quality(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.check_quality', INTERVAL '1 minute',
    config => '{"stale": "2 minutes", "stale_gaps": 20, "outlier": 0.03, "outlier_mads": 10, "crossed": 0.01,
                "split": 0.03, "split_drift": 0.1, "split_volume": 3, "ahead": "2 seconds", "behind": "1 minute",
                "backlog": 1000, "reach": "10 minutes", "keep": "30 days"}',
    fixed_schedule => false);
