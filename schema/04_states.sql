-- Mergeable states: the two-step style of TimescaleDB's toolkit (x_agg, rollup,
-- accessor) for EMA, RSI, ATR, sums and OBV.
--
-- EMA and Wilder's means are linear recurrences, so a run of contiguous bars is
-- an affine map: value after = a * value before + s. Maps compose, so a state
-- can be kept per block of bars and joined later. Joining is associative but
-- not commutative: always ORDER BY, only contiguous bars, and no combine
-- function.
--
-- Steps, joins and accessors run once a row, in refreshes too, where search_path
-- is empty: they qualify every name outside pg_catalog and have no SET
-- search_path, which would cost more than the step itself.
--
-- What falls below 1e-150 is set to 0, so that no product of two such numbers is
-- below the smallest float8, which PostgreSQL refuses with an error.

CREATE TYPE indicator.ema_state AS (period int, n bigint, a float8, s float8);
COMMENT ON TYPE indicator.ema_state IS
    'Bars of one symbol as an EMA sees them. EMA after them = a * EMA before them + s.';

CREATE TYPE indicator.rsi_state AS (period int, n bigint, first float8, last float8, a float8, g float8, l float8);
COMMENT ON TYPE indicator.rsi_state IS
    'Bars as Wilder''s RSI sees them: first and last close; mean gain after = a * mean gain at the first bar + g, '
    'and the same with l for losses.';

CREATE TYPE indicator.atr_state AS (period int, n bigint, high float8, low float8, close float8, a float8, s float8);
COMMENT ON TYPE indicator.atr_state IS
    'Bars as Wilder''s ATR sees them: high and low of the first, close of the last; ATR after = a * ATR at the first '
    'bar + s.';

CREATE TYPE indicator.sum_state AS (n bigint, mean float8, m2 float8, min float8, max float8);
COMMENT ON TYPE indicator.sum_state IS
    'Count, mean, sum of squared deviations from the mean, minimum and maximum. Sums of squares lose all digits where '
    'a price is far from 0 and hardly moves; this form keeps them.';

CREATE TYPE indicator.obv_state AS (n bigint, first float8, volume float8, last float8, s float8);
COMMENT ON TYPE indicator.obv_state IS
    'Bars as on-balance volume sees them: close and volume of the first, close of the last, and the signed volume '
    'after the first.';

-- EMA ------------------------------------------------------------------------

CREATE FUNCTION _hypertick.ema_step(st indicator.ema_state, x float8, period int)
RETURNS indicator.ema_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    alpha float8;
BEGIN
    IF x IS NULL THEN
        RETURN st;
    END IF;
    alpha := 2.0 / (period + 1);
    IF st IS NULL THEN
        IF period IS NULL OR period < 1 THEN
            RAISE EXCEPTION 'period: want at least 1, got %', period
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        RETURN ROW(period, 1, 1 - alpha, alpha * x)::indicator.ema_state;
    END IF;
    IF st.period IS DISTINCT FROM period THEN
        RAISE EXCEPTION 'period: a state of % got %', st.period, period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN ROW(period, st.n + 1, CASE WHEN st.a < 1e-150 THEN 0 ELSE st.a * (1 - alpha) END,
               CASE WHEN abs(x - st.s) < 1e-150 THEN x ELSE st.s + alpha * (x - st.s) END)::indicator.ema_state;
END
$$;
COMMENT ON FUNCTION _hypertick.ema_step(indicator.ema_state, float8, int) IS 'The EMA state with one more bar.';

CREATE FUNCTION _hypertick.ema_join(x indicator.ema_state, y indicator.ema_state)
RETURNS indicator.ema_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF x IS NULL OR y IS NULL THEN
        RETURN coalesce(x, y);
    END IF;
    IF x.period <> y.period THEN
        RAISE EXCEPTION 'period: states of % and % do not join', x.period, y.period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN ROW(x.period, x.n + y.n,
               CASE WHEN x.a < 1e-150 OR y.a < 1e-150 THEN 0 ELSE x.a * y.a END,
               CASE WHEN y.a < 1e-150 OR abs(x.s) < 1e-150 THEN 0 ELSE y.a * x.s END + y.s)::indicator.ema_state;
END
$$;
COMMENT ON FUNCTION _hypertick.ema_join(indicator.ema_state, indicator.ema_state) IS 'The EMA state of x and then y.';

CREATE AGGREGATE indicator.ema_agg(x float8, period int)
    (sfunc = _hypertick.ema_step, stype = indicator.ema_state, parallel = safe);
