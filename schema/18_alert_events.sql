-- What the rules found, how far each has looked, and what is to be sent.

CREATE SEQUENCE alert.event_id AS bigint;
COMMENT ON SEQUENCE alert.event_id IS 'Numbers of alert.events.';

-- One writer at a time holds the lock of the job, so that change_id becomes
-- visible in its order. The sequence shows whether anything can have changed;
-- only then are the chunks of events read.
CREATE SEQUENCE alert.change_id AS bigint;
COMMENT ON SEQUENCE alert.change_id IS 'Numbers of the changes of alert.events.';
GRANT SELECT ON SEQUENCE alert.change_id TO hypertick_reader, hypertick_operator;

-- A hypertable by bar. The unique key is what makes evaluation idempotent: a rule
-- finds a symbol's bar once.
CREATE TABLE alert.events (
    id          bigint           NOT NULL DEFAULT nextval('alert.event_id'),
    rule_id     bigint           NOT NULL,
    rule        text             NOT NULL,
    severity    text             NOT NULL,
    symbol      text COLLATE "C" NOT NULL,
    "interval"  text,
    bar         timestamptz      NOT NULL,
    opened      timestamptz      NOT NULL DEFAULT clock_timestamp(),
    resolved    timestamptz,
    value       float8,
    threshold   float8,
    message     text             NOT NULL,
    state       text             NOT NULL DEFAULT 'firing' CHECK (state IN ('firing', 'resolved', 'retracted')),
    late        boolean          NOT NULL DEFAULT false,
    revision    int              NOT NULL DEFAULT 0,
    changed     timestamptz      NOT NULL DEFAULT clock_timestamp(),
    change_id   bigint           NOT NULL DEFAULT nextval('alert.change_id'),
    history     jsonb            NOT NULL DEFAULT '[]'
);
ALTER SEQUENCE alert.event_id OWNED BY alert.events.id;
ALTER SEQUENCE alert.change_id OWNED BY alert.events.change_id;
SELECT create_hypertable('alert.events', by_range('bar', INTERVAL '30 days'), create_default_indexes => false);
CREATE UNIQUE INDEX events_key ON alert.events (rule_id, symbol, bar);
CREATE INDEX events_id_idx ON alert.events (id DESC);
CREATE INDEX events_change_idx ON alert.events (change_id);
CREATE INDEX events_symbol_idx ON alert.events (symbol, bar DESC);
CREATE INDEX events_newest_idx ON alert.events (bar DESC, id DESC);
CREATE INDEX events_firing_idx ON alert.events (rule_id) WHERE state = 'firing';
SELECT add_retention_policy('alert.events', INTERVAL '2 years', schedule_interval => INTERVAL '1 day');
COMMENT ON TABLE alert.events IS
    'What the rules found. No row changes or goes silently: where a late tick changes a closed bar, the event of it '
    'is revised, or retracted, and keeps what it said before in history. Kept for two years.';
COMMENT ON COLUMN alert.events.id IS 'Number of the event.';
COMMENT ON COLUMN alert.events.rule_id IS 'Number of the rule, which may be gone.';
COMMENT ON COLUMN alert.events.rule IS 'Name of the rule then.';
COMMENT ON COLUMN alert.events.severity IS 'Severity of the rule then.';
COMMENT ON COLUMN alert.events.symbol IS 'Symbol; for condition fails, the part of the pipeline.';
COMMENT ON COLUMN alert.events."interval" IS 'Interval of the bar. NULL where the condition is fails.';
COMMENT ON COLUMN alert.events.bar IS 'Start of the first bar on which the condition held.';
COMMENT ON COLUMN alert.events.opened IS 'When it was found.';
COMMENT ON COLUMN alert.events.resolved IS 'End of the first bar on which the condition no longer held.';
COMMENT ON COLUMN alert.events.value IS 'Value of the series; for changes, rises and falls the change in percent.';
COMMENT ON COLUMN alert.events.threshold IS 'What it was compared with.';
COMMENT ON COLUMN alert.events.message IS 'One sentence about it.';
COMMENT ON COLUMN alert.events.state IS
    'firing, resolved, or retracted: the bar has changed, or is gone, and the condition does not hold on it.';
