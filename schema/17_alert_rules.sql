-- What to watch for. Rules are rows: whoever may write them does so through
-- hypertick_operator, and a trigger checks each against the catalog.

-- Where notifications can go. Addresses and secrets are in the notifier's own
-- configuration; it lists the names here when it starts.
CREATE TABLE alert.channels (
    name    text        PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    kind    text        NOT NULL CHECK (kind IN ('webhook', 'slack', 'email')),
    seen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE alert.channels IS 'Channels that a notifier can send to, listed by the notifier.';
COMMENT ON COLUMN alert.channels.name IS 'Name that rules use.';
COMMENT ON COLUMN alert.channels.kind IS 'webhook, slack or email.';
COMMENT ON COLUMN alert.channels.seen_at IS 'When a notifier last said that it serves it.';
GRANT SELECT ON alert.channels TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON alert.channels TO hypertick_operator;

CREATE TABLE alert.rules (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name              text        NOT NULL UNIQUE,
    description       text        NOT NULL DEFAULT '',
    symbols           text[]      NOT NULL DEFAULT '{*}',
    "interval"        text,
    indicator         text,
    params            jsonb       NOT NULL DEFAULT '{}',
    series            text,
    condition         text        NOT NULL,
    threshold         float8,
    upper             float8,
    against_indicator text,
    against_params    jsonb       NOT NULL DEFAULT '{}',
    against_series    text,
    bars              int         NOT NULL DEFAULT 1,
    cooldown          interval    NOT NULL DEFAULT '0',
    severity          text        NOT NULL DEFAULT 'warning',
    channels          text[]      NOT NULL DEFAULT '{}',
    notify_resolved   boolean     NOT NULL DEFAULT false,
    enabled           boolean     NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    version           int         NOT NULL DEFAULT 1
);
COMMENT ON TABLE alert.rules IS
    'What to watch for. A condition on a series of an indicator, seen on closed bars; or the health of a part of the '
    'pipeline.';
COMMENT ON COLUMN alert.rules.id IS 'Number of the rule.';
COMMENT ON COLUMN alert.rules.name IS 'Unique name, as people know it: lower case letters, digits and dashes.';
COMMENT ON COLUMN alert.rules.description IS 'What it is for.';
COMMENT ON COLUMN alert.rules.symbols IS
    'Symbols, or patterns with * and ?; \* is the character *. For condition fails: parts of the pipeline.';
COMMENT ON COLUMN alert.rules."interval" IS
    'Interval of the bars: see table intervals; 90m and the like are one too. NULL where the condition is fails.';
COMMENT ON COLUMN alert.rules.indicator IS 'Name in indicator.catalog. sma with period 1 is the close.';
COMMENT ON COLUMN alert.rules.params IS 'Parameters by name; those left out have their defaults.';
COMMENT ON COLUMN alert.rules.series IS
    'Series of the indicator. Left out: the one that has the indicator''s name, or its first.';
COMMENT ON COLUMN alert.rules.condition IS
    'above, below, crosses_above, crosses_below, outside, changes, rises, falls, fails.';
COMMENT ON COLUMN alert.rules.threshold IS
    'What the series is compared with; for outside the lower bound; for changes, rises and falls the change in '
    'percent.';
COMMENT ON COLUMN alert.rules.upper IS 'For outside: the upper bound.';
COMMENT ON COLUMN alert.rules.against_indicator IS
    'Instead of threshold: the indicator that the series is compared with.';
COMMENT ON COLUMN alert.rules.against_params IS 'Its parameters.';
COMMENT ON COLUMN alert.rules.against_series IS 'Its series.';
COMMENT ON COLUMN alert.rules.bars IS
    'For above, below and outside: bars in a row on which it must hold. For changes, rises and falls: how many bars '
    'the change may take.';
COMMENT ON COLUMN alert.rules.cooldown IS
    'For this long after an event the rule opens no other for the symbol, counted in the time of the bars.';
COMMENT ON COLUMN alert.rules.severity IS 'info, warning or critical.';
COMMENT ON COLUMN alert.rules.channels IS 'Names in alert.channels; none means all of them.';
COMMENT ON COLUMN alert.rules.notify_resolved IS 'Whether the end of an event is notified too.';
COMMENT ON COLUMN alert.rules.enabled IS 'Whether it is evaluated.';
COMMENT ON COLUMN alert.rules.created_at IS 'When it was written.';
COMMENT ON COLUMN alert.rules.updated_at IS 'When it was last changed.';
COMMENT ON COLUMN alert.rules.version IS 'Rises with each change.';
GRANT SELECT ON alert.rules TO hypertick_reader;
GRANT SELECT, INSERT, DELETE ON alert.rules TO hypertick_operator;
GRANT UPDATE (name, description, symbols, "interval", indicator, params, series, condition, threshold, upper,
              against_indicator, against_params, against_series, bars, cooldown, severity, channels,
              notify_resolved, enabled)
    ON alert.rules TO hypertick_operator;

CREATE FUNCTION _hypertick.matches(word text, patterns text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- What is escaped stands aside as a control character, of which no symbol has one,
-- while the rest becomes a pattern of LIKE.
RETURN EXISTS (
    SELECT FROM unnest(patterns) p
    WHERE word LIKE replace(translate(
        translate(regexp_replace(
            replace(replace(replace(replace(p, '\\', E'\x01'), '\*', E'\x02'), '\?', E'\x03'), '\', ''),
            '([%_])', '\\\1', 'g'), '*?', '%_'),
        E'\x02\x03', '*?'), E'\x01', '\\')
);
COMMENT ON FUNCTION _hypertick.matches(text, text[]) IS
    'Whether the word is, as a whole, any of the patterns: * is any text, ? any one character, and a backslash '
    'before a character takes its meaning off.';

-- The series that a name stands for, once indicator, series and parameters have
-- been looked up. Every error begins with the column it is about.
-- With public in search_path: an indicator of a user's own finds candles() there.
CREATE FUNCTION _hypertick.check_series(prefix text, "interval" text, name text, params jsonb, series text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    known text[];
    text_ text;
BEGIN
    SELECT array_agg(s ->> 'name') INTO known
    FROM indicator.catalog c, jsonb_array_elements(c.series) s
    WHERE c.name = check_series.name;
    IF known IS NULL THEN
        RAISE EXCEPTION '%indicator: want a name of indicator.catalog, got %', prefix, coalesce(name, 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF series IS NULL THEN
        series := CASE WHEN name = ANY (known) THEN name ELSE known[1] END;
    ELSIF series <> ALL (known) THEN
        RAISE EXCEPTION '%series: want one of %, got %', prefix, array_to_string(known, ', '), series
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Over no time at all, for the checks of its parameters: evaluate's, and the
    -- indicator's own.
    BEGIN
        PERFORM FROM indicator.evaluate(name, '', "interval", '2000-01-01', '2000-01-01', params);
    EXCEPTION WHEN invalid_parameter_value THEN
        GET STACKED DIAGNOSTICS text_ = MESSAGE_TEXT;
        RAISE EXCEPTION '%params: %', prefix, text_ USING ERRCODE = 'invalid_parameter_value';
    END;
    RETURN series;
END
$$;
COMMENT ON FUNCTION _hypertick.check_series(text, text, text, jsonb, text) IS
    'The series meant; an error that names the column where there is no such indicator, series or parameter.';

-- As its owner: an indicator of a user's own may be granted to the reader alone.
CREATE FUNCTION _hypertick.check_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong   text;
    fails   CONSTANT boolean := NEW.condition = 'fails';
    change  CONSTANT boolean := NEW.condition IN ('changes', 'rises', 'falls');
    compare CONSTANT boolean := NEW.condition IN ('above', 'below', 'crosses_above', 'crosses_below');
BEGIN
    wrong := CASE
        WHEN NEW.name !~ '^[a-z0-9][a-z0-9-]{0,62}$'
            THEN format('name: want 1 to 63 lower case letters, digits and dashes, got %s', NEW.name)
        WHEN length(NEW.description) > 1000
            THEN format('description: want at most 1000 characters, got %s', length(NEW.description))
        WHEN cardinality(NEW.symbols) NOT BETWEEN 1 AND 1000
            THEN format('symbols: want 1 to 1000 symbols or patterns, got %s', cardinality(NEW.symbols))
        WHEN EXISTS (SELECT FROM unnest(NEW.symbols) s WHERE s IS NULL OR length(s) NOT BETWEEN 1 AND 200)
            THEN 'symbols: want 1 to 200 characters in each, got one that is not'
        WHEN NOT (fails OR change OR compare OR NEW.condition = 'outside')
            THEN format('condition: want above, below, crosses_above, crosses_below, outside, changes, rises, falls '
                        'or fails, got %s', NEW.condition)
        WHEN NEW.severity NOT IN ('info', 'warning', 'critical')
            THEN format('severity: want info, warning or critical, got %s', NEW.severity)
        WHEN NEW.bars NOT BETWEEN 1 AND 1000
            THEN format('bars: want 1 to 1000, got %s', NEW.bars)
        WHEN NEW.bars > 1 AND NEW.condition IN ('crosses_above', 'crosses_below', 'fails')
            THEN format('bars: want 1 where the condition is %s, got %s', NEW.condition, NEW.bars)
        WHEN NEW.cooldown < '0' OR NEW.cooldown > '366 days'
            THEN format('cooldown: want 0 to 366 days, got %s', NEW.cooldown)
        WHEN fails AND (NEW.indicator IS NOT NULL OR NEW."interval" IS NOT NULL)
            THEN 'indicator: want none where the condition is fails, nor an interval'
        WHEN fails AND (NEW.threshold IS NOT NULL OR NEW.against_indicator IS NOT NULL)
            THEN 'threshold: want none where the condition is fails'
    END;
    IF wrong IS NULL AND NOT fails THEN
        -- An error of its own where there is no such interval.
        PERFORM _hypertick.find_interval(NEW."interval");
    END IF;
    -- NaN is above all numbers, so one comparison finds it and infinity.
    wrong := coalesce(wrong, CASE
        WHEN compare AND (NEW.threshold IS NULL) = (NEW.against_indicator IS NULL)
            THEN format('threshold: want either a number or against_indicator where the condition is %s',
                        NEW.condition)
        WHEN NOT compare AND NEW.against_indicator IS NOT NULL
            THEN format('against_indicator: want none where the condition is %s', NEW.condition)
        WHEN (change OR NEW.condition = 'outside') AND NEW.threshold IS NULL
            THEN format('threshold: want a number where the condition is %s, got null', NEW.condition)
        WHEN abs(NEW.threshold) > 1e300
            THEN format('threshold: want a number, got %s', NEW.threshold)
        WHEN change AND NEW.threshold <= 0
            THEN format('threshold: want more than 0 percent where the condition is %s, got %s',
                        NEW.condition, NEW.threshold)
        WHEN abs(NEW.upper) > 1e300
            THEN format('upper: want a number, got %s', NEW.upper)
        WHEN NEW.condition = 'outside' AND (NEW.upper > NEW.threshold) IS NOT TRUE
            THEN format('upper: want more than threshold where the condition is outside, got %s',
                        coalesce(NEW.upper::text, 'null'))
        WHEN NEW.condition <> 'outside' AND NEW.upper IS NOT NULL
            THEN format('upper: want none where the condition is %s', NEW.condition)
    END);
    IF wrong IS NULL AND (TG_OP = 'INSERT' OR NEW.channels <> OLD.channels) THEN
        SELECT format('channels: want names that a notifier has listed (%s), got %s',
                      coalesce((SELECT string_agg(n.name, ', ' ORDER BY n.name) FROM alert.channels n), 'none yet'),
                      coalesce(c, 'null'))
        INTO wrong
        FROM unnest(NEW.channels) c
        WHERE NOT EXISTS (SELECT FROM alert.channels n WHERE n.name = c)
        LIMIT 1;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT fails THEN
        NEW.series := _hypertick.check_series('', NEW."interval", NEW.indicator, NEW.params, NEW.series);
    END IF;
    IF NEW.against_indicator IS NOT NULL THEN
        NEW.against_series := _hypertick.check_series('against_', NEW."interval", NEW.against_indicator,
                                                      NEW.against_params, NEW.against_series);
    END IF;
    IF TG_OP = 'UPDATE' THEN
        NEW.updated_at := clock_timestamp();
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION _hypertick.check_rule() IS
    'Trigger: refuses a rule that could not be evaluated. The error begins with the column it is about.';
CREATE TRIGGER check_rule BEFORE INSERT OR UPDATE ON alert.rules
    FOR EACH ROW EXECUTE FUNCTION _hypertick.check_rule();

REVOKE EXECUTE ON FUNCTION
    _hypertick.matches(text, text[]),
    _hypertick.check_series(text, text, text, jsonb, text),
    _hypertick.check_rule()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.matches(text, text[]) TO hypertick_reader, hypertick_operator;
