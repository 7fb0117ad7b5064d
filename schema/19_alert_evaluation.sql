-- How rules become events. Three layers: which bars of a symbol meet a rule, which
-- events that makes, and how those differ from the ones that are stored. The
-- first two depend on nothing but the bars, so a dry run, a catch-up after an hour
-- without the job, and an evaluation after a late tick all agree.

-- Late ticks are noted from two seconds after the end of a bar on (see
-- note_revisions); an evaluation somewhat later misses none.
CREATE FUNCTION _hypertick.alert_grace() RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT j.config ->> 'grace'
                     FROM timescaledb_information.jobs j
                     WHERE j.proc_schema = '_hypertick' AND j.proc_name = 'evaluate_alerts'
                     ORDER BY j.job_id LIMIT 1), '4 seconds')::interval
$$;
COMMENT ON FUNCTION _hypertick.alert_grace() IS
    'How long after its end a bar counts as closed to the rules: grace in the config of job evaluate_alerts.';

-- With public in search_path: an indicator of a user's own finds candles() there.
CREATE FUNCTION _hypertick.rule_bars(rule alert.rules, symbol text, "from" timestamptz, "to" timestamptz)
RETURNS TABLE (bucket timestamptz, value float8, threshold float8, holds boolean)
LANGUAGE plpgsql STABLE ROWS 500
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    change CONSTANT boolean := rule.condition IN ('changes', 'rises', 'falls');
    cross_ CONSTANT boolean := rule.condition IN ('crosses_above', 'crosses_below');
    -- Bars before the first that its condition needs to see.
    before CONSTANT int := CASE WHEN change THEN rule.bars WHEN cross_ THEN 1 ELSE rule.bars - 1 END;
    span   CONSTANT interval := least((_hypertick.find_interval(rule."interval")).width * rule.bars,
                                      INTERVAL '1000 years');
    since  timestamptz := "from";
BEGIN
    IF before > 0 THEN
        SELECT coalesce(min(bar.bucket), "from") INTO since
        FROM public.candles(symbol, rule."interval", "from", "from", warmup => before) bar;
    END IF;
    RETURN QUERY
    WITH series AS MATERIALIZED (
        SELECT point.bucket, nullif(point.value, 'NaN') AS value
        FROM indicator.evaluate(rule.indicator, symbol, rule."interval", since, "to", rule.params) point
        WHERE point.series = rule.series
    ), against AS MATERIALIZED (
        SELECT point.bucket, nullif(point.value, 'NaN') AS value
        FROM indicator.evaluate(rule.against_indicator, symbol, rule."interval", since, "to",
                                rule.against_params) point
        WHERE rule.against_indicator IS NOT NULL AND point.series = rule.against_series
    ), compared AS (
        SELECT series.bucket,
               -- The change is from the newest bar that is at least that old.
               CASE WHEN change
                        THEN 100 * (series.value - last_value(series.value) OVER ago)
                             / nullif(abs(last_value(series.value) OVER ago), 0)
                    ELSE series.value END AS value,
               CASE WHEN rule.against_indicator IS NOT NULL THEN against.value
                    WHEN rule.condition = 'outside' AND series.value > rule.upper THEN rule.upper
                    ELSE rule.threshold END AS threshold
        FROM series LEFT JOIN against ON against.bucket = series.bucket
        -- In UTC, so that months do not depend on the time zone of the session.
        WINDOW ago AS (ORDER BY series.bucket AT TIME ZONE 'UTC'
                       RANGE BETWEEN UNBOUNDED PRECEDING AND span PRECEDING)
    ), met AS (
        SELECT compared.bucket, compared.value, compared.threshold,
               coalesce(CASE rule.condition
                   WHEN 'above' THEN compared.value > compared.threshold
                   WHEN 'below' THEN compared.value < compared.threshold
                   WHEN 'crosses_above' THEN compared.value > compared.threshold
                                             AND lag(compared.value) OVER w <= lag(compared.threshold) OVER w
                   WHEN 'crosses_below' THEN compared.value < compared.threshold
                                             AND lag(compared.value) OVER w >= lag(compared.threshold) OVER w
                   WHEN 'outside' THEN compared.value < rule.threshold OR compared.value > rule.upper
                   WHEN 'changes' THEN abs(compared.value) >= rule.threshold
                   WHEN 'rises' THEN compared.value >= rule.threshold
                   WHEN 'falls' THEN compared.value <= -rule.threshold
               END, false) AS met
        FROM compared
        WINDOW w AS (ORDER BY compared.bucket)
    ), run AS (
        SELECT met.bucket, met.value, met.threshold,
               CASE WHEN change OR rule.bars = 1 THEN met.met
                    ELSE bool_and(met.met) OVER r AND count(*) OVER r = rule.bars END AS holds
        FROM met
        WINDOW r AS (ORDER BY met.bucket ROWS BETWEEN rule.bars - 1 PRECEDING AND CURRENT ROW)
    )
    SELECT run.bucket, run.value, run.threshold, run.holds
    FROM run
    WHERE run.bucket >= "from"
    ORDER BY run.bucket;