COMMENT ON COLUMN alert.events.late IS 'Found on a bar that had been looked at before, after it changed.';
COMMENT ON COLUMN alert.events.revision IS 'How often late ticks changed it.';
COMMENT ON COLUMN alert.events.changed IS 'When it last changed.';
COMMENT ON COLUMN alert.events.change_id IS
    'Rises with every change of any event: whoever follows the table reads those above the last one seen.';
COMMENT ON COLUMN alert.events.history IS
    'What it said before each revision, oldest first: {revision, at, state, value, threshold, resolved, message}.';
COMMENT ON INDEX alert.events_key IS 'One event for a rule, symbol and bar.';
COMMENT ON INDEX alert.events_id_idx IS 'For the newest, and paging.';
COMMENT ON INDEX alert.events_change_idx IS 'For those who follow changes.';
COMMENT ON INDEX alert.events_symbol_idx IS 'For the events of a symbol.';
COMMENT ON INDEX alert.events_newest_idx IS 'For pages, newest bar first.';
COMMENT ON INDEX alert.events_firing_idx IS 'Finds what fires among all that ever did.';
GRANT SELECT ON alert.events TO hypertick_reader, hypertick_operator;

CREATE TABLE alert.progress (
    rule_id bigint           NOT NULL REFERENCES alert.rules ON DELETE CASCADE,
    symbol  text COLLATE "C" NOT NULL,
    since   timestamptz      NOT NULL,
    upto    timestamptz      NOT NULL,
    revised timestamptz,
    error   text,
    PRIMARY KEY (rule_id, symbol)
) WITH (fillfactor = 50);
COMMENT ON TABLE alert.progress IS
    'How far each rule has looked at each symbol. Each bar is evaluated once, and again only where a late tick '
    'changed it.';
COMMENT ON COLUMN alert.progress.rule_id IS 'The rule.';
COMMENT ON COLUMN alert.progress.symbol IS 'The symbol.';
COMMENT ON COLUMN alert.progress.since IS
    'Bars before this one were not evaluated under the rule as it is: revisions of them change no event.';
COMMENT ON COLUMN alert.progress.upto IS 'Bars before this one have been evaluated.';
COMMENT ON COLUMN alert.progress.revised IS 'After an error: bars from this one on wait to be evaluated again.';
COMMENT ON COLUMN alert.progress.error IS 'Why the last evaluation failed for this symbol. NULL: it did not.';
GRANT SELECT ON alert.progress TO hypertick_reader, hypertick_operator;

CREATE TABLE alert.runs (
    rule_id     bigint      PRIMARY KEY REFERENCES alert.rules ON DELETE CASCADE,
    version     int         NOT NULL,
    revision_id bigint      NOT NULL,
    finished_at timestamptz,
    took        interval,
    symbols     int,
    error       text
) WITH (fillfactor = 50);
COMMENT ON TABLE alert.runs IS 'The last evaluation of each rule.';
COMMENT ON COLUMN alert.runs.rule_id IS 'The rule.';
COMMENT ON COLUMN alert.runs.version IS 'Version of the rule that was evaluated.';
COMMENT ON COLUMN alert.runs.revision_id IS 'Last row of bar_revisions that was taken into account.';
COMMENT ON COLUMN alert.runs.finished_at IS 'When it ended.';
COMMENT ON COLUMN alert.runs.took IS 'How long it took.';
COMMENT ON COLUMN alert.runs.symbols IS 'Symbols that had bars to look at.';
COMMENT ON COLUMN alert.runs.error IS 'Why it failed. NULL: it did not.';
GRANT SELECT ON alert.runs TO hypertick_reader, hypertick_operator;

-- The notifications to send, written in the transaction of their events: none is
-- lost, and none is sent for an event that was rolled back.
CREATE TABLE alert.outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text        NOT NULL UNIQUE,
    channel     text        NOT NULL,
    payload     jsonb       NOT NULL,
    state       text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead')),
    attempts    int         NOT NULL DEFAULT 0,
    next_try    timestamptz NOT NULL DEFAULT now(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    error       text
) WITH (fillfactor = 70);
CREATE INDEX outbox_next_idx ON alert.outbox (next_try) WHERE state = 'waiting';
CREATE INDEX outbox_finished_idx ON alert.outbox (finished_at) WHERE state <> 'waiting';
-- Notifications of one rule and symbol leave in their order: one that is due
-- waits while an earlier one of its channel, rule and symbol does.
CREATE INDEX outbox_order_idx ON alert.outbox
    (channel, (coalesce(payload ->> 'rule_id', '')), (coalesce(payload ->> 'symbol', '')), id)
    WHERE state = 'waiting';
