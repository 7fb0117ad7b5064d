-- +goose Up
-- How rules become events. Three layers: which bars of a symbol meet a rule, which
-- events that makes, and how those differ from the ones that are stored. The
-- first two depend on nothing but the bars, so a dry run, a catch-up after an hour
-- without the job, and a second look after a late tick all say the same.

-- +goose StatementBegin
CREATE FUNCTION _hypertick.rule_bars(rule alert.rules, symbol text, "from" timestamptz, "to" timestamptz)
RETURNS TABLE (bucket timestamptz, value float8, threshold float8, holds boolean)
LANGUAGE plpgsql STABLE ROWS 500
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    change CONSTANT boolean := rule.condition IN ('changes', 'rises', 'falls');
    cross_ CONSTANT boolean := rule.condition IN ('crosses_above', 'crosses_below');
    -- Bars before the first that its condition needs to see.
    before CONSTANT int := CASE WHEN change THEN rule.bars WHEN cross_ THEN 1 ELSE rule.bars - 1 END;
    span   interval;
    since  timestamptz := "from";
BEGIN
    SELECT i.span * rule.bars INTO span FROM public.intervals i WHERE i."interval" = rule."interval";
    IF before > 0 THEN
        SELECT coalesce(pg_catalog.min(c.bucket), "from") INTO since
        FROM public.candles(symbol, rule."interval", "from", "from", warmup => before) c;
    END IF;
    RETURN QUERY
    WITH series AS MATERIALIZED (
        SELECT p.bucket, nullif(p.value, 'NaN') AS value
        FROM indicator.evaluate(rule.indicator, symbol, rule."interval", since, "to", rule.params) p
        WHERE p.series = rule.series
    ), against AS MATERIALIZED (
        SELECT p.bucket, nullif(p.value, 'NaN') AS value
        FROM indicator.evaluate(rule.against_indicator, symbol, rule."interval", since, "to", rule.against_params) p
        WHERE rule.against_indicator IS NOT NULL AND p.series = rule.against_series
    ), compared AS (
        SELECT s.bucket,
               -- The change is from the newest bar that is at least that old.
               CASE WHEN change THEN 100 * (s.value - pg_catalog.last_value(s.value) OVER ago) / nullif(pg_catalog.abs(pg_catalog.last_value(s.value) OVER ago), 0)
                    ELSE s.value END AS value,
               CASE WHEN rule.against_indicator IS NOT NULL THEN a.value
                    WHEN rule.condition = 'outside' AND s.value > rule.upper THEN rule.upper
                    ELSE rule.threshold END AS threshold
        FROM series s LEFT JOIN against a ON a.bucket = s.bucket
        WINDOW ago AS (ORDER BY s.bucket RANGE BETWEEN UNBOUNDED PRECEDING AND span PRECEDING)
    ), met AS (
        SELECT c.bucket, c.value, c.threshold,
               coalesce(CASE rule.condition
                   WHEN 'above' THEN c.value > c.threshold
                   WHEN 'below' THEN c.value < c.threshold
                   WHEN 'crosses_above' THEN c.value > c.threshold AND pg_catalog.lag(c.value) OVER w <= pg_catalog.lag(c.threshold) OVER w
                   WHEN 'crosses_below' THEN c.value < c.threshold AND pg_catalog.lag(c.value) OVER w >= pg_catalog.lag(c.threshold) OVER w
                   WHEN 'outside' THEN c.value < rule.threshold OR c.value > rule.upper
                   WHEN 'changes' THEN pg_catalog.abs(c.value) >= rule.threshold
                   WHEN 'rises' THEN c.value >= rule.threshold
                   WHEN 'falls' THEN c.value <= -rule.threshold
               END, false) AS met
        FROM compared c
        WINDOW w AS (ORDER BY c.bucket)
    ), run AS (
        SELECT m.bucket, m.value, m.threshold,
               CASE WHEN change OR rule.bars = 1 THEN m.met
                    ELSE pg_catalog.bool_and(m.met) OVER r AND pg_catalog.count(*) OVER r = rule.bars END AS holds
        FROM met m
        WINDOW r AS (ORDER BY m.bucket ROWS BETWEEN rule.bars - 1 PRECEDING AND CURRENT ROW)
    )
    SELECT n.bucket, n.value, n.threshold, n.holds FROM run n WHERE n.bucket >= "from" ORDER BY n.bucket;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz) IS 'The bars with "from" <= bucket < "to" on which the rule''s series has a value, and whether the rule''s condition holds there.';

