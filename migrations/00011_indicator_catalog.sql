-- +goose Up
-- What an indicator returns, how it is found, and how it is called by name.
CREATE TYPE indicator.point AS (bucket timestamptz, series text, value float8);
COMMENT ON TYPE indicator.point IS 'One value of one series of an indicator, for the bar that starts at bucket.';

CREATE FUNCTION _hypertick.forget(beta float8) RETURNS int
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN beta < 1e-13 THEN 1 ELSE pg_catalog.ceil(pg_catalog.ln(1e-13) / pg_catalog.ln(beta))::int END;
COMMENT ON FUNCTION _hypertick.forget(float8) IS 'After how many bars a recurrence that keeps beta of its value per bar has forgotten what came before, to 1e-13.';

-- +goose StatementBegin
CREATE FUNCTION _hypertick.in_range(parameter text, value float8, lowest float8, highest float8) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF value >= lowest AND value <= highest THEN
        RETURN;
    END IF;
    RAISE EXCEPTION '%: want % to %, got %', parameter, lowest, highest, coalesce(value::text, 'null')
        USING ERRCODE = 'invalid_parameter_value';
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.in_range(text, float8, float8, float8) IS 'Raises an error that names the parameter unless lowest <= value <= highest.';

CREATE FUNCTION _hypertick.block_width("interval" text) RETURNS interval
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE "interval" WHEN '1m' THEN INTERVAL '1 hour' WHEN '5m' THEN INTERVAL '6 hours' WHEN '15m' THEN INTERVAL '12 hours'
                       WHEN '1h' THEN INTERVAL '2 days' WHEN '1d' THEN INTERVAL '60 days' END;
COMMENT ON FUNCTION _hypertick.block_width(text) IS 'Length of the blocks of an interval, as in _hypertick.blocks, but a constant to the planner.';

-- The blocks that end by before, newest first, until they hold that many bars.
-- The newest ones that together hold up to skip bars are left out. A cursor,
-- since how many blocks that takes depends on how often the symbol trades.
-- Only blocks older than the newest of any symbol are final (see 00010).
-- +goose StatementBegin
CREATE FUNCTION _hypertick.blocks_before(symbol text, "interval" text, before timestamptz, bars bigint, skip bigint DEFAULT 0)
RETURNS SETOF indicator.blocks_1m
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10
AS $$
DECLARE
    start_by CONSTANT timestamptz := before - _hypertick.block_width("interval");
    c        refcursor;
    r        record;
    gathered bigint := 0;
BEGIN
    CASE "interval"
    WHEN '1m' THEN
        OPEN c FOR SELECT b.* FROM indicator.blocks_1m b
            WHERE b.symbol = blocks_before.symbol AND b.bucket <= start_by AND b.bucket < (SELECT pg_catalog.max(n.bucket) FROM _hypertick.blocks_1m n)
            ORDER BY b.bucket DESC;
    WHEN '5m' THEN
        OPEN c FOR SELECT b.* FROM indicator.blocks_5m b
            WHERE b.symbol = blocks_before.symbol AND b.bucket <= start_by AND b.bucket < (SELECT pg_catalog.max(n.bucket) FROM _hypertick.blocks_5m n)
            ORDER BY b.bucket DESC;
    WHEN '15m' THEN
        OPEN c FOR SELECT b.* FROM indicator.blocks_15m b
            WHERE b.symbol = blocks_before.symbol AND b.bucket <= start_by AND b.bucket < (SELECT pg_catalog.max(n.bucket) FROM _hypertick.blocks_15m n)
            ORDER BY b.bucket DESC;
    WHEN '1h' THEN
        OPEN c FOR SELECT b.* FROM indicator.blocks_1h b
            WHERE b.symbol = blocks_before.symbol AND b.bucket <= start_by AND b.bucket < (SELECT pg_catalog.max(n.bucket) FROM _hypertick.blocks_1h n)
            ORDER BY b.bucket DESC;
    WHEN '1d' THEN
        OPEN c FOR SELECT b.* FROM indicator.blocks_1d b
            WHERE b.symbol = blocks_before.symbol AND b.bucket <= start_by AND b.bucket < (SELECT pg_catalog.max(n.bucket) FROM _hypertick.blocks_1d n)
            ORDER BY b.bucket DESC;
    ELSE
        RETURN;
    END CASE;
    LOOP
        FETCH c INTO r;
        EXIT WHEN NOT FOUND;
        IF skip > 0 THEN
            skip := skip - r.bars;
        ELSE
            RETURN NEXT r;
            gathered := gathered + r.bars;
            EXIT WHEN gathered >= bars;
        END IF;
    END LOOP;
    CLOSE c;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.blocks_before(text, text, timestamptz, bigint, bigint) IS 'Block states near a time. The caller checks sum(bars): fewer than asked for means that history begins within them.';