-- Without it the planner may walk the primary key, past all that was sent.
CREATE INDEX outbox_channel_idx ON alert.outbox (channel, id) WHERE state = 'waiting';
-- Sent ones are many, dead ones few: both are in outbox_finished_idx.
CREATE INDEX outbox_dead_idx ON alert.outbox (channel) WHERE state = 'dead';
COMMENT ON TABLE alert.outbox IS
    'Notifications: waiting, sent or failed permanently. A notifier claims waiting ones whose next_try has come, '
    'FOR UPDATE SKIP LOCKED. Sent ones are kept for 7 days, dead ones for 30.';
COMMENT ON COLUMN alert.outbox.id IS 'Order of writing.';
COMMENT ON COLUMN alert.outbox.key IS 'Idempotency key: the receiver sees the same one on every attempt.';
COMMENT ON COLUMN alert.outbox.channel IS 'Name in alert.channels.';
COMMENT ON COLUMN alert.outbox.payload IS
    '{kind, rule, rule_id, severity, symbol, interval, bar, opened, resolved, value, threshold, count, message, '
    'events}. kind is opened, resolved or retracted; count is how many events it speaks for, events their ids.';
COMMENT ON COLUMN alert.outbox.state IS 'waiting, sent or dead.';
COMMENT ON COLUMN alert.outbox.attempts IS
    'Number of attempts. Rises when a notifier claims it: a notifier stores its result only while the number is '
    'still the one of its claim.';
COMMENT ON COLUMN alert.outbox.next_try IS
    'Earliest time of the next attempt. A notifier that claims it sets this ahead as a lease; if that notifier dies, '
    'another one claims it then.';
COMMENT ON COLUMN alert.outbox.created_at IS 'When it was written.';
COMMENT ON COLUMN alert.outbox.finished_at IS 'When it was sent or failed permanently.';
COMMENT ON COLUMN alert.outbox.error IS 'Why the last attempt failed.';
COMMENT ON INDEX alert.outbox_next_idx IS 'Finds what is due.';
COMMENT ON INDEX alert.outbox_finished_idx IS 'Finds what can be deleted.';
COMMENT ON INDEX alert.outbox_order_idx IS
    'Finds whether an earlier notification of the same channel, rule and symbol waits.';
COMMENT ON INDEX alert.outbox_channel_idx IS 'Finds what waits for a channel, in order.';
COMMENT ON INDEX alert.outbox_dead_idx IS 'Counts and lists what was given up.';
GRANT SELECT ON alert.outbox TO hypertick_reader, hypertick_operator;
GRANT UPDATE (state, attempts, next_try, finished_at, error) ON alert.outbox TO hypertick_operator;

-- Wakes the notifiers at commit.
CREATE FUNCTION _hypertick.wake_notifiers() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('hypertick_outbox', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION _hypertick.wake_notifiers() IS
    'Trigger: tells notifiers that there is something to send, on channel hypertick_outbox.';
REVOKE EXECUTE ON FUNCTION _hypertick.wake_notifiers() FROM PUBLIC;
CREATE TRIGGER wake_notifiers AFTER INSERT ON alert.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION _hypertick.wake_notifiers();

CREATE PROCEDURE _hypertick.clear_outbox(job_id int, config jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM alert.outbox o
    WHERE o.state = 'sent' AND o.finished_at < now() - coalesce(config ->> 'sent', '7 days')::interval
       OR o.state = 'dead' AND o.finished_at < now() - coalesce(config ->> 'dead', '30 days')::interval;
END
$$;
COMMENT ON PROCEDURE _hypertick.clear_outbox(int, jsonb) IS 'Job: deletes old notifications. config: sent, dead.';
REVOKE EXECUTE ON PROCEDURE _hypertick.clear_outbox(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.clear_outbox', INTERVAL '1 hour',
    config => '{"sent": "7 days", "dead": "30 days"}', fixed_schedule => false);
