-- Cancels and corrections of ticks.
--
-- Ingest writes them here in the transaction of their batch, so that each counts
-- once, and a job applies them: a row that goes away invalidates its range of time
-- as a late one does, so each transaction touches a narrow range. What was in
-- ticks goes to the journal. A tick that comes again is compared with the journal
-- too: what was undone stays undone.

CREATE TABLE ticks_undone (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ts        timestamptz      NOT NULL,
    symbol    text COLLATE "C" NOT NULL,
    price     float8           NOT NULL,
    size      float8           NOT NULL,
    seq       bigint           NOT NULL,
    venue     text COLLATE "C" NOT NULL,
    side      smallint,
    flags     int              NOT NULL,
    known_ms  bigint           NOT NULL,
    undone_ms bigint           NOT NULL DEFAULT (date_part('epoch', now()) * 1000)::bigint,
    why       text             NOT NULL CHECK (why IN ('cancelled', 'corrected')),
    change_id bigint           NOT NULL
);
CREATE INDEX ticks_undone_symbol_ts_idx ON ticks_undone (symbol, ts);
COMMENT ON TABLE ticks_undone IS 'Journal of ticks that were cancelled or corrected, as they were before.';
COMMENT ON COLUMN ticks_undone.id IS 'Number of the entry.';
COMMENT ON COLUMN ticks_undone.ts IS 'See ticks.ts.';
COMMENT ON COLUMN ticks_undone.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN ticks_undone.price IS 'Price it had.';
COMMENT ON COLUMN ticks_undone.size IS 'Size it had.';
COMMENT ON COLUMN ticks_undone.seq IS 'See ticks.seq.';
COMMENT ON COLUMN ticks_undone.venue IS 'See ticks.venue.';
COMMENT ON COLUMN ticks_undone.side IS 'Side it had.';
COMMENT ON COLUMN ticks_undone.flags IS 'Flags it had.';
COMMENT ON COLUMN ticks_undone.known_ms IS 'See ticks.known_ms.';
COMMENT ON COLUMN ticks_undone.undone_ms IS 'When it left ticks, in milliseconds since 1970.';
COMMENT ON COLUMN ticks_undone.why IS 'cancelled: nothing took its place. corrected: another row did.';
COMMENT ON COLUMN ticks_undone.change_id IS 'The row of tick_changes that undid it.';
COMMENT ON INDEX ticks_undone_symbol_ts_idx IS 'Serves the comparison with ticks that come, and reads of one symbol.';
GRANT SELECT ON ticks_undone TO hypertick_reader, hypertick_writer;

CREATE TABLE tick_changes (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     text             NOT NULL CHECK (kind IN ('cancel', 'correct')),
    symbol   text COLLATE "C" NOT NULL,
    venue    text COLLATE "C" NOT NULL,
    seq      bigint           NOT NULL,
    ts       timestamptz,
    price    float8,
    size     float8,
    side     smallint,
    flags    int,
    origin   text             NOT NULL,
    asked_at timestamptz      NOT NULL DEFAULT now(),
    state    text             NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'waiting', 'done', 'known', 'refused')),
    state_at timestamptz,
    next_at  timestamptz,
    detail   text,
    CHECK ((kind = 'correct') = (price IS NOT NULL AND size IS NOT NULL AND flags IS NOT NULL)),
    CHECK ((price = 0 OR abs(price) BETWEEN 1e-15 AND 1e15) IS NOT FALSE
           AND (size = 0 OR size BETWEEN 1e-15 AND 1e15) IS NOT FALSE AND (side IN (-1, 1)) IS NOT FALSE)
);
CREATE INDEX tick_changes_due_idx ON tick_changes (coalesce(next_at, asked_at), id) WHERE state IN ('new', 'waiting');
CREATE INDEX tick_changes_refused_idx ON tick_changes (state_at) WHERE state = 'refused';
CREATE INDEX tick_changes_symbol_idx ON tick_changes (symbol, venue, seq);
COMMENT ON TABLE tick_changes IS
    'Cancels and corrections that were asked for, by the topic, a file or a person, and what became of them.';