COMMENT ON AGGREGATE indicator.ema_agg(float8, int) IS
    'State of an EMA with weight 2/(period+1) over bars: ema_agg(close, 12 ORDER BY bucket).';

CREATE AGGREGATE indicator.rollup(indicator.ema_state)
    (sfunc = _hypertick.ema_join, stype = indicator.ema_state, parallel = safe);
COMMENT ON AGGREGATE indicator.rollup(indicator.ema_state) IS
    'Joins states of contiguous blocks: rollup(state ORDER BY bucket). States of different periods are an error.';

CREATE FUNCTION indicator.ema(state indicator.ema_state, seed float8) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN (state).a < 1e-150 OR abs(seed) < 1e-150 THEN (state).s ELSE (state).a * seed + (state).s END;
COMMENT ON FUNCTION indicator.ema(indicator.ema_state, float8) IS
    'The EMA after the bars of the state, when it was seed before them.';

CREATE FUNCTION indicator.ema(state indicator.ema_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).s / (1 - (state).a);
COMMENT ON FUNCTION indicator.ema(indicator.ema_state) IS
    'The EMA of just these bars, weights scaled to sum to 1. After about 15 * period bars it is the EMA whatever '
    'came before.';

-- RSI ------------------------------------------------------------------------

CREATE FUNCTION _hypertick.rsi_step(st indicator.rsi_state, x float8, period int)
RETURNS indicator.rsi_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    alpha float8;
    c     float8;
BEGIN
    IF x IS NULL THEN
        RETURN st;
    END IF;
    IF st IS NULL THEN
        IF period IS NULL OR period < 1 THEN
            RAISE EXCEPTION 'period: want at least 1, got %', period
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        RETURN ROW(period, 1, x, x, 1, 0, 0)::indicator.rsi_state;
    END IF;
    IF st.period IS DISTINCT FROM period THEN
        RAISE EXCEPTION 'period: a state of % got %', st.period, period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    alpha := 1.0 / period;
    c := x - st.last;
    RETURN ROW(period, st.n + 1, st.first, x,
               CASE WHEN st.a < 1e-150 THEN 0 ELSE st.a * (1 - alpha) END,
               CASE WHEN st.g < 1e-150 THEN 0 ELSE st.g * (1 - alpha) END
                 + CASE WHEN c > 0 THEN alpha * c ELSE 0 END,
               CASE WHEN st.l < 1e-150 THEN 0 ELSE st.l * (1 - alpha) END
                 + CASE WHEN c < 0 THEN alpha * -c ELSE 0 END)::indicator.rsi_state;
END
$$;
COMMENT ON FUNCTION _hypertick.rsi_step(indicator.rsi_state, float8, int) IS 'The RSI state with one more bar.';

CREATE FUNCTION _hypertick.rsi_join(x indicator.rsi_state, y indicator.rsi_state)
RETURNS indicator.rsi_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    alpha float8;
    c     float8;
    g     float8;
    l     float8;
BEGIN
    IF x IS NULL OR y IS NULL THEN
        RETURN coalesce(x, y);
    END IF;
    IF x.period <> y.period THEN
        RAISE EXCEPTION 'period: states of % and % do not join', x.period, y.period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    alpha := 1.0 / x.period;
    c := y.first - x.last;
    g := CASE WHEN x.g < 1e-150 THEN 0 ELSE x.g * (1 - alpha) END + CASE WHEN c > 0 THEN alpha * c ELSE 0 END;
    l := CASE WHEN x.l < 1e-150 THEN 0 ELSE x.l * (1 - alpha) END + CASE WHEN c < 0 THEN alpha * -c ELSE 0 END;
    RETURN ROW(x.period, x.n + y.n, x.first, y.last,
               CASE WHEN x.a < 1e-150 OR y.a < 1e-150 THEN 0 ELSE x.a * (1 - alpha) * y.a END,
               CASE WHEN g < 1e-150 OR y.a < 1e-150 THEN 0 ELSE g * y.a END + y.g,
               CASE WHEN l < 1e-150 OR y.a < 1e-150 THEN 0 ELSE l * y.a END + y.l)::indicator.rsi_state;
END
$$;
COMMENT ON FUNCTION _hypertick.rsi_join(indicator.rsi_state, indicator.rsi_state) IS
    'The RSI state of x and then y; the change from x to y falls between them.';

CREATE AGGREGATE indicator.rsi_agg(x float8, period int)
    (sfunc = _hypertick.rsi_step, stype = indicator.rsi_state, parallel = safe);
COMMENT ON AGGREGATE indicator.rsi_agg(float8, int) IS
    'State of Wilder''s RSI over bars: rsi_agg(close, 14 ORDER BY bucket).';