-- +goose StatementBegin
CREATE FUNCTION _hypertick.rule_events(rule alert.rules, symbol text, "from" timestamptz, "to" timestamptz, active boolean DEFAULT false, last_bar timestamptz DEFAULT NULL)
RETURNS TABLE (bar timestamptz, value float8, threshold float8, resolved timestamptz)
LANGUAGE plpgsql STABLE ROWS 20
AS $$
DECLARE
    width interval;
    b     record;
BEGIN
    SELECT i.span INTO width FROM public.intervals i WHERE i."interval" = rule."interval";
    FOR b IN SELECT r.* FROM _hypertick.rule_bars(rule, symbol, "from", "to") r LOOP
        IF active AND NOT b.holds THEN
            resolved := b.bucket + width;
            RETURN NEXT;
            active := false;
        ELSIF NOT active AND b.holds AND (last_bar IS NULL OR b.bucket >= last_bar + rule.cooldown) THEN
            bar := b.bucket;
            value := b.value;
            threshold := b.threshold;
            resolved := NULL;
            active := true;
            last_bar := b.bucket;
        END IF;
    END LOOP;
    IF active THEN
        resolved := NULL;
        RETURN NEXT;
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz) IS
'The events of a rule over bars: each begins on the first bar on which the condition holds, but not within the cooldown after last_bar, the event before; and ends with the first on which it does not. active: an event was open before the first bar; the first row tells its end, and has no bar.';

CREATE FUNCTION _hypertick.figure(value float8) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_catalog.trim_scale(pg_catalog.round(value::numeric, CASE WHEN value = 0 THEN 0 ELSE greatest(2, 4 - pg_catalog.floor(pg_catalog.log(pg_catalog.abs(value)))::int) END))::text;
COMMENT ON FUNCTION _hypertick.figure(float8) IS 'A number for people: at least five significant digits and two decimals.';