COMMENT ON COLUMN tick_changes.id IS 'Number of the change. Changes of one tick apply in this order.';
COMMENT ON COLUMN tick_changes.kind IS 'cancel or correct.';
COMMENT ON COLUMN tick_changes.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN tick_changes.venue IS 'See ticks.venue.';
COMMENT ON COLUMN tick_changes.seq IS 'See ticks.seq.';
COMMENT ON COLUMN tick_changes.ts IS 'Trade time of the tick. NULL: the newest tick of that seq is meant.';
COMMENT ON COLUMN tick_changes.price IS 'Correct price. NULL in a cancel.';
COMMENT ON COLUMN tick_changes.size IS 'Correct size. NULL in a cancel.';
COMMENT ON COLUMN tick_changes.side IS 'Correct side, see ticks.side.';
COMMENT ON COLUMN tick_changes.flags IS 'Correct flags, see ticks.flags. NULL in a cancel.';
COMMENT ON COLUMN tick_changes.origin IS 'Who asked: the topic, partition and offset, or a name.';
COMMENT ON COLUMN tick_changes.asked_at IS 'When it was asked for.';
COMMENT ON COLUMN tick_changes.state IS
    'new: not looked at yet. waiting: its tick has not come. done: applied. known: it was in effect before. refused: '
    'see detail.';
COMMENT ON COLUMN tick_changes.state_at IS 'When it was last looked at.';
COMMENT ON COLUMN tick_changes.next_at IS 'When its tick is searched for again.';
COMMENT ON COLUMN tick_changes.detail IS 'Why it waits or was refused.';
COMMENT ON INDEX tick_changes_due_idx IS 'Serves the job.';
COMMENT ON INDEX tick_changes_refused_idx IS 'Serves status.';
COMMENT ON INDEX tick_changes_symbol_idx IS 'Serves the changes of one tick.';
GRANT SELECT ON tick_changes TO hypertick_reader, hypertick_writer;
GRANT INSERT (kind, symbol, venue, seq, ts, price, size, side, flags, origin) ON tick_changes TO hypertick_writer;

-- Without a trade time the newest days are searched first: a symbol may have many
-- millions of ticks, and those that change are mostly young.
CREATE FUNCTION _hypertick.find_tick(symbol text, venue text, seq bigint, ts timestamptz DEFAULT NULL)
RETURNS SETOF ticks
LANGUAGE plpgsql STABLE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newest timestamptz;
    reach  interval;
BEGIN
    IF ts IS NOT NULL THEN
        RETURN QUERY SELECT t.* FROM public.ticks t
                     WHERE t.symbol = find_tick.symbol AND t.ts = find_tick.ts
                       AND t.venue = find_tick.venue AND t.seq = find_tick.seq
                     ORDER BY t.known_ms DESC LIMIT 1;
        RETURN;
    END IF;
    SELECT p.last_ts INTO newest FROM public.feed_positions p
    WHERE p.symbol = find_tick.symbol AND p.venue = find_tick.venue;
    FOREACH reach IN ARRAY ARRAY['1 day', '30 days', NULL]::interval[] LOOP
        RETURN QUERY SELECT t.* FROM public.ticks t
                     WHERE t.symbol = find_tick.symbol AND t.venue = find_tick.venue AND t.seq = find_tick.seq
                       AND t.ts >= coalesce(newest - reach, '-infinity')
                     ORDER BY t.ts DESC, t.known_ms DESC LIMIT 1;
        IF FOUND OR newest IS NULL THEN
            RETURN;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION _hypertick.find_tick(text, text, bigint, timestamptz) IS
    'The tick that a cancel or correction means: of that seq, the newest unless ts is given.';