END
$$;
COMMENT ON FUNCTION _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz) IS
    'The bars with "from" <= bucket < "to" on which the rule''s series has a value, and whether the rule''s '
    'condition holds there.';

CREATE FUNCTION _hypertick.rule_events(
    rule alert.rules, symbol text, "from" timestamptz, "to" timestamptz,
    active boolean DEFAULT false, last_bar timestamptz DEFAULT NULL)
RETURNS TABLE (bar timestamptz, value float8, threshold float8, resolved timestamptz)
LANGUAGE plpgsql STABLE ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    width CONSTANT interval := (_hypertick.find_interval(rule."interval")).width;
    b     record;
BEGIN
    FOR b IN SELECT r.* FROM _hypertick.rule_bars(rule, symbol, "from", "to") r LOOP
        IF active AND NOT b.holds THEN
            resolved := _hypertick.bucket_end(b.bucket, width);
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
COMMENT ON FUNCTION _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz) IS
    'The events of a rule over bars: each begins on the first bar on which the condition holds, but not within the '
    'cooldown after last_bar, the event before; and ends with the first on which it does not. active: an event was '
    'open before the first bar; the first row tells its end, and has no bar.';

CREATE FUNCTION _hypertick.figure(value float8) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN trim_scale(round(value::numeric,
                        CASE WHEN value = 0 THEN 0
                             ELSE greatest(2, 4 - floor(log(abs(value)))::int) END))::text;
COMMENT ON FUNCTION _hypertick.figure(float8) IS
    'A number for people: at least five significant digits and two decimals.';

