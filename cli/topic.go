package cli

import (
	"fmt"

	"github.com/hypertick/hypertick/feed"
)

type topicCmd struct {
	brokerFlag
	produceFlags
	Replicas int16 `help:"Copies of each partition where the topic has to be created; -1 leaves it to the broker." default:"-1" placeholder:"N"`
}

// Help is shown below the flags.
func (topicCmd) Help() string {
	return "A record's timestamp is the time of its trade, so a topic that keeps records for a time deletes history as it arrives: " +
		"topics made here keep them by size alone. A topic that is there already is left as it is."
}

// Run creates what is missing and says what is there.
func (c *topicCmd) Run(e *env) error {
	if c.Replicas == 0 || c.Replicas < -1 {
		return usagef("--replicas: want at least 1, or -1, got %d", c.Replicas)
	}
	if c.Partitions < 1 {
		return usagef("--partitions: want at least 1, got %d", c.Partitions)
	}
	security, err := c.security(e.log)
	if err != nil {
		return err
	}
	infos, err := feed.CreateTopics(e.ctx, feed.TopicsConfig{
		Brokers: c.Brokers, Security: security, Topic: c.Topic, Partitions: c.Partitions, Replicas: c.Replicas, Timeout: c.DeliveryTimeout,
	})
	if err != nil {
		return err
	}
	for _, t := range infos {
		state := "was there"
		if t.Created {
			state = "created"
		}
		fmt.Fprintf(e.out, "%s: %s, %d partitions, %d replicas, retention.ms %s\n", t.Name, state, t.Partitions, t.Replicas, t.RetentionMS)
		if t.RetentionMS != "-1" {
			fmt.Fprintf(e.errOut, "hypertick: topic %s deletes records by age, so that history is gone before it is read: set its retention.ms to -1\n", t.Name)
		}
	}
	return nil
}
