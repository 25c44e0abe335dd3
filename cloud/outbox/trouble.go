package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// Alarm tells people what can't be sent. Raising what is raised and clearing what is not change nothing.
type Alarm interface {
	Raise(ctx context.Context, code event.Name, subject, detail string) error
	Clear(ctx context.Context, code event.Name, subject string) error
	// Raised returns the subjects that are raised, by an earlier process, too.
	Raised(ctx context.Context, code event.Name) ([]string, error)
}

// tryAgain is how long what can't be sent is left alone. A topic is looked for by one small request.
const tryAgain = 10 * time.Second

// trouble is what can't be sent: topics that can't be written, and rows that no broker would take. Nothing else waits for
// them. They stay in the outbox and are tried again; what a person is told is taken back once they were sent.
type trouble struct {
	alarm  Alarm
	now    func() time.Time
	topics map[string]time.Time // logical topics, and when each is tried again
	rows   map[int64]time.Time  // ids of rows
	exists map[string]bool      // topics in Kafka that the client has seen
	told   map[event.Name]map[string]bool
}

func newTrouble(alarm Alarm, now func() time.Time) *trouble {
	return &trouble{alarm: alarm, now: now, topics: map[string]time.Time{}, rows: map[int64]time.Time{}, exists: map[string]bool{}}
}

// load reads what an earlier process has told.
func (t *trouble) load(ctx context.Context) error {
	if t.told != nil {
		return nil
	}
	told := map[event.Name]map[string]bool{}
	for _, code := range []event.Name{store.AlertTopic, store.AlertUnfit} {
		told[code] = map[string]bool{}
		subjects, err := t.alarm.Raised(ctx, code)
		if err != nil {
			return err
		}
		for _, s := range subjects {
			told[code][s] = true
		}
	}
	t.told = told
	return nil
}

// except returns what is left alone now.
func (t *trouble) except() store.OutboxExcept {
	now := t.now()
	for topic, at := range t.topics {
		if !at.After(now) || at.Sub(now) > tryAgain { // or the clock was set back
			delete(t.topics, topic)
		}
	}
	for id, at := range t.rows {
		if !at.After(now) || at.Sub(now) > tryAgain {
			delete(t.rows, id)
		}
	}
	return store.OutboxExcept{Topics: slices.Sorted(maps.Keys(t.topics)), IDs: slices.Sorted(maps.Keys(t.rows))}
}

// passed tells whether all that is left alone is passed over when the next page is read.
func (t *trouble) passed() bool {
	return len(t.topics) <= store.MostExcept && len(t.rows) <= store.MostExcept
}

// blocks tells whether a logical topic is left alone.
func (t *trouble) blocks(topic string) bool { return !t.topics[topic].IsZero() }

// block leaves a topic alone for a while.
func (t *trouble) block(ctx context.Context, logical, topic string, cause error) error {
	t.topics[logical] = t.now().Add(tryAgain)
	return t.raise(ctx, store.AlertTopic, topic, fmt.Sprintf("what is meant for it waits in the outbox: %s", cause))
}

// refuse leaves a row alone for a while.
func (t *trouble) refuse(ctx context.Context, row *store.OutboxRow, cause error) error {
	t.rows[row.ID] = t.now().Add(tryAgain)
	return t.raise(ctx, store.AlertUnfit, subject(row), fmt.Sprintf("it waits in the outbox: %s", cause))
}

// poor tells that a lot's status goes out as one that says no more than that the lot may not move.
func (t *trouble) poor(ctx context.Context, row *store.OutboxRow, cause error) error {
	return t.raise(ctx, store.AlertUnfit, subject(row), fmt.Sprintf("the lot is shown as not free to move, without its holds and usage: %s", cause))
}

// fits takes back what was told about a row's object.
func (t *trouble) fits(ctx context.Context, row *store.OutboxRow) error {
	return t.clear(ctx, store.AlertUnfit, subject(row))
}

// sent takes back what was told about what has been sent now. What a status that is poor was told about stays.
func (t *trouble) sent(ctx context.Context, all []outgoing) error {
	for _, x := range all {
		if x.record == nil {
			continue
		}
		delete(t.rows, x.row.ID)
		if err := t.clear(ctx, store.AlertTopic, x.record.Topic); err != nil {
			return err
		}
		if x.row.Message != nil {
			if err := t.fits(ctx, x.row); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *trouble) raise(ctx context.Context, code event.Name, subject, detail string) error {
	if t.told[code][subject] {
		return nil
	}
	if err := t.alarm.Raise(ctx, code, subject, detail); err != nil {
		return fmt.Errorf("raise alert %s of %s: %w", code, subject, err)
	}
	t.told[code][subject] = true
	return nil
}

func (t *trouble) clear(ctx context.Context, code event.Name, subject string) error {
	if !t.told[code][subject] {
		return nil
	}
	if err := t.alarm.Clear(ctx, code, subject); err != nil {
		return fmt.Errorf("clear alert %s of %s: %w", code, subject, err)
	}
	delete(t.told[code], subject)
	return nil
}

func subject(row *store.OutboxRow) string { return row.Topic + " " + row.Key }

// ofTopic tells whether an error is that of one topic, ofRecord that of one record: no other record fails with it.
func ofTopic(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.InvalidTopicException) ||
		errors.Is(err, kerr.UnknownTopicID)
}

func ofRecord(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) || errors.Is(err, kerr.InvalidRecord)
}

// writable drops what is meant for topics that do not exist, or that we may not see: a transaction would wait for one of
// them with all that is in it. A topic that was seen is not asked for again by the same client.
func (p *Publisher) writable(ctx context.Context, all []outgoing) (left []outgoing, err error) {
	logical := map[string]string{} // by topic
	req := kmsg.NewPtrMetadataRequest()
	for _, x := range all {
		if x.record == nil || p.trouble.exists[x.record.Topic] || logical[x.record.Topic] != "" {
			continue
		}
		logical[x.record.Topic] = x.row.Topic
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(x.record.Topic)
		req.Topics = append(req.Topics, topic)
	}
	if len(req.Topics) == 0 {
		return all, nil
	}
	res, err := req.RequestWith(ctx, p.client)
	if err != nil {
		return nil, fmt.Errorf("look for topics: %w", err)
	}
	for _, t := range res.Topics {
		if t.Topic == nil {
			continue
		}
		if cause := kerr.ErrorForCode(t.ErrorCode); ofTopic(cause) {
			if err := p.trouble.block(ctx, logical[*t.Topic], *t.Topic, cause); err != nil {
				return nil, err
			}
			continue
		}
		p.trouble.exists[*t.Topic] = true
	}
	return p.trouble.without(all), nil
}

// without returns what is not left alone: of a plant whose lot status waits no control record, either.
func (t *trouble) without(all []outgoing) []outgoing {
	return slices.DeleteFunc(all, func(x outgoing) bool {
		return t.blocks(x.row.Topic) || !t.rows[x.row.ID].IsZero() || t.blocks(statusOf(x.row.Topic))
	})
}

// statusOf returns the logical topic of the lot status that a plant's control records wait for; empty for other records.
func statusOf(topic string) string {
	plant, ok := strings.CutPrefix(topic, "control/")
	if !ok {
		return ""
	}
	return logicalStatus + "/" + plant
}
