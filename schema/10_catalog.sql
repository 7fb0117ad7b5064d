-- What an indicator returns, how it is found, and how it is called by name.
CREATE TYPE indicator.point AS (bucket timestamptz, series text, value float8);
COMMENT ON TYPE indicator.point IS 'One value of one series of an indicator, for the bar that starts at bucket.';

CREATE FUNCTION _hypertick.forget(beta float8) RETURNS int
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN beta < 1e-13 THEN 1 ELSE ceil(ln(1e-13) / ln(beta))::int END;
COMMENT ON FUNCTION _hypertick.forget(float8) IS
    'After how many bars a recurrence that keeps beta of its value per bar has forgotten what came before, to 1e-13.';

CREATE FUNCTION _hypertick.in_range(parameter text, value float8, lowest float8, highest float8) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value >= lowest AND value <= highest THEN
        RETURN;
    END IF;
    RAISE EXCEPTION '%: want % to %, got %', parameter, lowest, highest, coalesce(value::text, 'null')
        USING ERRCODE = 'invalid_parameter_value';
END
$$;
COMMENT ON FUNCTION _hypertick.in_range(text, float8, float8, float8) IS
    'Raises an error that names the parameter unless lowest <= value <= highest.';

-- Indicators, from pg_proc alone. A COMMENT carries what people should know:
-- its first line is the title; lines "@param name min..max text" and "@series name
-- text" describe parameters and series; the rest is the description.
CREATE VIEW indicator.catalog AS
SELECT p.proname::text AS name,
       coalesce(split_part(d.text, E'\n', 1), p.proname::text) AS title,
       -- A single line break is a space, an empty line begins a paragraph.
       (SELECT coalesce(regexp_replace(string_agg(l.line, E'\n' ORDER BY l.i), '([^\n])\n(?=[^\n])', '\1 ', 'g'), '')
        FROM regexp_split_to_table(d.text, E'\n') WITH ORDINALITY l(line, i)
        WHERE l.i > 1 AND l.line !~ '^@') AS description,
       (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                   'name', a.name,
                   'type', CASE a.type::text
                               WHEN 'integer' THEN 'integer' WHEN 'bigint' THEN 'integer'
                               WHEN 'double precision' THEN 'number' WHEN 'numeric' THEN 'number'
                               WHEN 'real' THEN 'number'
                               WHEN 'boolean' THEN 'boolean' ELSE 'string' END,
                   'default', regexp_replace(a.def, '^''?(.*?)''?(::[a-z ]+)?$', '\1'),
                   'min', m.found[1]::float8,
                   'max', m.found[2]::float8,
                   'description', m.found[3])) ORDER BY a.i), '[]')
        FROM (SELECT p.proargnames[i] AS name, p.proargtypes[i - 1]::regtype AS type, i,
                     pg_get_function_arg_default(p.oid, i) AS def
              FROM generate_series(5, p.pronargs) i) a
        LEFT JOIN LATERAL (
            SELECT x.found
            FROM regexp_split_to_table(d.text, E'\n') l,
                 regexp_match(l, '^@param\s+' || a.name || '(?:\s+(-?[0-9.]*[0-9])\.\.(-?[0-9.]+))?(?:\s+(.*))?$')
                     x(found)
            WHERE x.found IS NOT NULL LIMIT 1) m ON true) AS parameters,
       (SELECT coalesce(
                   jsonb_agg(jsonb_strip_nulls(jsonb_build_object('name', x.found[1], 'description', x.found[2]))
                             ORDER BY l.i),
                   jsonb_build_array(jsonb_build_object('name', p.proname)))
        FROM regexp_split_to_table(d.text, E'\n') WITH ORDINALITY l(line, i),
             regexp_match(l.line, '^@series\s+(\S+)(?:\s+(.*))?$') x(found)
        WHERE x.found IS NOT NULL) AS series
FROM pg_catalog.pg_proc p
LEFT JOIN LATERAL (SELECT obj_description(p.oid, 'pg_proc')) d(text) ON true
WHERE p.pronamespace = 'indicator'::regnamespace
  AND p.prokind = 'f' AND p.proretset AND p.prorettype = 'indicator.point'::regtype
  AND p.pronargs >= 4 AND p.proargtypes[0] = 'text'::regtype AND p.proargtypes[1] = 'text'::regtype
  AND p.proargtypes[2] = 'timestamptz'::regtype AND p.proargtypes[3] = 'timestamptz'::regtype
  AND has_function_privilege(p.oid, 'EXECUTE')
ORDER BY p.proname;
COMMENT ON VIEW indicator.catalog IS
    'Every indicator there is: the functions of this schema that take (symbol, interval, from, to, ...) and return '
    'SETOF indicator.point.';