CREATE AGGREGATE indicator.rollup(indicator.rsi_state)
    (sfunc = _hypertick.rsi_join, stype = indicator.rsi_state, parallel = safe);
COMMENT ON AGGREGATE indicator.rollup(indicator.rsi_state) IS
    'Joins states of contiguous blocks: rollup(state ORDER BY bucket). States of different periods are an error.';

-- Not indicator.rsi: with four arguments of unknown type, as
-- indicator.rsi('AAPL', '1m', '-infinity', 'infinity') has, that would be ambiguous.
CREATE FUNCTION _hypertick.rsi_value(state indicator.rsi_state, gain float8, loss float8, flat float8)
RETURNS float8
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    a CONSTANT float8 := CASE WHEN (state).a < 1e-150 THEN 0 ELSE (state).a END;
    g CONSTANT float8 := CASE WHEN gain < 1e-150 THEN 0 ELSE a * gain END + (state).g;
    l CONSTANT float8 := CASE WHEN loss < 1e-150 THEN 0 ELSE a * loss END + (state).l;
BEGIN
    IF g + l < 1e-150 THEN
        RETURN flat;
    END IF;
    RETURN 100 * (g / (g + l));
END
$$;
COMMENT ON FUNCTION _hypertick.rsi_value(indicator.rsi_state, float8, float8, float8) IS
    'Like indicator.rsi(state, gain, loss), with the value of flat prices.';
