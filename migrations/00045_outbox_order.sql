-- +goose Up
-- What notifiers look for in alert.outbox.

-- Notifications of one rule and symbol leave in their order: one that is due
-- waits while an earlier one of its channel, rule and symbol does.
CREATE INDEX outbox_order_idx ON alert.outbox (channel, (coalesce(payload ->> 'rule_id', '')), (coalesce(payload ->> 'symbol', '')), id)
    WHERE state = 'waiting';
COMMENT ON INDEX alert.outbox_order_idx IS 'Tells whether an earlier notification of the same channel, rule and symbol waits.';

-- Without it the planner may walk the primary key, past all that was sent.
CREATE INDEX outbox_channel_idx ON alert.outbox (channel, id) WHERE state = 'waiting';
COMMENT ON INDEX alert.outbox_channel_idx IS 'Finds what waits for a channel, in order.';

-- Sent ones are many, dead ones few: both are in outbox_finished_idx.
CREATE INDEX outbox_dead_idx ON alert.outbox (channel) WHERE state = 'dead';
COMMENT ON INDEX alert.outbox_dead_idx IS 'Counts and lists what was given up.';

COMMENT ON COLUMN alert.outbox.attempts IS 'How often it was tried. Rises when a notifier takes it, and tells one that took it from the next: the result of a try counts only while the number is still its own.';
COMMENT ON COLUMN alert.outbox.next_try IS 'Not tried before this. A notifier that takes it sets this ahead, so that no other does meanwhile; should it die, the next one goes on then.';

-- +goose Down
COMMENT ON COLUMN alert.outbox.next_try IS 'Not tried before this.';
COMMENT ON COLUMN alert.outbox.attempts IS 'How often it was tried.';
DROP INDEX alert.outbox_dead_idx;
DROP INDEX alert.outbox_channel_idx;
DROP INDEX alert.outbox_order_idx;