COMMENT ON COLUMN indicator.catalog.name IS 'Name of the function.';
COMMENT ON COLUMN indicator.catalog.title IS 'First line of its COMMENT.';
COMMENT ON COLUMN indicator.catalog.description IS 'Rest of its COMMENT.';
COMMENT ON COLUMN indicator.catalog.parameters IS
    'Array of {name, type, default, min, max, description}. type is integer, number, boolean or string; default is '
    'text, absent where a value must be given.';
COMMENT ON COLUMN indicator.catalog.series IS 'Array of {name, description}.';
GRANT SELECT ON indicator.catalog TO hypertick_reader, hypertick_writer;

-- Calls an indicator by name. Only names that were found in pg_proc enter the
-- statement; every value is passed as a value.
CREATE FUNCTION indicator.evaluate(
    name text, symbol text, "interval" text, "from" timestamptz, "to" timestamptz, params jsonb DEFAULT '{}')
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
-- With public: an indicator of your own may say candles() without its schema,
-- whoever calls it.
SET search_path = pg_catalog, public, pg_temp
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
        RAISE EXCEPTION 'indicator: % does not exist', coalesce(quote_ident(evaluate.name), 'null')
            USING ERRCODE = 'undefined_function', HINT = 'SELECT name FROM indicator.catalog lists them.';
    END IF;
    IF symbol IS NULL OR "interval" IS NULL OR "from" IS NULL OR "to" IS NULL THEN
        RAISE EXCEPTION 'symbol, interval, from and to: none may be null' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    params := coalesce(params, '{}');
    IF jsonb_typeof(params) <> 'object' THEN
        RAISE EXCEPTION 'params: want an object, got %', jsonb_typeof(params) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR key IN SELECT k FROM jsonb_object_keys(params) k
               WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(known.parameters) p WHERE p ->> 'name' = k) LOOP
        RAISE EXCEPTION '%: no such parameter of %', key, known.name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = coalesce('It has ' || (SELECT string_agg(p ->> 'name', ', ')
                                                FROM jsonb_array_elements(known.parameters) p) || '.',
                                  'It has none.');
    END LOOP;
    FOR want IN SELECT p FROM jsonb_array_elements(known.parameters) p LOOP
        key := want ->> 'name';
        got := params -> key;
        word := params ->> key;
        IF word IS NULL THEN
            IF want ? 'default' AND got IS NULL THEN
                CONTINUE;
            END IF;
            RAISE EXCEPTION '%: want %, got %', key, want ->> 'type',
                CASE WHEN got IS NULL THEN 'nothing' ELSE 'null' END
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        -- Text is taken where it spells a value of the type, as it comes from a URL.
        IF jsonb_typeof(got) NOT IN ('string', want ->> 'type')
               AND NOT (jsonb_typeof(got) = 'number' AND want ->> 'type' = 'integer')
           OR want ->> 'type' = 'integer' AND word !~ '^-?[0-9]{1,18}$'
           OR want ->> 'type' = 'number'
               AND word !~ '^-?([0-9]{1,18}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,2})?$'
           OR want ->> 'type' = 'boolean' AND word NOT IN ('true', 'false') THEN
            RAISE EXCEPTION '%: want %, got %', key,
                CASE WHEN want ->> 'type' = 'integer' THEN 'an integer' ELSE 'a ' || (want ->> 'type') END, got
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF word::text ~ '^-?[0-9.]' AND want ->> 'type' IN ('integer', 'number')
           AND (word::float8 < (want ->> 'min')::float8 OR word::float8 > (want ->> 'max')::float8) THEN
            RAISE EXCEPTION '%: want % to %, got %', key, want ->> 'min', want ->> 'max', word
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        args := args || format(', %I => ($5 ->> %L)::%s', key, key,
            (SELECT format_type(pr.proargtypes[i - 1], NULL)
             FROM pg_proc pr, generate_series(5, pr.pronargs) i
             WHERE pr.pronamespace = 'indicator'::regnamespace AND pr.proname = known.name
               AND pr.prorettype = 'indicator.point'::regtype AND pr.proargnames[i] = key));
    END LOOP;
    RETURN QUERY EXECUTE
        format('SELECT p.bucket, p.series, p.value FROM indicator.%I($1, $2, $3, $4%s) p', known.name, args)
        USING symbol, "interval", "from", "to", params;
END
$$;
COMMENT ON FUNCTION indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb) IS
    'Evaluates an indicator of indicator.catalog by name over the bars with "from" <= bucket < "to". params holds '
    'parameters by name; those left out have their defaults. An unknown name or parameter, a wrong type or a value '
    'out of range is an error that names it.';

REVOKE EXECUTE ON FUNCTION
    indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb), _hypertick.forget(float8),
    _hypertick.in_range(text, float8, float8, float8)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb), _hypertick.forget(float8),
    _hypertick.in_range(text, float8, float8, float8)
TO hypertick_reader, hypertick_writer;
