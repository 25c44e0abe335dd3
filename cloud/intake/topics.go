package intake

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/failpoint"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	// A topic that was just made shows within milliseconds on one broker, and within seconds on all. The client by itself
	// would look for new ones every half minute.
	firstLook   = 50 * time.Millisecond
	longestLook = time.Second
	// lookLimit is how long the cluster may take to say which topics it has.
	lookLimit = 5 * time.Second
)

// search is what of the wanted topics has not been found.
type search struct {
	mu      sync.Mutex // guards missing
	missing []string   // why, a sentence for each topic
	over    chan struct{}
}

func newSearch(wanted []kafka.Spec) *search {
	s := &search{over: make(chan struct{})}
	for i := range wanted {
		s.missing = append(s.missing, "topic "+wanted[i].Name+" was not looked for yet")
	}
	if len(wanted) == 0 {
		close(s.over)
	}
	return s
}

func (s *search) set(missing []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing = missing
}

// Missing returns which of the wanted topics were not found yet, a sentence for each; none once all were there.
func (i *Intake) Missing() []string {
	i.search.mu.Lock()
	defer i.search.mu.Unlock()
	return slices.Clone(i.search.missing)
}

// Found is closed when all wanted topics are there, and those of the plants are read.
func (i *Intake) Found() <-chan struct{} { return i.search.over }

// seek looks for the wanted topics until all were there, or ctx ends.
func (i *Intake) seek(ctx context.Context) {
	if len(i.cfg.Topics) == 0 {
		return
	}
	quiet := telemetry.Quiet{Log: i.log, Now: failpoint.Now}
	left := i.cfg.Topics
	for wait := firstLook; ; wait = min(2*wait, longestLook) {
		var why []string
		var err error
		if left, why, err = i.left(ctx, left); ctx.Err() != nil {
			return
		}
		i.search.set(why)
		if len(left) == 0 {
			quiet.Recovered("all topics are there")
			close(i.search.over)
			return
		}
		if wait == longestLook { // a moment after they were made is no trouble
			quiet.Failed(err, "topics are not there yet, what belongs to them waits")
		}
		i.client.ForceMetadataRefresh()
		if pause(ctx, wait) != nil {
			return
		}
	}
}

// left returns those of the topics that are not there as they should be, or not read, with why. Where the cluster does not
// answer, that is why for all that were not asked for. The error is the first of what is wrong.
func (i *Intake) left(ctx context.Context, topics []kafka.Spec) (left []kafka.Spec, why []string, first error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	known := i.client.GetConsumeTopics()
	var silent error
	for _, s := range topics {
		err := silent
		if err == nil {
			err = kafka.Check(ctx, i.client, []kafka.Spec{s})
		}
		switch code := problem.CodeOf(err); {
		case code == problem.KafkaUnreachable:
			silent = err
		case err == nil && i.topics.MatchString(s.Name) && !slices.Contains(known, s.Name):
			err = fmt.Errorf("topic %s is there, and not read yet", s.Name)
		}
		if err == nil {
			continue
		}
		if first == nil {
			first = err
		}
		left, why = append(left, s), append(why, err.Error())
	}
	return left, why, first
}
