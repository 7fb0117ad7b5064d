package cli

import (
	"fmt"

	"github.com/hypertick/hypertick/feed"
)

type topicCmd struct {
	brokerFlag
	produceFlags
	Replicas int16 `help:"Number of replicas if the topic is created; -1 is the default of the broker." default:"-1" placeholder:"N"`
}

// Help is shown below the flags.
func (topicCmd) Help() string {
	return "The timestamp of a record is its trade time, so retention by age would delete history on arrival: " +
		"the topics that this command creates have retention by size only. It does not change a topic that exists."
}

// Run creates the topics that are missing, and prints all.
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
		state := "exists"
		if t.Created {
			state = "created"
		}
		fmt.Fprintf(e.out, "%s: %s, %d partitions, %d replicas, retention.ms %s\n", t.Name, state, t.Partitions, t.Replicas, t.RetentionMS)
		if t.RetentionMS != "-1" {
			fmt.Fprintf(e.errOut, "hypertick: topic %s deletes records by age, so history is deleted before it is read: set its retention.ms to -1\n", t.Name)
		}
	}
	return nil
}
