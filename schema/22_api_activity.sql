-- Request statistics of the API, by the minute: number, status and latency. Each
-- process of the API writes a closed minute once, in one statement, as
-- hypertick_operator, and the last one when it stops.

CREATE TABLE api_activity (
    minute        timestamptz NOT NULL,
    instance      text        NOT NULL,
    started_at    timestamptz NOT NULL,
    method        text        NOT NULL,
    route         text        NOT NULL,
    requests      int         NOT NULL,
    client_errors int         NOT NULL,
    server_errors int         NOT NULL,
    bytes         bigint      NOT NULL,
    seconds       float8      NOT NULL,
    latency       int[]       NOT NULL
);
SELECT create_hypertable('api_activity', by_range('minute', INTERVAL '7 days'), create_default_indexes => false);
-- A process writes rows of its own, so nothing is ever added to a row, and one
-- that does not know whether its rows were stored may send them again.
CREATE UNIQUE INDEX api_activity_key ON api_activity (minute, instance, started_at, method, route);
SELECT add_retention_policy('api_activity', INTERVAL '30 days', schedule_interval => INTERVAL '1 day');

COMMENT ON TABLE api_activity IS
    'What the API answered, by minute, instance and operation. No row where nothing was asked. Rows go after 30 '
    'days.';
COMMENT ON COLUMN api_activity.minute IS 'Minute in which the answers were ready.';
COMMENT ON COLUMN api_activity.instance IS 'Host and port of the API.';
COMMENT ON COLUMN api_activity.started_at IS
    'When its process was started: one restarted within a minute has a row of its own.';
COMMENT ON COLUMN api_activity.method IS 'Method of HTTP, or other.';
COMMENT ON COLUMN api_activity.route IS
    'Path as the OpenAPI document writes it; /assets/{file} is the page''s, unknown what leads nowhere, malformed '
    'what could not be read.';
COMMENT ON COLUMN api_activity.requests IS 'Requests answered, errors included.';
COMMENT ON COLUMN api_activity.client_errors IS 'Of these, with a status of 400 to 499.';
COMMENT ON COLUMN api_activity.server_errors IS 'Of these, with a status of 500 and more.';
COMMENT ON COLUMN api_activity.bytes IS 'Bytes of the bodies; those of event streams are not counted.';
COMMENT ON COLUMN api_activity.seconds IS
    'Time from arrival until the answer was ready to be sent, all requests together; of a stream, until it began.';
COMMENT ON COLUMN api_activity.latency IS
    'Requests by that time: the first element counts up to 0.125 ms, each further one up to sqrt(2) times more, the '
    '38th what took over 32.768 s. Zeros at the end are left out. See latency_sum() and latency_quantile().';
COMMENT ON INDEX api_activity_key IS 'One row for an operation, minute and process.';
GRANT SELECT ON api_activity TO hypertick_reader;
GRANT INSERT ON api_activity TO hypertick_operator;

-- No SET search_path on the step: it would cost more than the step itself.
CREATE FUNCTION _hypertick.latency_step(state bigint[], latency int[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    FOR i IN 1 .. cardinality(latency) LOOP
        state[i] := coalesce(state[i], 0) + latency[i];
    END LOOP;
    RETURN state;
END
$$;
COMMENT ON FUNCTION _hypertick.latency_step(bigint[], int[]) IS 'Adds a histogram of latencies to others.';

CREATE AGGREGATE latency_sum(latency int[])
    (sfunc = _hypertick.latency_step, stype = bigint[], initcond = '{}', parallel = safe);
COMMENT ON AGGREGATE latency_sum(int[]) IS
    'The histogram of all requests whose histograms these are: latency_quantile() reads it.';

CREATE FUNCTION latency_quantile(latency bigint[], q float8) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN b.i = 1 THEN 0.125 * b.part WHEN b.i = 38 THEN 32768 ELSE power(2, (b.i + b.part) / 2 - 4) END
    FROM (
        SELECT s.i, s.upto, latency_quantile.q * s.total AS rank,
               (latency_quantile.q * s.total - s.upto + s.n) / s.n AS part
        FROM (
            SELECT u.i, u.n::float8 AS n,
                   sum(u.n) OVER (ORDER BY u.i)::float8 AS upto, sum(u.n) OVER ()::float8 AS total
            FROM unnest(latency_quantile.latency) WITH ORDINALITY u(n, i)
        ) s
        WHERE s.n > 0
    ) b
    WHERE b.upto >= b.rank AND latency_quantile.q BETWEEN 0 AND 1
    ORDER BY b.i LIMIT 1
$$;
COMMENT ON FUNCTION latency_quantile(bigint[], float8) IS
    'The latency, in ms, that the share q (0 to 1) of the requests in a histogram did not exceed. Within the class '
    'that holds the request at q the requests are taken to be spread evenly on a logarithmic scale, in the first one '
    '(below 0.125 ms) on a linear one; so it is off by less than a factor of sqrt(2), and by far less where many '
    'requests lie in the class. 32768 where the request took longer than that. NULL where there is none.';

REVOKE EXECUTE ON FUNCTION
    _hypertick.latency_step(bigint[], int[]),
    latency_sum(int[]),
    latency_quantile(bigint[], float8)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    _hypertick.latency_step(bigint[], int[]),
    latency_sum(int[]),
    latency_quantile(bigint[], float8)
TO hypertick_reader;

CREATE VIEW api_traffic AS
SELECT a.minute, a.method, a.route,
       sum(a.requests) AS requests,
       sum(a.requests) / 60::float8 AS per_second,
       sum(a.client_errors) AS client_errors,
       sum(a.server_errors) AS server_errors,
       sum(a.bytes)::bigint AS bytes,
       1000 * sum(a.seconds) / sum(a.requests) AS mean_ms,
       public.latency_quantile(public.latency_sum(a.latency), 0.5) AS p50_ms,
       public.latency_quantile(public.latency_sum(a.latency), 0.95) AS p95_ms,
       public.latency_quantile(public.latency_sum(a.latency), 0.99) AS p99_ms
FROM public.api_activity a
GROUP BY a.minute, a.method, a.route;
COMMENT ON VIEW api_traffic IS
    'Rate, errors and latency of each operation of the API by minute, all instances together. For other groups, sum '
    'api_activity with latency_sum().';
COMMENT ON COLUMN api_traffic.minute IS 'Minute in which the answers were ready.';
COMMENT ON COLUMN api_traffic.method IS 'Method of HTTP.';
COMMENT ON COLUMN api_traffic.route IS 'Path as the OpenAPI document writes it.';
COMMENT ON COLUMN api_traffic.requests IS 'Requests answered, errors included.';
COMMENT ON COLUMN api_traffic.per_second IS 'Requests a second.';
COMMENT ON COLUMN api_traffic.client_errors IS 'Requests with a status of 400 to 499.';
COMMENT ON COLUMN api_traffic.server_errors IS 'Requests with a status of 500 and more.';
COMMENT ON COLUMN api_traffic.bytes IS 'Bytes of the bodies, event streams aside.';
COMMENT ON COLUMN api_traffic.mean_ms IS 'Mean latency, exact.';
COMMENT ON COLUMN api_traffic.p50_ms IS 'Latency that half of the requests did not exceed; see latency_quantile().';
COMMENT ON COLUMN api_traffic.p95_ms IS 'Latency that 95 % of them did not exceed.';
COMMENT ON COLUMN api_traffic.p99_ms IS 'Latency that 99 % of them did not exceed.';
GRANT SELECT ON api_traffic TO hypertick_reader;