REVOKE EXECUTE ON FUNCTION _hypertick.find_tick(text, text, bigint, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.find_tick(text, text, bigint, timestamptz) TO hypertick_reader, hypertick_writer;

CREATE FUNCTION _hypertick.apply_tick_change(change tick_changes) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tick    public.ticks;
    horizon CONSTANT timestamptz := public.tick_horizon();
    outcome text;
    why     text;
BEGIN
    SELECT t.* INTO tick FROM _hypertick.find_tick(change.symbol, change.venue, change.seq, change.ts) t;
    IF FOUND AND tick.ts >= coalesce(horizon, '-infinity') THEN
        IF change.kind = 'correct' AND (tick.price, tick.size, tick.side, tick.flags)
               IS NOT DISTINCT FROM (change.price, change.size, change.side, change.flags) THEN
            outcome := 'known';
        ELSE
            outcome := 'done';
        END IF;
    ELSIF FOUND OR change.ts < horizon THEN
        outcome := 'refused';
        why := format('the tick is older than the retention horizon, %s', horizon);
    ELSIF EXISTS (SELECT FROM public.ticks_undone u
                  WHERE u.symbol = change.symbol AND u.venue = change.venue AND u.seq = change.seq
                    AND u.ts = coalesce(change.ts, u.ts) AND u.why = 'cancelled') THEN
        outcome := 'known';
        why := 'the tick is cancelled';
    ELSIF change.asked_at < now() - INTERVAL '30 days' THEN
        outcome := 'refused';
        why := 'no such tick has come within 30 days';
    ELSE
        outcome := 'waiting';
        why := 'no such tick is stored';
    END IF;

    IF outcome = 'done' THEN
        INSERT INTO public.ticks_undone (ts, symbol, price, size, seq, venue, side, flags, known_ms, why, change_id)
        VALUES (tick.ts, tick.symbol, tick.price, tick.size, tick.seq, tick.venue, tick.side, tick.flags,
                tick.known_ms, CASE change.kind WHEN 'cancel' THEN 'cancelled' ELSE 'corrected' END, change.id);
        -- With constants: in the columnstore only the batch that holds the row is
        -- unpacked. A kept conflict is a row of its own.
        EXECUTE format('DELETE FROM public.ticks t WHERE t.symbol = %L AND t.ts = %L AND t.venue = %L AND t.seq = %L '
                       'AND t.price = %L AND t.size = %L',
                       tick.symbol, tick.ts, tick.venue, tick.seq, tick.price, tick.size);
        IF change.kind = 'correct' THEN
            INSERT INTO public.ticks (ts, symbol, price, size, seq, venue, side, flags)
            VALUES (tick.ts, tick.symbol, change.price, change.size, tick.seq, tick.venue, change.side, change.flags);
        END IF;
        INSERT INTO _hypertick.late_arrivals (symbol, venue, after_seq, last_seq, oldest, newest, undone)
        VALUES (tick.symbol, tick.venue, tick.seq - 1, tick.seq, tick.ts, tick.ts, true);
    END IF;
    UPDATE public.tick_changes c
    SET state = outcome, detail = why, state_at = now(),
        ts = coalesce(c.ts, CASE outcome WHEN 'done' THEN tick.ts END),
        -- From 5 s on, doubled up to an hour.
        next_at = CASE outcome WHEN 'waiting' THEN
            now() + least(greatest(now() - change.asked_at, INTERVAL '5 seconds'), INTERVAL '1 hour') END
    WHERE c.id = change.id;
END
$$;
COMMENT ON FUNCTION _hypertick.apply_tick_change(tick_changes) IS
    'Applies one cancel or correction, and records what became of it.';
REVOKE EXECUTE ON FUNCTION _hypertick.apply_tick_change(tick_changes) FROM PUBLIC;

-- A transaction ends when the next tick lies far from those before: the range that
-- a refresh computes again stays narrow. No SET search_path here: a procedure with
-- one may not COMMIT.
CREATE PROCEDURE _hypertick.apply_tick_changes(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    max_gap  CONSTANT interval := coalesce(config ->> 'max_gap', '5 minutes')::interval;
    max_rows CONSTANT int := coalesce((config ->> 'max_rows')::int, 500);
    began    CONSTANT timestamptz := clock_timestamp();
    ids      bigint[];
    tss      timestamptz[];
    newest   timestamptz;
    change   public.tick_changes;
BEGIN
    LOOP
        -- Changes of one tick keep their order; those of others need none.
        SELECT array_agg(c.id ORDER BY t.ts NULLS FIRST, c.id), array_agg(t.ts ORDER BY t.ts NULLS FIRST, c.id)
        INTO ids, tss
        FROM (
            SELECT d.* FROM public.tick_changes d
            WHERE d.state IN ('new', 'waiting') AND coalesce(d.next_at, d.asked_at) <= began
            ORDER BY coalesce(d.next_at, d.asked_at), d.id LIMIT max_rows
        ) c
        LEFT JOIN LATERAL _hypertick.find_tick(c.symbol, c.venue, c.seq, c.ts) t ON true;
        EXIT WHEN ids IS NULL;
        newest := NULL;
        FOR n IN 1 .. cardinality(ids) LOOP
            IF tss[n] - newest > max_gap THEN
                COMMIT;
            END IF;
            newest := tss[n];
            SELECT c.* INTO change FROM public.tick_changes c
            WHERE c.id = ids[n] AND c.state IN ('new', 'waiting') FOR UPDATE;
            IF FOUND THEN
                PERFORM _hypertick.apply_tick_change(change);
            END IF;
        END LOOP;
        COMMIT;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE _hypertick.apply_tick_changes(int, jsonb) IS
    'Job: applies tick_changes, a narrow time range a transaction. config: max_gap, max_rows.';
REVOKE EXECUTE ON PROCEDURE _hypertick.apply_tick_changes(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.apply_tick_changes', INTERVAL '5 seconds',
    config => '{"max_gap": "5 minutes", "max_rows": 500}', fixed_schedule => false);