-- +goose StatementBegin
CREATE FUNCTION _hypertick.rule_label(indicator text, series text, params jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN indicator = 'sma' AND params @> '{"period": 1}' THEN 'close'
                ELSE indicator || coalesce(' (' || (SELECT pg_catalog.string_agg(p.value, ', ') FROM pg_catalog.jsonb_each_text(params) p) || ')', '')
                     || CASE WHEN series = indicator THEN '' ELSE ' ' || series END END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.rule_label(text, text, jsonb) IS 'A series for people.';

-- +goose StatementBegin
CREATE FUNCTION _hypertick.rule_message(rule alert.rules, symbol text, value float8, threshold float8) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.concat(symbol, ' ', rule."interval", ': ', _hypertick.rule_label(rule.indicator, rule.series, rule.params), ' ',
        CASE WHEN rule.condition IN ('changes', 'rises', 'falls')
             THEN pg_catalog.concat(CASE WHEN value < 0 THEN 'fell ' ELSE 'rose ' END, _hypertick.figure(pg_catalog.abs(value)), ' % in ', rule.bars, CASE rule.bars WHEN 1 THEN ' bar' ELSE ' bars' END)
             ELSE pg_catalog.concat(_hypertick.figure(value),
                CASE rule.condition WHEN 'above' THEN ' is above ' WHEN 'below' THEN ' is below '
                    WHEN 'crosses_above' THEN ' crossed above ' WHEN 'crosses_below' THEN ' crossed below '
                    ELSE CASE WHEN value > threshold THEN ' is above ' ELSE ' is below ' END END,
                _hypertick.rule_label(rule.against_indicator, rule.against_series, rule.against_params) || ' ', _hypertick.figure(threshold),
                CASE WHEN rule.bars > 1 THEN ' for ' || rule.bars || ' bars' END) END)
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.rule_message(alert.rules, text, float8, float8) IS 'One sentence about an event.';

-- +goose StatementBegin
CREATE FUNCTION _hypertick.announce(rule alert.rules, kind text, events alert.events[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    last CONSTANT alert.events := events[pg_catalog.cardinality(events)];
    n    CONSTANT int := pg_catalog.cardinality(events);
BEGIN
    IF n = 0 THEN
        RETURN;
    END IF;
    INSERT INTO alert.outbox (key, channel, payload)
    SELECT pg_catalog.concat_ws('/', 'v1', rule.id, last.symbol, pg_catalog.date_part('epoch', last.bar)::bigint, kind, last.revision, c.name), c.name,
           pg_catalog.jsonb_build_object('kind', kind, 'rule', rule.name, 'rule_id', rule.id, 'severity', rule.severity,
               'symbol', last.symbol, 'interval', last."interval", 'bar', last.bar, 'opened', last.opened, 'resolved', last.resolved,
               'value', last.value, 'threshold', last.threshold, 'count', n,
               'message', last.message || CASE kind WHEN 'resolved' THEN ' (over)' WHEN 'retracted' THEN ' (retracted: a late tick changed the bar)' ELSE '' END
                          || CASE WHEN n > 1 THEN pg_catalog.format(' (%s times since %s UTC)', n, pg_catalog.to_char(events[1].bar AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) ELSE '' END,
               'events', (SELECT pg_catalog.jsonb_agg(e.id ORDER BY e.bar) FROM pg_catalog.unnest(events) e))
    FROM (SELECT x AS name FROM pg_catalog.unnest(rule.channels) x
          UNION ALL SELECT k.name FROM alert.channels k WHERE pg_catalog.cardinality(rule.channels) = 0) c
    ON CONFLICT (key) DO NOTHING;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.announce(alert.rules, text, alert.events[]) IS 'Writes one notification per channel about events of one symbol, however many they are. kind: opened, resolved or retracted.';

-- +goose StatementBegin
CREATE FUNCTION _hypertick.evaluate_symbol(rule alert.rules, symbol text, "to" timestamptz, revised timestamptz, lookback int) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    p        alert.progress;
    since    timestamptz;
    quiet    boolean := false;
    last     alert.events;
    active   boolean;
    r        record;
    e        alert.events;
    opened   alert.events[] := '{}';
    ended    alert.events[] := '{}';
    gone     alert.events[] := '{}';
BEGIN
    SELECT g.* INTO p FROM alert.progress g WHERE g.rule_id = rule.id AND g.symbol = evaluate_symbol.symbol;
    IF NOT FOUND THEN
        -- A symbol seen for the first time has a past: it is looked at, not sent.
        SELECT pg_catalog.min(c.bucket) INTO since FROM public.candles(symbol, rule."interval", "to", "to", warmup => lookback) c;
        IF since IS NULL THEN
            RETURN;
        END IF;
        INSERT INTO alert.progress (rule_id, symbol, since, upto) VALUES (rule.id, symbol, since, since) RETURNING * INTO p;
        quiet := true;
    END IF;
    "to" := greatest("to", p.upto);
    revised := least(revised, p.revised);
    since := CASE WHEN revised < p.upto THEN greatest(revised, p.since) ELSE p.upto END;
    IF since >= "to" THEN
        UPDATE alert.progress g SET revised = NULL, error = NULL WHERE g.rule_id = rule.id AND g.symbol = p.symbol AND (g.revised IS NOT NULL OR g.error IS NOT NULL);
        RETURN;
    END IF;

    SELECT v.* INTO last FROM alert.events v
    WHERE v.rule_id = rule.id AND v.symbol = p.symbol AND v.bar < since AND v.state <> 'retracted'
    ORDER BY v.bar DESC LIMIT 1;
    active := last.bar IS NOT NULL AND (last.resolved IS NULL OR last.resolved > since);

    FOR r IN
        SELECT f.bar AS found, f.carried, f.value, f.threshold, f.resolved, v.bar AS stored
        FROM (SELECT coalesce(x.bar, last.bar) AS bar, x.bar IS NULL AS carried, x.value, x.threshold, x.resolved
              FROM _hypertick.rule_events(rule, symbol, since, "to", active, last.bar) x) f
        FULL JOIN (SELECT k.bar FROM alert.events k
                   WHERE k.rule_id = rule.id AND k.symbol = p.symbol AND k.bar >= CASE WHEN active THEN last.bar ELSE since END) v ON v.bar = f.bar
        ORDER BY coalesce(f.bar, v.bar)
    LOOP
        IF r.stored IS NULL THEN
            INSERT INTO alert.events (rule_id, rule, severity, symbol, "interval", bar, resolved, value, threshold, message, state, late)
            VALUES (rule.id, rule.name, rule.severity, symbol, rule."interval", r.found, r.resolved, r.value, r.threshold,
                    _hypertick.rule_message(rule, symbol, r.value, r.threshold),
                    CASE WHEN r.resolved IS NULL THEN 'firing' ELSE 'resolved' END, r.found < p.upto)
            RETURNING * INTO e;
            opened := opened || e;
            CONTINUE;
        END IF;
        SELECT v.* INTO e FROM alert.events v WHERE v.rule_id = rule.id AND v.symbol = p.symbol AND v.bar = r.stored;
        IF r.found IS NULL THEN
            CONTINUE WHEN e.state = 'retracted';
            gone := gone || _hypertick.revise(e, e.value, e.threshold, e.resolved, e.message, 'retracted');
        ELSIF e.state = 'retracted' THEN
            opened := opened || _hypertick.revise(e, r.value, r.threshold, r.resolved, _hypertick.rule_message(rule, symbol, r.value, r.threshold),
                                                  CASE WHEN r.resolved IS NULL THEN 'firing' ELSE 'resolved' END);
        ELSIF e.resolved IS NOT NULL AND e.resolved IS DISTINCT FROM r.resolved
              OR NOT r.carried AND (pg_catalog.abs(e.value - r.value) > 1e-6 * pg_catalog.abs(e.value) OR pg_catalog.abs(e.threshold - r.threshold) > 1e-6 * pg_catalog.abs(e.threshold)) THEN
            PERFORM _hypertick.revise(e, CASE WHEN r.carried THEN e.value ELSE r.value END, CASE WHEN r.carried THEN e.threshold ELSE r.threshold END, r.resolved,
                                      CASE WHEN r.carried THEN e.message ELSE _hypertick.rule_message(rule, symbol, r.value, r.threshold) END,
                                      CASE WHEN r.resolved IS NULL THEN 'firing' ELSE 'resolved' END);
        ELSIF e.resolved IS NULL AND r.resolved IS NOT NULL THEN
            UPDATE alert.events v SET resolved = r.resolved, state = 'resolved', changed = pg_catalog.clock_timestamp(), change_id = pg_catalog.nextval('alert.change_id')
            WHERE v.rule_id = rule.id AND v.symbol = p.symbol AND v.bar = e.bar RETURNING v.* INTO e;
            ended := ended || e;
        END IF;
    END LOOP;

    UPDATE alert.progress g SET upto = "to", revised = NULL, error = NULL WHERE g.rule_id = rule.id AND g.symbol = p.symbol;
    IF NOT quiet THEN
        PERFORM _hypertick.announce(rule, 'retracted', gone);
        IF rule.notify_resolved THEN
            PERFORM _hypertick.announce(rule, 'resolved', ended);
        END IF;
        PERFORM _hypertick.announce(rule, 'opened', opened);
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.evaluate_symbol(alert.rules, text, timestamptz, timestamptz, int) IS
'Looks at the bars of a symbol from where the last look ended up to "to", or from revised on if that is before; writes what is new, and revises or retracts what no longer is so. lookback is how many bars a symbol seen for the first time is looked back on.';

-- +goose StatementBegin
CREATE FUNCTION _hypertick.revise(e alert.events, value float8, threshold float8, resolved timestamptz, message text, state text) RETURNS alert.events
LANGUAGE sql AS $$
    UPDATE alert.events v
    SET value = revise.value, threshold = revise.threshold, resolved = revise.resolved, message = revise.message, state = revise.state,
        revision = v.revision + 1, changed = pg_catalog.clock_timestamp(), change_id = pg_catalog.nextval('alert.change_id'),
        history = v.history || pg_catalog.jsonb_build_object('revision', v.revision, 'at', v.changed, 'state', v.state, 'value', v.value,
                                                             'threshold', v.threshold, 'resolved', v.resolved, 'message', v.message)
    WHERE v.rule_id = e.rule_id AND v.symbol = e.symbol AND v.bar = e.bar
    RETURNING v.*
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.revise(alert.events, float8, float8, timestamptz, text, text) IS 'Changes what an event says, and keeps what it said.';

-- +goose StatementBegin
CREATE FUNCTION _hypertick.evaluate_rule(rule_id bigint, config jsonb, until timestamptz DEFAULT 'infinity') RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    -- As late ticks are noted from two seconds after the end of a bar on, a look
    -- somewhat later misses none.
    grace    CONSTANT interval := coalesce(config ->> 'grace', '4 seconds')::interval;
    lookback CONSTANT int := coalesce((config ->> 'lookback')::int, 60);
    backlog  CONSTANT bigint := coalesce((config ->> 'backlog')::bigint, 1000);
    began    CONSTANT timestamptz := pg_catalog.clock_timestamp();
    rule     alert.rules;
    run      alert.runs;
    width    interval;
    closed   timestamptz;
    behind   boolean;
    stored   timestamptz;
    last_id  bigint;
    s        record;
    n        int := 0;
    late     boolean := false;
    wrong    text;
    text_    text;
BEGIN
    -- One writer at a time, so that change_id becomes visible in its order.
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('alert.events'));
    SELECT r.* INTO rule FROM alert.rules r WHERE r.id = rule_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT coalesce(pg_catalog.max(v.id), 0) INTO last_id FROM public.bar_revisions v;
    INSERT INTO alert.runs AS x (rule_id, version, revision_id) VALUES (rule.id, rule.version, last_id) ON CONFLICT ON CONSTRAINT runs_pkey DO NOTHING;
    SELECT x.* INTO run FROM alert.runs x WHERE x.rule_id = rule.id;
    SELECT i.span INTO width FROM public.intervals i WHERE i."interval" = rule."interval";
    closed := public.time_bucket(width, pg_catalog.now() - grace);
    IF run.version <> rule.version THEN
        -- What it found under its old terms is over, and the new ones begin with
        -- the bar that is forming.
        PERFORM _hypertick.end_events(rule.id);
        DELETE FROM alert.progress g WHERE g.rule_id = rule.id AND rule.condition = 'fails';
        UPDATE alert.progress g SET since = greatest(t.at, g.upto), upto = greatest(t.at, g.upto), revised = NULL, error = NULL
        FROM (SELECT public.time_bucket(width, greatest(closed, k.upto) + width - INTERVAL '1 microsecond') AS at, k.symbol
              FROM alert.progress k WHERE k.rule_id = rule.id) t
        WHERE g.rule_id = rule.id AND g.symbol = t.symbol;
    END IF;
    IF rule.enabled AND rule.condition = 'fails' THEN
        n := _hypertick.evaluate_health(rule);
    ELSIF rule.enabled THEN
        -- While ingest works off a backlog a symbol's bars are whole only up to
        -- its newest tick, whatever the clock says; and who is new to the rule
        -- waits, for history that is being loaded is no news.
        SELECT coalesce(pg_catalog.sum(a.behind), 0) > backlog INTO behind
        FROM (SELECT DISTINCT ON (x.topic, x.partition) x.behind FROM public.ingest_activity x
              WHERE x.minute > pg_catalog.now() - INTERVAL '10 minutes' ORDER BY x.topic, x.partition, x.minute DESC) a;
        -- Bars that are not materialised are computed by each who reads them:
        -- where there are many of those, the refresh goes first.
        SELECT w.watermark INTO stored FROM public.watermarks w WHERE w.schema = 'public' AND w.relation = 'candles_' || rule."interval";
        FOR s IN
            SELECT f.symbol, r.bucket AS revised, CASE WHEN behind THEN least(closed, public.time_bucket(width, f.last_ts)) ELSE closed END AS closed
            FROM (SELECT p.symbol, pg_catalog.max(p.last_ts) AS last_ts FROM public.feed_positions p GROUP BY p.symbol) f
            LEFT JOIN alert.progress g ON g.rule_id = rule.id AND g.symbol = f.symbol
            LEFT JOIN (SELECT v.symbol, pg_catalog.min(v.bucket) AS bucket FROM public.bar_revisions v
                       WHERE v.id > run.revision_id AND v.id <= last_id AND (v."interval" = rule."interval" OR v.whole)
                       GROUP BY v.symbol) r ON r.symbol = f.symbol
            WHERE _hypertick.matches(f.symbol, rule.symbols)
              AND least(f.last_ts, pg_catalog.now()) - stored < INTERVAL '1 day' + width
              AND (g.symbol IS NULL AND NOT behind OR f.last_ts >= g.upto AND closed > g.upto OR r.bucket < g.upto OR g.revised IS NOT NULL OR g.error IS NOT NULL)
            ORDER BY f.symbol
        LOOP
            late := late OR pg_catalog.clock_timestamp() > until;
            IF late THEN
                -- The next run goes on from here.
                UPDATE alert.progress g SET revised = least(g.revised, s.revised) WHERE s.revised IS NOT NULL AND g.rule_id = rule.id AND g.symbol = s.symbol;
                CONTINUE;
            END IF;
            n := n + 1;
            BEGIN
                PERFORM _hypertick.evaluate_symbol(rule, s.symbol, s.closed, public.time_bucket(width, s.revised), lookback);
            EXCEPTION WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS text_ = MESSAGE_TEXT;
                wrong := coalesce(wrong, s.symbol || ': ' || text_);
                UPDATE alert.progress g SET revised = least(g.revised, s.revised), error = text_ WHERE g.rule_id = rule.id AND g.symbol = s.symbol;
            END;
        END LOOP;
    END IF;
    UPDATE alert.runs x SET version = rule.version, revision_id = last_id, finished_at = pg_catalog.clock_timestamp(),
                            took = pg_catalog.clock_timestamp() - began, symbols = n, error = wrong
    WHERE x.rule_id = rule.id;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.evaluate_rule(bigint, jsonb, timestamptz) IS 'Evaluates a rule for every symbol that has bars it has not seen, or that late ticks have changed; after until no further symbol is begun.';

CREATE FUNCTION _hypertick.end_events(rule_id bigint) RETURNS void
LANGUAGE sql AS $$
    UPDATE alert.events e SET state = 'resolved', resolved = pg_catalog.now(), changed = pg_catalog.clock_timestamp(), change_id = pg_catalog.nextval('alert.change_id')
    WHERE e.rule_id = end_events.rule_id AND e.state = 'firing'
$$;
COMMENT ON FUNCTION _hypertick.end_events(bigint) IS 'Ends what a rule has found, because the rule changed or went.';

-- +goose StatementBegin
CREATE FUNCTION _hypertick.end_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The lock before the rows, as the evaluation takes them.
    IF TG_LEVEL = 'STATEMENT' THEN
        PERFORM pg_advisory_xact_lock(hashtext('alert.events'));
    ELSE
        PERFORM _hypertick.end_events(OLD.id);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.end_rule() IS 'Trigger: ends what a deleted rule has found.';
CREATE TRIGGER end_rule_first BEFORE DELETE ON alert.rules FOR EACH STATEMENT EXECUTE FUNCTION _hypertick.end_rule();
CREATE TRIGGER end_rule AFTER DELETE ON alert.rules FOR EACH ROW EXECUTE FUNCTION _hypertick.end_rule();

-- +goose StatementBegin
CREATE PROCEDURE _hypertick.evaluate_alerts(job_id int, config jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    -- Without a scheduler one backend serves all, and nobody else is served while
    -- a job runs: so it runs shortly, and more often.
    budget CONSTANT interval := coalesce((config ->> 'budget')::interval,
        CASE WHEN _hypertick.has_scheduler() THEN INTERVAL '10 minutes' ELSE INTERVAL '1 second' END);
    until  CONSTANT timestamptz := pg_catalog.clock_timestamp() + budget;
    ids    bigint[];
    i      bigint;
    text_  text;
BEGIN
    -- Health first, while signs of life are fresh; then what has waited longest.
    SELECT pg_catalog.array_agg(r.id ORDER BY r.condition <> 'fails', x.finished_at NULLS FIRST, r.id) INTO ids
    FROM alert.rules r LEFT JOIN alert.runs x ON x.rule_id = r.id;
    FOREACH i IN ARRAY coalesce(ids, '{}') LOOP
        BEGIN
            PERFORM _hypertick.evaluate_rule(i, config, until);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS text_ = MESSAGE_TEXT;
            UPDATE alert.runs x SET finished_at = pg_catalog.clock_timestamp(), error = text_ WHERE x.rule_id = i;
        END;
        COMMIT;
        EXIT WHEN pg_catalog.clock_timestamp() > until;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.evaluate_alerts(int, jsonb) IS 'Job: evaluates every rule, each in a transaction of its own. config: budget, how long a run may take before it leaves the rest to the next; grace, how long after its end a bar counts as closed; lookback, bars a new symbol is looked back on; backlog, from how many records on ingest counts as behind.';

-- +goose StatementBegin
CREATE FUNCTION alert.preview(rule_id bigint, "from" timestamptz, "to" timestamptz, symbols text[] DEFAULT '{*}')
RETURNS TABLE (symbol text, bar timestamptz, value float8, threshold float8, resolved timestamptz, message text)
LANGUAGE plpgsql STABLE ROWS 100
AS $$
#variable_conflict use_column
DECLARE
    rule   alert.rules;
    closed timestamptz;
BEGIN
    SELECT r.* INTO rule FROM alert.rules r WHERE r.id = rule_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'rule_id: there is no rule %', coalesce(rule_id::text, 'null') USING ERRCODE = 'no_data_found';
    END IF;
    IF rule.condition = 'fails' THEN
        RAISE EXCEPTION 'condition: want one on bars, the health of the pipeline has no history' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT least("to", public.time_bucket(i.span, pg_catalog.now() - INTERVAL '4 seconds')) INTO closed
    FROM public.intervals i WHERE i."interval" = rule."interval";
    RETURN QUERY
    SELECT f.symbol, x.bar, x.value, x.threshold, x.resolved, _hypertick.rule_message(rule, f.symbol, x.value, x.threshold)
    FROM (SELECT DISTINCT p.symbol FROM public.feed_positions p
          WHERE _hypertick.matches(p.symbol, rule.symbols) AND _hypertick.matches(p.symbol, symbols)) f
    CROSS JOIN LATERAL _hypertick.rule_events(rule, f.symbol, "from", closed) x
    ORDER BY x.bar, f.symbol;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION alert.preview(bigint, timestamptz, timestamptz, text[]) IS 'Dry run: the events that a rule would have found on closed bars with "from" <= bucket < "to".';

REVOKE EXECUTE ON FUNCTION _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz),
    _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz),
    _hypertick.figure(float8), _hypertick.rule_label(text, text, jsonb), _hypertick.rule_message(alert.rules, text, float8, float8),
    _hypertick.announce(alert.rules, text, alert.events[]), _hypertick.evaluate_symbol(alert.rules, text, timestamptz, timestamptz, int),
    _hypertick.revise(alert.events, float8, float8, timestamptz, text, text), _hypertick.evaluate_rule(bigint, jsonb, timestamptz),
    _hypertick.end_events(bigint), _hypertick.end_rule(), alert.preview(bigint, timestamptz, timestamptz, text[]) FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE _hypertick.evaluate_alerts(int, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz),
    _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz),
    _hypertick.figure(float8), _hypertick.rule_label(text, text, jsonb), _hypertick.rule_message(alert.rules, text, float8, float8),
    alert.preview(bigint, timestamptz, timestamptz, text[]) TO hypertick_reader;

SELECT add_job('_hypertick.evaluate_alerts', INTERVAL '5 seconds',
    config => '{"grace": "4 seconds", "lookback": 60, "backlog": 1000}', fixed_schedule => false);

-- +goose Down
SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE proc_schema = '_hypertick' AND proc_name = 'evaluate_alerts';
DROP FUNCTION alert.preview(bigint, timestamptz, timestamptz, text[]);
DROP PROCEDURE _hypertick.evaluate_alerts(int, jsonb);
DROP TRIGGER end_rule ON alert.rules;
DROP TRIGGER end_rule_first ON alert.rules;
DROP FUNCTION _hypertick.end_rule();
DROP FUNCTION _hypertick.end_events(bigint);
DROP FUNCTION _hypertick.evaluate_rule(bigint, jsonb, timestamptz);
DROP FUNCTION _hypertick.evaluate_symbol(alert.rules, text, timestamptz, timestamptz, int);
DROP FUNCTION _hypertick.revise(alert.events, float8, float8, timestamptz, text, text);
DROP FUNCTION _hypertick.announce(alert.rules, text, alert.events[]);
DROP FUNCTION _hypertick.rule_message(alert.rules, text, float8, float8);
DROP FUNCTION _hypertick.rule_label(text, text, jsonb);
DROP FUNCTION _hypertick.figure(float8);
DROP FUNCTION _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz);
DROP FUNCTION _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz);