-- Indicators, from pg_proc alone. A COMMENT carries what people should know:
-- its first line is the title; lines "@param name min..max text" and "@series name
-- text" describe parameters and series; the rest is the description.
-- +goose StatementBegin
CREATE VIEW indicator.catalog AS
SELECT p.proname::text AS name,
       coalesce(pg_catalog.split_part(d.text, E'\n', 1), p.proname::text) AS title,
       (SELECT coalesce(pg_catalog.string_agg(l.line, E'\n' ORDER BY l.i), '')
        FROM pg_catalog.regexp_split_to_table(d.text, E'\n') WITH ORDINALITY l(line, i)
        WHERE l.i > 1 AND l.line !~ '^@') AS description,
       (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                   'name', a.name,
                   'type', CASE a.type WHEN 'integer'::regtype THEN 'integer' WHEN 'bigint'::regtype THEN 'integer'
                                       WHEN 'double precision'::regtype THEN 'number' WHEN 'numeric'::regtype THEN 'number'
                                       WHEN 'real'::regtype THEN 'number' WHEN 'boolean'::regtype THEN 'boolean' ELSE 'string' END,
                   'default', pg_catalog.regexp_replace(a.def, '^''?(.*?)''?(::[a-z ]+)?$', '\1'),
                   'min', m.found[1]::float8,
                   'max', m.found[2]::float8,
                   'description', m.found[3])) ORDER BY a.i), '[]')
        FROM (SELECT p.proargnames[i] AS name, p.proargtypes[i - 1]::regtype AS type, i,
                     pg_catalog.pg_get_function_arg_default(p.oid, i) AS def
              FROM pg_catalog.generate_series(5, p.pronargs) i) a
        LEFT JOIN LATERAL (
            SELECT x.found FROM pg_catalog.regexp_split_to_table(d.text, E'\n') l,
                   pg_catalog.regexp_match(l, '^@param\s+' || a.name || '(?:\s+(-?[0-9.]*[0-9])\.\.(-?[0-9.]+))?(?:\s+(.*))?$') x(found)
            WHERE x.found IS NOT NULL LIMIT 1) m ON true) AS parameters,
       (SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('name', x.found[1], 'description', x.found[2])) ORDER BY l.i),
                        pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('name', p.proname)))
        FROM pg_catalog.regexp_split_to_table(d.text, E'\n') WITH ORDINALITY l(line, i),
             pg_catalog.regexp_match(l.line, '^@series\s+(\S+)(?:\s+(.*))?$') x(found)
        WHERE x.found IS NOT NULL) AS series
FROM pg_catalog.pg_proc p
LEFT JOIN LATERAL (SELECT pg_catalog.obj_description(p.oid, 'pg_proc')) d(text) ON true
WHERE p.pronamespace = 'indicator'::regnamespace
  AND p.prokind = 'f' AND p.proretset AND p.prorettype = 'indicator.point'::regtype
  AND p.pronargs >= 4 AND p.proargtypes[0] = 'text'::regtype AND p.proargtypes[1] = 'text'::regtype
  AND p.proargtypes[2] = 'timestamptz'::regtype AND p.proargtypes[3] = 'timestamptz'::regtype
  AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
ORDER BY p.proname;
-- +goose StatementEnd
COMMENT ON VIEW indicator.catalog IS 'Every indicator there is: the functions of this schema that take (symbol, interval, from, to, ...) and return SETOF indicator.point.';
COMMENT ON COLUMN indicator.catalog.name IS 'Name of the function.';
COMMENT ON COLUMN indicator.catalog.title IS 'First line of its COMMENT.';
COMMENT ON COLUMN indicator.catalog.description IS 'Rest of its COMMENT.';
COMMENT ON COLUMN indicator.catalog.parameters IS 'Array of {name, type, default, min, max, description}. type is integer, number, boolean or string; default is text, absent where a value must be given.';
COMMENT ON COLUMN indicator.catalog.series IS 'Array of {name, description}.';
GRANT SELECT ON indicator.catalog TO hypertick_reader, hypertick_writer;

-- Calls an indicator by name. Only names that were found in pg_proc enter the
-- statement; every value is passed as a value.
-- +goose StatementBegin
CREATE FUNCTION indicator.evaluate(name text, symbol text, "interval" text, "from" timestamptz, "to" timestamptz, params jsonb DEFAULT '{}')
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
AS $$
DECLARE
    known indicator.catalog;
    want  jsonb;
    key   text;
    got   jsonb;
    word  text;
    args  text := '';