REVOKE EXECUTE ON FUNCTION _hypertick.rsi_value(indicator.rsi_state, float8, float8, float8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.rsi_value(indicator.rsi_state, float8, float8, float8)
TO hypertick_reader, hypertick_writer, hypertick_operator;

CREATE FUNCTION indicator.rsi(state indicator.rsi_state, gain float8, loss float8) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN _hypertick.rsi_value(state, gain, loss, 0);
COMMENT ON FUNCTION indicator.rsi(indicator.rsi_state, float8, float8) IS
    'The RSI after the bars of the state, when mean gain and mean loss at its first bar were these. Flat prices: 0, '
    'as TA-Lib has it.';

CREATE FUNCTION indicator.rsi(state indicator.rsi_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN indicator.rsi(state, 0, 0);
COMMENT ON FUNCTION indicator.rsi(indicator.rsi_state) IS
    'The RSI of just these bars. After about 30 * period bars it is the RSI whatever came before.';

-- ATR ------------------------------------------------------------------------

CREATE FUNCTION _hypertick.atr_step(st indicator.atr_state, high float8, low float8, close float8, period int)
RETURNS indicator.atr_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    alpha float8;
BEGIN
    IF close IS NULL THEN
        RETURN st;
    END IF;
    IF st IS NULL THEN
        IF period IS NULL OR period < 1 THEN
            RAISE EXCEPTION 'period: want at least 1, got %', period
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        RETURN ROW(period, 1, high, low, close, 1, 0)::indicator.atr_state;
    END IF;
    IF st.period IS DISTINCT FROM period THEN
        RAISE EXCEPTION 'period: a state of % got %', st.period, period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    alpha := 1.0 / period;
    RETURN ROW(period, st.n + 1, st.high, st.low, close,
               CASE WHEN st.a < 1e-150 THEN 0 ELSE st.a * (1 - alpha) END,
               CASE WHEN st.s < 1e-150 THEN 0 ELSE st.s * (1 - alpha) END
                 + alpha * (greatest(high, st.close) - least(low, st.close)))::indicator.atr_state;
END
$$;
COMMENT ON FUNCTION _hypertick.atr_step(indicator.atr_state, float8, float8, float8, int) IS
    'The ATR state with one more bar.';

CREATE FUNCTION _hypertick.atr_join(x indicator.atr_state, y indicator.atr_state)
RETURNS indicator.atr_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    alpha float8;
    s     float8;
BEGIN
    IF x IS NULL OR y IS NULL THEN
        RETURN coalesce(x, y);
    END IF;
    IF x.period <> y.period THEN
        RAISE EXCEPTION 'period: states of % and % do not join', x.period, y.period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    alpha := 1.0 / x.period;
    s := CASE WHEN x.s < 1e-150 THEN 0 ELSE x.s * (1 - alpha) END
         + alpha * (greatest(y.high, x.close) - least(y.low, x.close));
    RETURN ROW(x.period, x.n + y.n, x.high, x.low, y.close,
               CASE WHEN x.a < 1e-150 OR y.a < 1e-150 THEN 0 ELSE x.a * (1 - alpha) * y.a END,
               CASE WHEN s < 1e-150 OR y.a < 1e-150 THEN 0 ELSE s * y.a END + y.s)::indicator.atr_state;
END
$$;
COMMENT ON FUNCTION _hypertick.atr_join(indicator.atr_state, indicator.atr_state) IS
    'The ATR state of x and then y; the true range of the first bar of y needs the last close of x.';

CREATE AGGREGATE indicator.atr_agg(high float8, low float8, close float8, period int)
    (sfunc = _hypertick.atr_step, stype = indicator.atr_state, parallel = safe);
COMMENT ON AGGREGATE indicator.atr_agg(float8, float8, float8, int) IS
    'State of Wilder''s ATR over bars: atr_agg(high, low, close, 14 ORDER BY bucket).';

CREATE AGGREGATE indicator.rollup(indicator.atr_state)
    (sfunc = _hypertick.atr_join, stype = indicator.atr_state, parallel = safe);
COMMENT ON AGGREGATE indicator.rollup(indicator.atr_state) IS
    'Joins states of contiguous blocks: rollup(state ORDER BY bucket). States of different periods are an error.';

CREATE FUNCTION indicator.atr(state indicator.atr_state, seed float8) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN (state).a < 1e-150 OR seed < 1e-150 THEN (state).s ELSE (state).a * seed + (state).s END;
COMMENT ON FUNCTION indicator.atr(indicator.atr_state, float8) IS
    'The ATR after the bars of the state, when it was seed at the first of them.';

CREATE FUNCTION indicator.atr(state indicator.atr_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN (state).n > 1 THEN (state).s / (1 - (state).a) END;
COMMENT ON FUNCTION indicator.atr(indicator.atr_state) IS
    'The ATR of just these bars, weights scaled to sum to 1; NULL for a single bar. After about 30 * period bars it '
    'is the ATR whatever came before.';

-- Sums -----------------------------------------------------------------------

CREATE FUNCTION _hypertick.sum_step(st indicator.sum_state, x float8)
RETURNS indicator.sum_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    d float8;
    m float8;
BEGIN
    IF x IS NULL THEN
        RETURN st;
    END IF;
    IF st IS NULL THEN
        RETURN ROW(1, x, 0, x, x)::indicator.sum_state;
    END IF;
    d := x - st.mean;
    IF abs(d) < 1e-150 THEN
        d := 0;
    END IF;
    m := st.mean + d / (st.n + 1);
    -- d * d * n/(n+1), and never below 0 by rounding.
    RETURN ROW(st.n + 1, m, st.m2 + d * d * (st.n::float8 / (st.n + 1)),
               least(st.min, x), greatest(st.max, x))::indicator.sum_state;
END
$$;
COMMENT ON FUNCTION _hypertick.sum_step(indicator.sum_state, float8) IS 'The sums with one more value (Welford).';

CREATE FUNCTION _hypertick.sum_join(x indicator.sum_state, y indicator.sum_state)
RETURNS indicator.sum_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    d float8;
    n bigint;
BEGIN
    IF x IS NULL OR y IS NULL THEN
        RETURN coalesce(x, y);
    END IF;
    n := x.n + y.n;
    d := y.mean - x.mean;
    IF abs(d) < 1e-150 THEN
        d := 0;
    END IF;
    RETURN ROW(n, x.mean + d * (y.n::float8 / n), x.m2 + y.m2 + d * d * (x.n::float8 * y.n / n),
               least(x.min, y.min), greatest(x.max, y.max))::indicator.sum_state;
END
$$;
COMMENT ON FUNCTION _hypertick.sum_join(indicator.sum_state, indicator.sum_state) IS 'The sums of both (Chan).';

-- Sums do commute, so these may be computed in parallel.
CREATE AGGREGATE indicator.sum_agg(x float8)
    (sfunc = _hypertick.sum_step, stype = indicator.sum_state,
     combinefunc = _hypertick.sum_join, parallel = safe);
COMMENT ON AGGREGATE indicator.sum_agg(float8) IS
    'State behind SMA, variance and Bollinger bands: n, mean, sum of squared deviations, min, max.';

CREATE AGGREGATE indicator.rollup(indicator.sum_state)
    (sfunc = _hypertick.sum_join, stype = indicator.sum_state,
     combinefunc = _hypertick.sum_join, parallel = safe);
COMMENT ON AGGREGATE indicator.rollup(indicator.sum_state) IS 'Joins sums of disjoint sets, in any order.';

CREATE FUNCTION indicator.count(state indicator.sum_state) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).n;
COMMENT ON FUNCTION indicator.count(indicator.sum_state) IS 'How many values.';

CREATE FUNCTION indicator.sum(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).n * (state).mean;
COMMENT ON FUNCTION indicator.sum(indicator.sum_state) IS 'Sum of the values.';

CREATE FUNCTION indicator.sum_squares(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).m2 + (state).n * (state).mean * (state).mean;
COMMENT ON FUNCTION indicator.sum_squares(indicator.sum_state) IS
    'Sum of the squares of the values. For a variance use variance(state), which keeps more digits.';

CREATE FUNCTION indicator.min(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).min;
COMMENT ON FUNCTION indicator.min(indicator.sum_state) IS 'Minimum.';

CREATE FUNCTION indicator.max(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).max;
COMMENT ON FUNCTION indicator.max(indicator.sum_state) IS 'Greatest value.';

CREATE FUNCTION indicator.mean(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).mean;
COMMENT ON FUNCTION indicator.mean(indicator.sum_state) IS 'Mean of the values.';

CREATE FUNCTION indicator.variance(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).m2 / (state).n;
COMMENT ON FUNCTION indicator.variance(indicator.sum_state) IS 'Population variance, as Bollinger bands use it.';

CREATE FUNCTION indicator.stddev(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sqrt((state).m2 / (state).n);
COMMENT ON FUNCTION indicator.stddev(indicator.sum_state) IS
    'Population standard deviation, as Bollinger bands use it.';

-- On-balance volume ----------------------------------------------------------

CREATE FUNCTION _hypertick.obv_step(st indicator.obv_state, close float8, volume float8)
RETURNS indicator.obv_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF close IS NULL THEN
        RETURN st;
    END IF;
    IF st IS NULL THEN
        RETURN ROW(1, close, volume, close, 0)::indicator.obv_state;
    END IF;
    RETURN ROW(st.n + 1, st.first, st.volume, close,
               st.s + sign(close - st.last) * volume)::indicator.obv_state;
END
$$;
COMMENT ON FUNCTION _hypertick.obv_step(indicator.obv_state, float8, float8) IS 'The OBV state with one more bar.';

CREATE FUNCTION _hypertick.obv_join(x indicator.obv_state, y indicator.obv_state)
RETURNS indicator.obv_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF x IS NULL OR y IS NULL THEN
        RETURN coalesce(x, y);
    END IF;
    RETURN ROW(x.n + y.n, x.first, x.volume, y.last,
               x.s + sign(y.first - x.last) * y.volume + y.s)::indicator.obv_state;
END
$$;
COMMENT ON FUNCTION _hypertick.obv_join(indicator.obv_state, indicator.obv_state) IS 'The OBV state of x and then y.';

CREATE AGGREGATE indicator.obv_agg(close float8, volume float8)
    (sfunc = _hypertick.obv_step, stype = indicator.obv_state, parallel = safe);
COMMENT ON AGGREGATE indicator.obv_agg(float8, float8) IS
    'State of on-balance volume over bars: obv_agg(close, volume ORDER BY bucket).';

CREATE AGGREGATE indicator.rollup(indicator.obv_state)
    (sfunc = _hypertick.obv_join, stype = indicator.obv_state, parallel = safe);
COMMENT ON AGGREGATE indicator.rollup(indicator.obv_state) IS
    'Joins states of contiguous blocks: rollup(state ORDER BY bucket).';

CREATE FUNCTION indicator.obv(state indicator.obv_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).volume + (state).s;
COMMENT ON FUNCTION indicator.obv(indicator.obv_state) IS
    'On-balance volume of these bars, counted from the first one''s volume, as TA-Lib does.';

-- Aggregates run their steps with their owner's rights. What is in schema
-- indicator is granted by default (see 01_roles.sql).
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA indicator FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION
    _hypertick.ema_step(indicator.ema_state, float8, int),
    _hypertick.ema_join(indicator.ema_state, indicator.ema_state),
    _hypertick.rsi_step(indicator.rsi_state, float8, int),
    _hypertick.rsi_join(indicator.rsi_state, indicator.rsi_state),
    _hypertick.atr_step(indicator.atr_state, float8, float8, float8, int),
    _hypertick.atr_join(indicator.atr_state, indicator.atr_state),
    _hypertick.sum_step(indicator.sum_state, float8),
    _hypertick.sum_join(indicator.sum_state, indicator.sum_state),
    _hypertick.obv_step(indicator.obv_state, float8, float8),
    _hypertick.obv_join(indicator.obv_state, indicator.obv_state)
FROM PUBLIC;
