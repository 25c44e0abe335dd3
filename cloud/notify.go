package cloud

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	// statusEvery is how often the service manager hears how much waits.
	statusEvery = 10 * time.Second
	// statusLimit is how long the database may take to say it.
	statusLimit = 5 * time.Second
)

// inform tells the service manager that the cloud is ready, how much waits, and that it goes on, until ctx ends; then that it
// stops. It is the part that stops first, so that the manager hears that the end has begun before it begins.
func (c *Cloud) inform(ctx context.Context, s *store.Store) error {
	if !c.Notifier.Listens() {
		<-ctx.Done()
		return nil
	}
	quiet := telemetry.Quiet{Log: c.log, Now: failpoint.Now}
	say := func(states ...string) { c.Notifier.Tell(&quiet, states...) }
	defer say(telemetry.NotifyStopping)
	// The manager would give up a start that waits for a topic which a person has to make; the line says what is missing.
	say(telemetry.NotifyReady, c.status(ctx, s))
	tick := time.NewTicker(c.Notifier.Pace(statusEvery))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			// A database that is down is no reason to start anew: the cloud goes on by itself when it is back. One that neither
			// answers nor refuses keeps this line from being reached.
			say(c.status(ctx, s), telemetry.NotifyAlive)
		}
	}
}

// status says in one line what is missing, else how much waits.
func (c *Cloud) status(ctx context.Context, s *store.Store) string {
	if c.missing != nil {
		switch missing := c.missing(); len(missing) {
		case 0:
		case 1:
			return telemetry.NotifyStatus("not ready: " + missing[0])
		default:
			return telemetry.NotifyStatus(fmt.Sprintf("not ready: %s, and %d more", missing[0], len(missing)-1))
		}
	}
	return backlog(ctx, s)
}

// backlog says in one line how many effects have not been carried out, how old they are, and what has not reached Kafka.
func backlog(ctx context.Context, s *store.Store) string {
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	var effects, messages int64
	var oldest time.Time
	err := s.View(ctx, func(tx *store.Tx) (err error) {
		counts, err := tx.CountEffects()
		if err != nil {
			return err
		}
		for _, c := range counts {
			if c.State != store.EffectDue && c.State != store.EffectLeased {
				continue
			}
			effects += c.Count
			if oldest.IsZero() || c.Oldest.Before(oldest) {
				oldest = c.Oldest
			}
		}
		messages, err = tx.CountOutbox()
		return err
	})
	switch {
	case err != nil:
		return telemetry.NotifyStatus("the database does not answer: " + err.Error())
	case effects == 0:
		return telemetry.NotifyStatus(fmt.Sprintf("no effect waits; %d messages for Kafka", messages))
	}
	age := max(0, failpoint.Now().Sub(oldest)).Truncate(time.Second)
	return telemetry.NotifyStatus(fmt.Sprintf("%d effects wait, oldest %s; %d messages for Kafka", effects, age, messages))
}