BEGIN
    SELECT c.* INTO known FROM indicator.catalog c WHERE c.name = evaluate.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'indicator: there is none named %', coalesce(pg_catalog.quote_ident(evaluate.name), 'null')
            USING ERRCODE = 'undefined_function', HINT = 'SELECT name FROM indicator.catalog lists them.';
    END IF;
    IF symbol IS NULL OR "interval" IS NULL OR "from" IS NULL OR "to" IS NULL THEN
        RAISE EXCEPTION 'symbol, interval, from and to: none may be null' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    params := coalesce(params, '{}');
    IF pg_catalog.jsonb_typeof(params) <> 'object' THEN
        RAISE EXCEPTION 'params: want an object, got %', pg_catalog.jsonb_typeof(params) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR key IN SELECT k FROM pg_catalog.jsonb_object_keys(params) k
               WHERE NOT EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(known.parameters) p WHERE p ->> 'name' = k) LOOP
        RAISE EXCEPTION '%: no such parameter of %', key, known.name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = coalesce('It has ' || (SELECT pg_catalog.string_agg(p ->> 'name', ', ') FROM pg_catalog.jsonb_array_elements(known.parameters) p) || '.',
                                  'It has none.');
    END LOOP;
    FOR want IN SELECT p FROM pg_catalog.jsonb_array_elements(known.parameters) p LOOP
        key := want ->> 'name';
        got := params -> key;
        word := params ->> key;
        IF word IS NULL THEN
            IF want ? 'default' AND got IS NULL THEN
                CONTINUE;
            END IF;
            RAISE EXCEPTION '%: want %, got %', key, want ->> 'type', CASE WHEN got IS NULL THEN 'nothing' ELSE 'null' END
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        -- Text is taken where it spells a value of the type, as it comes from a URL.
        IF pg_catalog.jsonb_typeof(got) NOT IN ('string', want ->> 'type') AND NOT (pg_catalog.jsonb_typeof(got) = 'number' AND want ->> 'type' = 'integer')
           OR want ->> 'type' = 'integer' AND word !~ '^-?[0-9]{1,18}$'
           OR want ->> 'type' = 'number' AND word !~ '^-?([0-9]{1,18}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,2})?$'
           OR want ->> 'type' = 'boolean' AND word NOT IN ('true', 'false') THEN
            RAISE EXCEPTION '%: want %, got %', key, CASE WHEN want ->> 'type' = 'integer' THEN 'an integer' ELSE 'a ' || (want ->> 'type') END, got
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF word::text ~ '^-?[0-9.]' AND want ->> 'type' IN ('integer', 'number')
           AND (word::float8 < (want ->> 'min')::float8 OR word::float8 > (want ->> 'max')::float8) THEN
            RAISE EXCEPTION '%: want % to %, got %', key, want ->> 'min', want ->> 'max', word
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        args := args || pg_catalog.format(', %I => ($5 ->> %L)::%s', key, key,
            (SELECT pg_catalog.format_type(pr.proargtypes[i - 1], NULL)
             FROM pg_catalog.pg_proc pr, pg_catalog.generate_series(5, pr.pronargs) i
             WHERE pr.pronamespace = 'indicator'::regnamespace AND pr.proname = known.name
               AND pr.prorettype = 'indicator.point'::regtype AND pr.proargnames[i] = key));
    END LOOP;
    RETURN QUERY EXECUTE pg_catalog.format('SELECT p.bucket, p.series, p.value FROM indicator.%I($1, $2, $3, $4%s) p', known.name, args)
        USING symbol, "interval", "from", "to", params;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb) IS
'Evaluates an indicator of indicator.catalog by name over the bars with "from" <= bucket < "to". params holds parameters by name; those left out have their defaults. An unknown name or parameter, a wrong type or a value out of range is an error that names it.';
REVOKE EXECUTE ON FUNCTION indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb),
    _hypertick.forget(float8), _hypertick.in_range(text, float8, float8, float8), _hypertick.block_width(text),
    _hypertick.blocks_before(text, text, timestamptz, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb),
    _hypertick.forget(float8), _hypertick.in_range(text, float8, float8, float8), _hypertick.block_width(text),
    _hypertick.blocks_before(text, text, timestamptz, bigint, bigint) TO hypertick_reader, hypertick_writer;

-- +goose Down
DROP FUNCTION indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb);
DROP VIEW indicator.catalog;
DROP FUNCTION _hypertick.blocks_before(text, text, timestamptz, bigint, bigint);
DROP FUNCTION _hypertick.block_width(text);
DROP FUNCTION _hypertick.in_range(text, float8, float8, float8);
DROP FUNCTION _hypertick.forget(float8);
DROP TYPE indicator.point;
