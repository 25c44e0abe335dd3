package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// Right is what an identity may do with a topic.
type Right string

// Rights.
const (
	Read  Right = "Read"
	Write Right = "Write"
)

// Standing is how a topic stands for the identity that asks.
type Standing struct {
	Spec
	Err    error   // why it cannot be used as specified; nil = it can
	Rights []Right // of this identity, sorted; nil = the broker does not tell
	// Timestamp is the topic's message.timestamp.type; "" = this identity may not see it.
	Timestamp string
}

// Examine looks at topics without changing or sending anything. The error is that of the cluster, those of the topics
// stand with them.
func (c *Config) Examine(ctx context.Context, specs []Spec, log zerolog.Logger) ([]Standing, error) {
	opts, err := c.Options("doctor", log, nil)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, kgo.RequestRetries(1))...)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return nil, problem.New(reason(err), "reach %s: %w", c.Brokers, err)
	}
	admin := kadm.NewClient(client)
	details, err := list(ctx, admin, specs)
	if err != nil {
		return nil, err
	}
	rights, err := rightsOf(ctx, client, specs)
	if err != nil {
		return nil, err
	}
	stamps := timestamps(ctx, admin, specs)
	all := make([]Standing, len(specs))
	for i, s := range specs {
		all[i] = Standing{Spec: s, Err: s.judge(details), Rights: rights[s.Name], Timestamp: stamps[s.Name]}
	}
	return all, nil
}

func reason(err error) problem.Code {
	if errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return problem.KafkaRefused
	}
	return problem.KafkaUnreachable
}

// untold is what a broker answers that does not tell rights (KIP-430).
const untold = -1 << 31

// Bits of the rights: Kafka's AclOperation.
const (
	bitRead  = 1 << 3
	bitWrite = 1 << 4
)

// rightsOf returns the rights by topic; a topic is absent where the broker does not tell.
func rightsOf(ctx context.Context, client *kgo.Client, specs []Spec) (map[string][]Right, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, s := range specs {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(s.Name)
		req.Topics = append(req.Topics, t)
	}
	res, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, problem.New(problem.KafkaUnreachable, "ask for our rights: %w", err)
	}
	all := map[string][]Right{}
	for _, t := range res.Topics {
		if t.Topic == nil || t.ErrorCode != 0 || t.AuthorizedOperations == untold || res.Version < 8 {
			continue
		}
		rights := []Right{}
		if t.AuthorizedOperations&bitRead != 0 {
			rights = append(rights, Read)
		}
		if t.AuthorizedOperations&bitWrite != 0 {
			rights = append(rights, Write)
		}
		slices.Sort(rights)
		all[*t.Topic] = rights
	}
	return all, nil
}

// timestamps returns message.timestamp.type by topic. Most agents may not see it, which is no fault.
func timestamps(ctx context.Context, admin *kadm.Client, specs []Spec) map[string]string {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	all := map[string]string{}
	configs, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return all
	}
	for _, c := range configs {
		for _, x := range c.Configs {
			if c.Err == nil && x.Key == "message.timestamp.type" && x.Value != nil {
				all[c.Name] = *x.Value
			}
		}
	}
	return all
}
