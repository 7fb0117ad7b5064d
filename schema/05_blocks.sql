-- Block states: one row of mergeable states per symbol and block of about 60
-- bars, for each materialised interval. add_interval() makes the continuous
-- aggregate _hypertick.blocks_<interval> and the view indicator.blocks_<interval>.
-- A late tick re-materialises the one candle and the one block it falls into,
-- and every later EMA, RSI and ATR is right again.
--
-- All states in one row of plain numbers: the bars of a block are read and
-- sorted once for all of them, the columnstore compresses numbers well, and the
-- screener, which goes through some ten rows of every symbol, need not take
-- composites apart. The views put the numbers together as states.
--
-- Materialised only, the block still open included: the screener reads nothing
-- else. A reader of one symbol takes the blocks older than the newest one there
-- is, which are final but for late ticks, and then the bars after them; so a
-- block that is not there yet costs bars, never truth. That holds because the
-- refresh policies go oldest first (the default, newest first, would leave holes
-- while a long history is being filled).

-- One aggregate computes all the states of a block: a step of plpgsql costs
-- about as much for eight states as for one, so this fills blocks four times as
-- fast as ema_agg, rsi_agg and so on beside each other (eight times on the
-- embedded database). The arithmetic is theirs; the tests hold the two together.
-- No SET search_path on the step: it would cost more than the step itself.
CREATE TYPE _hypertick.block AS (
    n bigint, first float8, last float8, high float8, low float8, volume float8,
    ema_12 float8, ema_26 float8, ema_50 float8, ema_200 float8,
    gain float8, loss float8, range float8, obv float8, mean float8, m2 float8, min float8, max float8
);
COMMENT ON TYPE _hypertick.block IS 'The states of a block, without what follows from the number of its bars.';

CREATE FUNCTION _hypertick.block_step(
    st _hypertick.block, high float8, low float8, close float8, volume float8)
RETURNS _hypertick.block
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    c float8;
    d float8;
BEGIN
    IF st IS NULL THEN
        RETURN ROW(1, close, close, high, low, volume,
            close * (2.0::float8 / 13), close * (2.0::float8 / 27),
            close * (2.0::float8 / 51), close * (2.0::float8 / 201),
            0, 0, 0, 0, close, 0, close, close)::_hypertick.block;
    END IF;
    c := close - st.last;
    d := close - st.mean;
    RETURN ROW(st.n + 1, st.first, close, st.high, st.low, st.volume,
        st.ema_12 + (close - st.ema_12) * (2.0::float8 / 13), st.ema_26 + (close - st.ema_26) * (2.0::float8 / 27),
        st.ema_50 + (close - st.ema_50) * (2.0::float8 / 51), st.ema_200 + (close - st.ema_200) * (2.0::float8 / 201),
        CASE WHEN st.gain < 1e-150 THEN 0 ELSE st.gain * (1 - 1.0::float8 / 14) END
            + CASE WHEN c > 0 THEN c / 14 ELSE 0 END,
        CASE WHEN st.loss < 1e-150 THEN 0 ELSE st.loss * (1 - 1.0::float8 / 14) END
            - CASE WHEN c < 0 THEN c / 14 ELSE 0 END,
        CASE WHEN st.range < 1e-150 THEN 0 ELSE st.range * (1 - 1.0::float8 / 14) END
            + (greatest(high, st.last) - least(low, st.last)) / 14,
        st.obv + sign(c) * volume,
        st.mean + d / (st.n + 1),
        st.m2 + CASE WHEN abs(d) < 1e-150 THEN 0 ELSE d * d * (st.n::float8 / (st.n + 1)) END,
        least(st.min, close), greatest(st.max, close))::_hypertick.block;
END
$$;
COMMENT ON FUNCTION _hypertick.block_step(_hypertick.block, float8, float8, float8, float8) IS
    'All the states of a block with one more bar.';

CREATE AGGREGATE _hypertick.block_agg(high float8, low float8, close float8, volume float8)
    (sfunc = _hypertick.block_step, stype = _hypertick.block, parallel = safe);
COMMENT ON AGGREGATE _hypertick.block_agg(float8, float8, float8, float8) IS
    'All the states of a block of bars in their order.';

-- verify computes blocks again with the rights of whoever asks.
REVOKE EXECUTE ON FUNCTION
    _hypertick.block_step(_hypertick.block, float8, float8, float8, float8),
    _hypertick.block_agg(float8, float8, float8, float8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    _hypertick.block_step(_hypertick.block, float8, float8, float8, float8),
    _hypertick.block_agg(float8, float8, float8, float8) TO hypertick_reader, hypertick_writer;

CREATE TYPE indicator.block AS (
    symbol      text COLLATE "C",
    bucket      timestamptz,
    bars        bigint,
    ema_12      indicator.ema_state,
    ema_26      indicator.ema_state,
    ema_50      indicator.ema_state,
    ema_200     indicator.ema_state,
    rsi_14      indicator.rsi_state,
    atr_14      indicator.atr_state,
    close_sum   indicator.sum_state,
    obv         indicator.obv_state,
    last_bucket timestamptz,
    closes      float8[],
    volumes     float8[]
);
COMMENT ON TYPE indicator.block IS 'A row of the views indicator.blocks_<interval>.';

-- A cursor, since how many blocks it takes depends on how often the symbol
-- trades. Recreated with every interval, for the reason given at candles(). An
-- interval that is rolled up at read has no blocks.
CREATE FUNCTION _hypertick.make_blocks_function() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $make$
DECLARE
    branches text;
BEGIN
    SELECT string_agg(format($q$WHEN %1$L THEN
        OPEN newest FOR SELECT b.* FROM indicator.%2$I b
            WHERE b.symbol = blocks_before.symbol AND b.bucket <= start_by
              AND b.bucket < (SELECT max(n.bucket) FROM _hypertick.%2$I n)
            ORDER BY b.bucket DESC;$q$, i."interval", 'blocks_' || i."interval"), E'\n    ' ORDER BY i.width)
    INTO branches
    FROM public.intervals i WHERE i.materialized;

    EXECUTE format($function$
CREATE OR REPLACE FUNCTION _hypertick.blocks_before(
    symbol text, "interval" text, before timestamptz, bars bigint, skip bigint DEFAULT 0)
RETURNS SETOF indicator.block
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    width    CONSTANT interval := _hypertick.block_width("interval");
    start_by CONSTANT timestamptz :=
        CASE WHEN isfinite(before) THEN _hypertick.bucket_end(before, -width) ELSE before END;
    newest   refcursor;
    block    indicator.block;
    gathered bigint := 0;
BEGIN
    CASE "interval"
    %s
    ELSE
        RETURN;
    END CASE;
    LOOP
        FETCH newest INTO block;
        EXIT WHEN NOT FOUND;
        IF skip > 0 THEN
            skip := skip - block.bars;
        ELSE
            RETURN NEXT block;
            gathered := gathered + block.bars;
            EXIT WHEN gathered >= bars;
        END IF;
    END LOOP;
    CLOSE newest;
END
$$
$function$, branches);
END
$make$;
COMMENT ON FUNCTION _hypertick.make_blocks_function() IS
    'Makes blocks_before(), which reads block states near a time, for the intervals there are.';
REVOKE EXECUTE ON FUNCTION _hypertick.make_blocks_function() FROM PUBLIC;
