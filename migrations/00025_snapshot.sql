-- +goose Up
-- All there is to know of one symbol at this moment, in one call.
-- +goose StatementBegin
CREATE FUNCTION snapshot(symbol text, "interval" text DEFAULT '1m')
RETURNS jsonb
LANGUAGE plpgsql STABLE
-- A generic plan does not know which chunks the times leave, and looks at all.
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    bar        public.candles_1m;
    today      public.candles_1m;
    yesterday  public.candles_1m;
    since      timestamptz;
    tick       public.ticks;
    indicators jsonb;
BEGIN
    SELECT c.* INTO bar FROM public.candles(symbol, "interval", 'infinity', warmup => 1) c;
    IF bar.bucket IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT c.* INTO today FROM public.candles(symbol, '1d', 'infinity', warmup => 1) c;
    SELECT c.* INTO yesterday FROM public.candles(symbol, '1d', today.bucket, today.bucket, warmup => 1) c;
    SELECT c.bucket INTO since FROM public.candles(symbol, '1m', 'infinity', warmup => 1) c;
    SELECT t.* INTO tick FROM public.ticks t
    WHERE t.symbol = snapshot.symbol AND t.ts >= since
    ORDER BY t.ts DESC, t.seq DESC, t.venue DESC LIMIT 1;
    -- The names and default parameters of indicator.latest. An indicator that
    -- has no value on this bar is null.
    SELECT pg_catalog.jsonb_object_agg(w.name, v.value) INTO indicators
    FROM (VALUES ('sma_20'), ('sma_50'), ('sma_200'), ('ema_12'), ('ema_26'), ('macd'), ('rsi_14'), ('atr_14'),
                 ('percent_b'), ('zscore'), ('volume_ratio'), ('trend')) w(name)
    LEFT JOIN (
        SELECT 'sma_20' AS name, p.value FROM indicator.sma(symbol, "interval", bar.bucket, 'infinity', 20) p
        UNION ALL SELECT 'sma_50', p.value FROM indicator.sma(symbol, "interval", bar.bucket, 'infinity', 50) p
        UNION ALL SELECT 'sma_200', p.value FROM indicator.sma(symbol, "interval", bar.bucket, 'infinity', 200) p
        UNION ALL SELECT 'ema_12', p.value FROM indicator.ema(symbol, "interval", bar.bucket, 'infinity', 12) p
        UNION ALL SELECT 'ema_26', p.value FROM indicator.ema(symbol, "interval", bar.bucket, 'infinity', 26) p
        UNION ALL SELECT 'macd', p.value FROM indicator.macd(symbol, "interval", bar.bucket, 'infinity') p WHERE p.series = 'macd'
        UNION ALL SELECT 'rsi_14', p.value FROM indicator.rsi(symbol, "interval", bar.bucket, 'infinity', 14) p
        UNION ALL SELECT 'atr_14', p.value FROM indicator.atr(symbol, "interval", bar.bucket, 'infinity', 14) p
        UNION ALL SELECT 'percent_b', p.value FROM indicator.bollinger(symbol, "interval", bar.bucket, 'infinity') p WHERE p.series = 'percent_b'
        UNION ALL SELECT 'zscore', p.value FROM indicator.zscore(symbol, "interval", bar.bucket, 'infinity') p
        UNION ALL SELECT 'volume_ratio', p.value FROM indicator.volume_spike(symbol, "interval", bar.bucket, 'infinity') p WHERE p.series = 'ratio'
        UNION ALL SELECT 'trend', pg_catalog.sign(pg_catalog.sum(CASE p.series WHEN 'fast' THEN p.value ELSE -p.value END))
                  FROM indicator.trend(symbol, "interval", bar.bucket, 'infinity') p WHERE p.series IN ('fast', 'slow') HAVING pg_catalog.count(*) = 2
    ) v USING (name);
    RETURN pg_catalog.jsonb_build_object(
        'symbol', symbol,
        'tick', CASE WHEN tick.ts IS NOT NULL THEN pg_catalog.jsonb_build_object(
            'ts', tick.ts, 'price', tick.price, 'size', tick.size, 'seq', tick.seq, 'venue', tick.venue) END,
        'candle', pg_catalog.jsonb_build_object(
            'bucket', bar.bucket, 'open', bar.open, 'high', bar.high, 'low', bar.low, 'close', bar.close, 'volume', bar.volume,
            'vwap', bar.notional / nullif(bar.volume, 0), 'trades', bar.trades),
        'day', pg_catalog.jsonb_build_object(
            'bucket', today.bucket, 'open', today.open, 'high', today.high, 'low', today.low, 'close', today.close, 'volume', today.volume,
            'previous_close', yesterday.close, 'change', today.close - yesterday.close,
            'change_fraction', today.close / nullif(yesterday.close, 0) - 1),
        'indicators', indicators);
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION snapshot(text, text) IS
'What is known of a symbol now: its newest tick, the newest bar of the interval, the UTC day it last traded on with the change since the day before, and the indicators of indicator.latest on that bar. Null for a symbol without a bar.';
REVOKE EXECUTE ON FUNCTION snapshot(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION snapshot(text, text) TO hypertick_reader, hypertick_writer;

-- +goose Down
DROP FUNCTION snapshot(text, text);