CREATE FUNCTION _hypertick.rule_label(indicator text, series text, params jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN indicator = 'sma' AND params @> '{"period": 1}' THEN 'close'
                ELSE indicator
                     || coalesce(' (' || (
                            SELECT string_agg(CASE WHEN p.key IN ('period', 'fast', 'slow', 'signal', 'deviations')
                                                   THEN p.value ELSE p.key || ' ' || p.value END, ', ')
                            FROM jsonb_each_text(params) p) || ')', '')
                     || CASE WHEN series = indicator THEN '' ELSE ' ' || series END END
$$;
COMMENT ON FUNCTION _hypertick.rule_label(text, text, jsonb) IS 'A series for people.';

CREATE FUNCTION _hypertick.rule_message(rule alert.rules, symbol text, value float8, threshold float8) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat(symbol, ' ', rule."interval", ': ',
        _hypertick.rule_label(rule.indicator, rule.series, rule.params), ' ',
        CASE WHEN rule.condition IN ('changes', 'rises', 'falls')
            THEN concat(CASE WHEN value < 0 THEN 'fell ' ELSE 'rose ' END, _hypertick.figure(abs(value)),
                        ' % in ', rule.bars, CASE rule.bars WHEN 1 THEN ' bar' ELSE ' bars' END)
            ELSE concat(_hypertick.figure(value),
                        CASE rule.condition
                            WHEN 'above' THEN ' is above '
                            WHEN 'below' THEN ' is below '
                            WHEN 'crosses_above' THEN ' crossed above '
                            WHEN 'crosses_below' THEN ' crossed below '
                            ELSE CASE WHEN value > threshold THEN ' is above ' ELSE ' is below ' END END,
                        _hypertick.rule_label(rule.against_indicator, rule.against_series, rule.against_params)
                            || ' ',
                        _hypertick.figure(threshold),
                        CASE WHEN rule.bars > 1 THEN ' for ' || rule.bars || ' bars' END) END)
$$;
COMMENT ON FUNCTION _hypertick.rule_message(alert.rules, text, float8, float8) IS 'One sentence about an event.';

CREATE FUNCTION _hypertick.announce(rule alert.rules, kind text, events alert.events[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last CONSTANT alert.events := events[cardinality(events)];
    n    CONSTANT int := cardinality(events);
BEGIN
    IF n = 0 THEN
        RETURN;
    END IF;
    INSERT INTO alert.outbox (key, channel, payload)
    SELECT concat_ws('/', 'v1', rule.id, last.symbol, date_part('epoch', last.bar)::bigint, kind, last.revision,
                     c.name),
           c.name,
           jsonb_build_object('kind', kind, 'rule', rule.name, 'rule_id', rule.id, 'severity', rule.severity,
               'symbol', last.symbol, 'interval', last."interval", 'bar', last.bar, 'opened', last.opened,
               'resolved', last.resolved, 'value', last.value, 'threshold', last.threshold, 'count', n,
               'message', last.message
                   || CASE kind WHEN 'resolved' THEN ' (over)'
                                WHEN 'retracted' THEN ' (retracted: the bar has changed)'
                                ELSE '' END
                   || CASE WHEN n > 1
                          THEN format(' (%s times since %s UTC)', n,
                                      to_char(events[1].bar AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'))
                          ELSE '' END,
               'events', (SELECT jsonb_agg(e.id ORDER BY e.bar) FROM unnest(events) e))
    FROM (SELECT x AS name FROM unnest(rule.channels) x
          UNION ALL
          SELECT k.name FROM alert.channels k WHERE cardinality(rule.channels) = 0) c
    ON CONFLICT (key) DO NOTHING;
END
$$;
COMMENT ON FUNCTION _hypertick.announce(alert.rules, text, alert.events[]) IS
    'Writes one notification per channel about events of one symbol, however many they are. kind: opened, resolved '
    'or retracted.';

CREATE FUNCTION _hypertick.revise(
    e alert.events, value float8, threshold float8, resolved timestamptz, message text, state text)
RETURNS alert.events
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE alert.events v
    SET value = revise.value, threshold = revise.threshold, resolved = revise.resolved, message = revise.message,
        state = revise.state, revision = v.revision + 1,
        changed = clock_timestamp(), change_id = nextval('alert.change_id'),
        history = v.history || jsonb_build_object(
            'revision', v.revision, 'at', v.changed, 'state', v.state, 'value', v.value,
            'threshold', v.threshold, 'resolved', v.resolved, 'message', v.message)
    WHERE v.rule_id = e.rule_id AND v.symbol = e.symbol AND v.bar = e.bar
    RETURNING v.*
$$;
COMMENT ON FUNCTION _hypertick.revise(alert.events, float8, float8, timestamptz, text, text) IS
    'Changes what an event says, and keeps what it said.';

CREATE FUNCTION _hypertick.evaluate_symbol(
    rule alert.rules, symbol text, "to" timestamptz, revised timestamptz, lookback int)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    progress alert.progress;
    since    timestamptz;
    quiet    boolean := false;
    last     alert.events;
    active   boolean;
    r        record;
    event    alert.events;
    opened   alert.events[] := '{}';
    ended    alert.events[] := '{}';
    gone     alert.events[] := '{}';
BEGIN
    SELECT g.* INTO progress FROM alert.progress g WHERE g.rule_id = rule.id AND g.symbol = evaluate_symbol.symbol;
    IF NOT FOUND THEN
        -- A symbol seen for the first time has a past: it is looked at, not sent.
        SELECT min(c.bucket) INTO since
        FROM public.candles(symbol, rule."interval", "to", "to", warmup => lookback) c;
        IF since IS NULL THEN
            RETURN;
        END IF;
        INSERT INTO alert.progress (rule_id, symbol, since, upto) VALUES (rule.id, symbol, since, since)
        RETURNING * INTO progress;
        quiet := true;
    END IF;
    "to" := greatest("to", progress.upto);
    revised := least(revised, progress.revised);
    since := CASE WHEN revised < progress.upto THEN greatest(revised, progress.since) ELSE progress.upto END;
    IF since >= "to" THEN
        UPDATE alert.progress g SET revised = NULL, error = NULL
        WHERE g.rule_id = rule.id AND g.symbol = progress.symbol AND (g.revised IS NOT NULL OR g.error IS NOT NULL);
        RETURN;
    END IF;

    SELECT v.* INTO last
    FROM alert.events v
    WHERE v.rule_id = rule.id AND v.symbol = progress.symbol AND v.bar < since AND v.state <> 'retracted'
    ORDER BY v.bar DESC LIMIT 1;
    active := last.bar IS NOT NULL AND (last.resolved IS NULL OR last.resolved > since);

    FOR r IN
        SELECT computed.bar AS found, computed.carried, computed.value, computed.threshold, computed.resolved,
               stored.bar AS stored
        FROM (
            SELECT coalesce(x.bar, last.bar) AS bar, x.bar IS NULL AS carried, x.value, x.threshold, x.resolved
            FROM _hypertick.rule_events(rule, symbol, since, "to", active, last.bar) x
        ) computed
        FULL JOIN (
            SELECT v.bar
            FROM alert.events v
            WHERE v.rule_id = rule.id AND v.symbol = progress.symbol
              AND v.bar >= CASE WHEN active THEN last.bar ELSE since END
        ) stored ON stored.bar = computed.bar
        ORDER BY coalesce(computed.bar, stored.bar)
    LOOP
        IF r.stored IS NULL THEN
            INSERT INTO alert.events
                (rule_id, rule, severity, symbol, "interval", bar, resolved, value, threshold, message, state, late)
            VALUES (rule.id, rule.name, rule.severity, symbol, rule."interval", r.found, r.resolved,
                    r.value, r.threshold, _hypertick.rule_message(rule, symbol, r.value, r.threshold),
                    CASE WHEN r.resolved IS NULL THEN 'firing' ELSE 'resolved' END, r.found < progress.upto)
            RETURNING * INTO event;
            opened := opened || event;
            CONTINUE;
        END IF;
        SELECT v.* INTO event
        FROM alert.events v
        WHERE v.rule_id = rule.id AND v.symbol = progress.symbol AND v.bar = r.stored;
        IF r.found IS NULL THEN
            CONTINUE WHEN event.state = 'retracted';
            gone := gone || _hypertick.revise(event, event.value, event.threshold, event.resolved, event.message,
                                              'retracted');
        ELSIF event.state = 'retracted' THEN
            opened := opened || _hypertick.revise(event, r.value, r.threshold, r.resolved,
                                    _hypertick.rule_message(rule, symbol, r.value, r.threshold),
                                    CASE WHEN r.resolved IS NULL THEN 'firing' ELSE 'resolved' END);
        ELSIF event.resolved IS NOT NULL AND event.resolved IS DISTINCT FROM r.resolved
              OR NOT r.carried AND (abs(event.value - r.value) > 1e-6 * abs(event.value)
                                    OR abs(event.threshold - r.threshold) > 1e-6 * abs(event.threshold)) THEN
            PERFORM _hypertick.revise(event,
                CASE WHEN r.carried THEN event.value ELSE r.value END,
                CASE WHEN r.carried THEN event.threshold ELSE r.threshold END,
                r.resolved,
                CASE WHEN r.carried THEN event.message
                     ELSE _hypertick.rule_message(rule, symbol, r.value, r.threshold) END,
                CASE WHEN r.resolved IS NULL THEN 'firing' ELSE 'resolved' END);
        ELSIF event.resolved IS NULL AND r.resolved IS NOT NULL THEN
            UPDATE alert.events v
            SET resolved = r.resolved, state = 'resolved',
                changed = clock_timestamp(), change_id = nextval('alert.change_id')
            WHERE v.rule_id = rule.id AND v.symbol = progress.symbol AND v.bar = event.bar
            RETURNING v.* INTO event;
            ended := ended || event;
        END IF;
    END LOOP;

    UPDATE alert.progress g SET upto = "to", revised = NULL, error = NULL
    WHERE g.rule_id = rule.id AND g.symbol = progress.symbol;
    IF NOT quiet THEN
        PERFORM _hypertick.announce(rule, 'retracted', gone);
        IF rule.notify_resolved THEN
            PERFORM _hypertick.announce(rule, 'resolved', ended);
        END IF;
        PERFORM _hypertick.announce(rule, 'opened', opened);
    END IF;
END
$$;
COMMENT ON FUNCTION _hypertick.evaluate_symbol(alert.rules, text, timestamptz, timestamptz, int) IS
    'Evaluates the bars of a symbol from the end of the last evaluation to "to", or from revised on if that is '
    'before; writes new events, and revises or retracts those that no longer hold. lookback is how many past bars '
    'of a symbol are evaluated when it is first seen.';

CREATE FUNCTION _hypertick.end_events(rule_id bigint) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE alert.events e
    SET state = 'resolved', resolved = now(), changed = clock_timestamp(), change_id = nextval('alert.change_id')
    WHERE e.rule_id = end_events.rule_id AND e.state = 'firing'
$$;
COMMENT ON FUNCTION _hypertick.end_events(bigint) IS
    'Ends what a rule has found, because the rule has changed or is gone.';

CREATE FUNCTION _hypertick.evaluate_rule(
    rule_id bigint, config jsonb, until timestamptz DEFAULT 'infinity')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grace    CONSTANT interval := coalesce((config ->> 'grace')::interval, _hypertick.alert_grace());
    lookback CONSTANT int := coalesce((config ->> 'lookback')::int, 60);
    backlog  CONSTANT bigint := coalesce((config ->> 'backlog')::bigint, 1000);
    began    CONSTANT timestamptz := clock_timestamp();
    rule     alert.rules;
    run      alert.runs;
    bars     _hypertick.interval_source;
    source   text;
    closed   timestamptz;
    behind   boolean;
    stored   timestamptz;
    last_id  bigint;
    due      record;
    n        int := 0;
    late     boolean := false;
    wrong    text;
    text_    text;
BEGIN
    -- One writer at a time, so that change_id becomes visible in its order.
    PERFORM pg_advisory_xact_lock(hashtext('alert.events'));
    SELECT r.* INTO rule FROM alert.rules r WHERE r.id = rule_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT coalesce(max(v.id), 0) INTO last_id FROM public.bar_revisions v;
    INSERT INTO alert.runs AS x (rule_id, version, revision_id) VALUES (rule.id, rule.version, last_id)
    ON CONFLICT ON CONSTRAINT runs_pkey DO NOTHING;
    SELECT x.* INTO run FROM alert.runs x WHERE x.rule_id = rule.id;
    IF rule.condition <> 'fails' THEN
        bars := _hypertick.find_interval(rule."interval");
        closed := public.time_bucket(bars.width, now() - grace);
        -- The interval whose revisions tell of these bars: the one they are rolled up
        -- from; for bars made of ticks, the shortest there is.
        SELECT i."interval" INTO source
        FROM public.intervals i
        WHERE i.materialized AND bars.relation IN ('ticks', 'candles_' || i."interval")
        ORDER BY i.width LIMIT 1;
    END IF;
    IF run.version <> rule.version THEN
        -- What it found under its old terms is over, and the new ones begin with
        -- the bar that is forming.
        PERFORM _hypertick.end_events(rule.id);
        DELETE FROM alert.progress g WHERE g.rule_id = rule.id AND rule.condition = 'fails';
        UPDATE alert.progress g
        SET since = greatest(start.at, g.upto), upto = greatest(start.at, g.upto), revised = NULL, error = NULL
        FROM (
            SELECT k.symbol, _hypertick.bucket_from(greatest(closed, k.upto), bars.width) AS at
            FROM alert.progress k
            WHERE k.rule_id = rule.id
        ) start
        WHERE g.rule_id = rule.id AND g.symbol = start.symbol;
    END IF;
    IF rule.enabled AND rule.condition = 'fails' THEN
        n := _hypertick.evaluate_health(rule);
    ELSIF rule.enabled THEN
        -- While ingest works off a backlog a symbol's bars are whole only up to
        -- its newest tick, whatever the clock says; and who is new to the rule
        -- waits, for history that is being loaded is no news.
        SELECT coalesce(sum(newest.behind), 0) > backlog INTO behind
        FROM (
            SELECT DISTINCT ON (activity.topic, activity.partition) activity.behind
            FROM public.ingest_activity activity
            WHERE activity.minute > now() - INTERVAL '10 minutes'
            ORDER BY activity.topic, activity.partition, activity.minute DESC
        ) newest;
        -- Bars that are not materialised yet are computed by each who reads them:
        -- where there are many of those, the refresh goes first.
        SELECT w.watermark INTO stored
        FROM public.watermarks w
        WHERE w.schema = 'public' AND w.relation = bars.relation;
        FOR due IN
            SELECT feed.symbol, revision.bucket AS revised,
                   CASE WHEN behind THEN least(closed, public.time_bucket(bars.width, feed.last_ts))
                        ELSE closed END AS closed
            FROM (
                SELECT p.symbol, max(p.last_ts) AS last_ts FROM public.feed_positions p GROUP BY p.symbol
            ) feed
            LEFT JOIN alert.progress progress ON progress.rule_id = rule.id AND progress.symbol = feed.symbol
            LEFT JOIN (
                SELECT v.symbol, min(v.bucket) AS bucket
                FROM public.bar_revisions v
                WHERE v.id > run.revision_id AND v.id <= last_id AND (v."interval" = source OR v.whole)
                GROUP BY v.symbol
            ) revision ON revision.symbol = feed.symbol
            WHERE _hypertick.matches(feed.symbol, rule.symbols)
              AND (bars.relation = 'ticks' OR least(feed.last_ts, now()) - stored < INTERVAL '1 day' + bars.width)
              AND (progress.symbol IS NULL AND NOT behind
                   OR feed.last_ts >= progress.upto AND closed > progress.upto
                   OR revision.bucket < progress.upto
                   OR progress.revised IS NOT NULL
                   OR progress.error IS NOT NULL)
            ORDER BY feed.symbol
        LOOP
            late := late OR clock_timestamp() > until;
            IF late THEN
                -- The next run resumes from here.
                UPDATE alert.progress g SET revised = least(g.revised, due.revised)
                WHERE due.revised IS NOT NULL AND g.rule_id = rule.id AND g.symbol = due.symbol;
                CONTINUE;
            END IF;
            n := n + 1;
            BEGIN
                PERFORM _hypertick.evaluate_symbol(rule, due.symbol, due.closed,
                                                   public.time_bucket(bars.width, due.revised), lookback);
            EXCEPTION WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS text_ = MESSAGE_TEXT;
                wrong := coalesce(wrong, due.symbol || ': ' || text_);
                UPDATE alert.progress g SET revised = least(g.revised, due.revised), error = text_
                WHERE g.rule_id = rule.id AND g.symbol = due.symbol;
            END;
        END LOOP;
    END IF;
    UPDATE alert.runs x
    SET version = rule.version, revision_id = last_id, finished_at = clock_timestamp(),
        took = clock_timestamp() - began, symbols = n, error = wrong
    WHERE x.rule_id = rule.id;
END
$$;
COMMENT ON FUNCTION _hypertick.evaluate_rule(bigint, jsonb, timestamptz) IS
    'Evaluates a rule for every symbol that has bars it has not seen, or that late ticks have changed; after until '
    'no further symbol is begun.';

CREATE FUNCTION _hypertick.end_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
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
COMMENT ON FUNCTION _hypertick.end_rule() IS 'Trigger: ends what a deleted rule has found.';
CREATE TRIGGER end_rule_first BEFORE DELETE ON alert.rules
    FOR EACH STATEMENT EXECUTE FUNCTION _hypertick.end_rule();
CREATE TRIGGER end_rule AFTER DELETE ON alert.rules
    FOR EACH ROW EXECUTE FUNCTION _hypertick.end_rule();

-- No SET search_path here: a procedure with one may not COMMIT.
CREATE PROCEDURE _hypertick.evaluate_alerts(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    -- Without a scheduler one backend serves all, and nobody else is served while
    -- a job runs: so it runs shortly, and more often.
    budget CONSTANT interval := coalesce((config ->> 'budget')::interval,
        CASE WHEN _hypertick.has_scheduler() THEN INTERVAL '10 minutes' ELSE INTERVAL '1 second' END);
    until  CONSTANT timestamptz := clock_timestamp() + budget;
    ids    bigint[];
    i      bigint;
    text_  text;
BEGIN
    -- Health first, while heartbeats are fresh; then what has waited longest.
    SELECT array_agg(r.id ORDER BY r.condition <> 'fails', x.finished_at NULLS FIRST, r.id) INTO ids
    FROM alert.rules r LEFT JOIN alert.runs x ON x.rule_id = r.id;
    FOREACH i IN ARRAY coalesce(ids, '{}') LOOP
        BEGIN
            PERFORM _hypertick.evaluate_rule(i, config, until);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS text_ = MESSAGE_TEXT;
            UPDATE alert.runs x SET finished_at = clock_timestamp(), error = text_ WHERE x.rule_id = i;
        END;
        COMMIT;
        EXIT WHEN clock_timestamp() > until;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE _hypertick.evaluate_alerts(int, jsonb) IS
    'Job: evaluates every rule, each in a transaction of its own. config: budget, how long a run may take before it '
    'leaves the rest to the next; grace, how long after its end a bar counts as closed; lookback, bars a new symbol '
    'is looked back on; backlog, from how many records on ingest counts as behind.';
REVOKE EXECUTE ON PROCEDURE _hypertick.evaluate_alerts(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.evaluate_alerts', INTERVAL '5 seconds',
    config => '{"grace": "4 seconds", "lookback": 60, "backlog": 1000}', fixed_schedule => false);

CREATE FUNCTION alert.preview(
    rule_id bigint, "from" timestamptz, "to" timestamptz, symbols text[] DEFAULT '{*}')
RETURNS TABLE (
    symbol text, bar timestamptz, value float8, threshold float8, resolved timestamptz, message text)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    rule   alert.rules;
    closed timestamptz;
BEGIN
    SELECT r.* INTO rule FROM alert.rules r WHERE r.id = rule_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'rule_id: there is no rule %', coalesce(rule_id::text, 'null')
            USING ERRCODE = 'no_data_found';
    END IF;
    IF rule.condition = 'fails' THEN
        RAISE EXCEPTION 'condition: want one on bars, the health of the pipeline has no history'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    closed := least("to", public.time_bucket((_hypertick.find_interval(rule."interval")).width,
                                             now() - _hypertick.alert_grace()));
    RETURN QUERY
    SELECT feed.symbol, event.bar, event.value, event.threshold, event.resolved,
           _hypertick.rule_message(rule, feed.symbol, event.value, event.threshold)
    FROM (
        SELECT DISTINCT p.symbol
        FROM public.feed_positions p
        WHERE _hypertick.matches(p.symbol, rule.symbols) AND _hypertick.matches(p.symbol, symbols)
    ) feed
    CROSS JOIN LATERAL _hypertick.rule_events(rule, feed.symbol, "from", closed) event
    ORDER BY event.bar, feed.symbol;
END
$$;
COMMENT ON FUNCTION alert.preview(bigint, timestamptz, timestamptz, text[]) IS
    'Dry run: the events that a rule would have found on closed bars with "from" <= bucket < "to".';

REVOKE EXECUTE ON FUNCTION
    _hypertick.alert_grace(),
    _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz),
    _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz),
    _hypertick.figure(float8),
    _hypertick.rule_label(text, text, jsonb),
    _hypertick.rule_message(alert.rules, text, float8, float8),
    _hypertick.announce(alert.rules, text, alert.events[]),
    _hypertick.revise(alert.events, float8, float8, timestamptz, text, text),
    _hypertick.evaluate_symbol(alert.rules, text, timestamptz, timestamptz, int),
    _hypertick.end_events(bigint),
    _hypertick.evaluate_rule(bigint, jsonb, timestamptz),
    _hypertick.end_rule(),
    alert.preview(bigint, timestamptz, timestamptz, text[])
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    _hypertick.alert_grace(),
    _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz),
    _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz),
    _hypertick.figure(float8),
    _hypertick.rule_label(text, text, jsonb),
    _hypertick.rule_message(alert.rules, text, float8, float8),
    alert.preview(bigint, timestamptz, timestamptz, text[])
TO hypertick_reader;
