-- +goose Up
-- For those who read events: pages of the API, the stream.

CREATE INDEX events_newest_idx ON alert.events (bar DESC, id DESC);
COMMENT ON INDEX alert.events_newest_idx IS 'For pages, newest bar first.';
CREATE INDEX events_firing_idx ON alert.events (rule_id) WHERE state = 'firing';
COMMENT ON INDEX alert.events_firing_idx IS 'Finds what fires among all that ever did.';

-- Whether anything can have changed is one look at the sequence; only then are
-- the chunks of events worth looking at.
GRANT SELECT ON SEQUENCE alert.change_id TO hypertick_reader, hypertick_operator;

-- +goose Down
REVOKE SELECT ON SEQUENCE alert.change_id FROM hypertick_reader, hypertick_operator;
DROP INDEX alert.events_firing_idx;
DROP INDEX alert.events_newest_idx;
