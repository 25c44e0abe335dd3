//go:build unix

package kafka

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/holdfast-mesh/holdfast/pkg/config"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/test/peers/pki"
)

const (
	agent = "p1.gw1"
	cloud = "holdfast-cloud"
)

// secured is a cluster with the rights that getting-started gives, and clients that are built as the product's are.
type secured struct {
	*Cluster
	ca   string
	dir  string
	docs kafka.Config
}

func secure(t *testing.T) *secured {
	t.Helper()
	s := &secured{dir: t.TempDir(), docs: kafka.DefaultConfig}
	authority, err := pki.New(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	id, err := authority.Issue("kafka")
	if err != nil {
		t.Fatal(err)
	}
	s.ca = authority.CA()
	s.Cluster = run(t, Config{Nodes: 1, Secure: &Security{
		Chain: text(t, id.Cert) + text(t, s.ca), Key: text(t, id.Key), Admin: "admin", AdminPassword: "admin-secret",
	}})
	s.prepare(t)
	return s
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// prepare makes topics of two plants with a record in each partition 0, users, and their rights.
func (s *secured) prepare(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	open := kafka.Config{Brokers: s.Addrs(), Prefix: s.docs.Prefix, CreateTopics: true}
	specs := slices.Concat(open.PlantSpecs("p1"), open.PlantSpecs("p2"), open.CloudSpecs())
	if err := open.Ensure(ctx, specs, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for _, spec := range specs {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: spec.Name, Key: []byte("k"), Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{agent, cloud} {
		up := kadm.UpsertSCRAM{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: user + "-secret"}
		if r, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{up}); err != nil || r.Error() != nil {
			t.Fatal(errors.Join(err, r.Error()))
		}
	}
	literal := func(user string, ops []kadm.ACLOperation, topics ...string) *kadm.ACLBuilder {
		return kadm.NewACLs().Allow("User:" + user).ResourcePatternType(kadm.ACLPatternLiteral).Topics(topics...).Operations(ops...)
	}
	const write, read, describe = kadm.OpWrite, kadm.OpRead, kadm.OpDescribe
	p := &s.docs
	prefixed := func(ops ...kadm.ACLOperation) *kadm.ACLBuilder {
		return kadm.NewACLs().Allow("User:" + cloud).ResourcePatternType(kadm.ACLPatternPrefixed).Operations(ops...)
	}
	for _, acl := range []*kadm.ACLBuilder{
		literal(agent, []kadm.ACLOperation{write, describe}, p.Quality("p1"), p.Telemetry("p1")),
		literal(agent, []kadm.ACLOperation{read, describe}, p.PlantLotStatus("p1"), p.Control("p1")),
		prefixed(read, describe).Topics(p.Prefix + "."),
		literal(cloud, []kadm.ACLOperation{write}, p.PlantLotStatus("p1"), p.Control("p1"), p.LotStatus(), p.Effect(), p.Alert(), p.Audit(), p.Deadletter()),
		prefixed(read, describe).Groups("holdfast-cloud-"),
		prefixed(write, describe).TransactionalIDs("holdfast-outbox-"),
	} {
		acl.AllowHosts()
		if r, err := admin.CreateACLs(ctx, acl); err != nil || slices.ContainsFunc(r, func(x kadm.CreateACLsResult) bool { return x.Err != nil }) {
			t.Fatal(err, r)
		}
	}
}

// client returns one with a user's name, through TLS.
func (s *secured) client(t *testing.T, user, password string, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	file := filepath.Join(s.dir, user+".pw")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := kafka.Config{
		Brokers: s.SecureAddrs(), Prefix: s.docs.Prefix, TLS: &config.TLS{CA: config.Path(s.ca)},
		SASL: &config.SASL{User: user, PasswordFile: config.SecretFile(file)},
	}
	opts, err := cfg.Options(user, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// act is something that a user may try on a topic, a group or a transactional id.
type act func(ctx context.Context, s *secured, t *testing.T, user, on string) error

func write(ctx context.Context, s *secured, t *testing.T, user, topic string) error {
	client := s.client(t, user, user+"-secret", kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("of " + user)}).FirstErr()
}

func read(ctx context.Context, s *secured, t *testing.T, user, topic string) error {
	client := s.client(t, user, user+"-secret", kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	for {
		fetches := client.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		if fetches.NumRecords() > 0 {
			return nil
		}
	}
}

func create(ctx context.Context, s *secured, t *testing.T, user, topic string) error {
	r, err := kadm.NewClient(s.client(t, user, user+"-secret")).CreateTopic(ctx, 1, 1, nil, topic)
	return errors.Join(err, r.Err)
}

func remove(ctx context.Context, s *secured, t *testing.T, user, topic string) error {
	r, err := kadm.NewClient(s.client(t, user, user+"-secret")).DeleteTopic(ctx, topic)
	return errors.Join(err, r.Err)
}

func truncate(ctx context.Context, s *secured, t *testing.T, user, topic string) error {
	var at kadm.Offsets
	at.AddOffset(topic, 0, 1, -1)
	r, err := kadm.NewClient(s.client(t, user, user+"-secret")).DeleteRecords(ctx, at)
	return errors.Join(err, r.Error())
}

func reconfigure(ctx context.Context, s *secured, t *testing.T, user, topic string) error {
	week := "604800000"
	r, err := kadm.NewClient(s.client(t, user, user+"-secret")).AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &week}}, topic)
	if err != nil {
		return err
	}
	return r[0].Err
}

// join takes part in a group; what a group reads must be a topic that its member may read.
func join(ctx context.Context, s *secured, t *testing.T, user, group string) error {
	client := s.client(t, user, user+"-secret", kgo.ConsumerGroup(group), kgo.ConsumeTopics(s.docs.PlantLotStatus("p1")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for {
		fetches := client.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		if fetches.NumRecords() > 0 {
			return client.CommitUncommittedOffsets(ctx)
		}
	}
}

// transact fences whoever has the transactional id, such as the cloud's publisher.
func transact(ctx context.Context, s *secured, t *testing.T, user, id string) error {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &id, 10_000
	r, err := req.RequestWith(ctx, s.client(t, user, user+"-secret"))
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(r.ErrorCode)
}

// grant gives the user another right.
func grant(ctx context.Context, s *secured, t *testing.T, user, topic string) error {
	acl := kadm.NewACLs().Allow("User:" + user).AllowHosts().ResourcePatternType(kadm.ACLPatternLiteral).Topics(topic).Operations(kadm.OpWrite)
	r, err := kadm.NewClient(s.client(t, user, user+"-secret")).CreateACLs(ctx, acl)
	if err != nil {
		return err
	}
	return r[0].Err
}

// see looks whether a topic is in the list of all topics, where those stand that the user may describe.
func see(ctx context.Context, s *secured, t *testing.T, user, topic string) error {
	all, err := kadm.NewClient(s.client(t, user, user+"-secret")).ListTopics(ctx)
	if err != nil {
		return err
	}
	if !all.Has(topic) {
		return kerr.TopicAuthorizationFailed
	}
	return nil
}

// TestCluster_Rights tries each cell of the matrix of rights on the server itself. The forbidden ones are refused as such, not
// by chance: a cell that another error would refuse fails.
func TestCluster_Rights(t *testing.T) {
	s := secure(t)
	p := &s.docs
	acts := map[string]act{
		"write": write, "read": read, "create": create, "remove": remove, "truncate": truncate, "reconfigure": reconfigure,
		"join": join, "transact": transact, "grant": grant, "see": see,
	}
	topic, cluster, group, transaction := kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed
	for _, cell := range []struct {
		user, act, on string
		want          error // nil = allowed
	}{
		{agent, "write", p.Quality("p1"), nil},
		{agent, "write", p.Telemetry("p1"), nil},
		{agent, "read", p.PlantLotStatus("p1"), nil},
		{agent, "read", p.Control("p1"), nil},
		{agent, "see", p.Quality("p1"), nil},
		// What would let a gateway that somebody took over free a lot, or speak for another plant.
		{agent, "write", p.PlantLotStatus("p1"), topic},
		{agent, "write", p.Control("p1"), topic},
		{agent, "write", p.LotStatus(), topic},
		{agent, "write", p.Effect(), topic},
		{agent, "write", p.Alert(), topic},
		{agent, "write", p.Audit(), topic},
		{agent, "write", p.Deadletter(), topic},
		{agent, "write", p.Quality("p2"), topic},
		{agent, "write", p.Telemetry("p2"), topic},
		{agent, "write", p.PlantLotStatus("p2"), topic},
		{agent, "read", p.Quality("p1"), topic},
		{agent, "read", p.Telemetry("p1"), topic},
		{agent, "read", p.Quality("p2"), topic},
		{agent, "read", p.PlantLotStatus("p2"), topic},
		{agent, "read", p.Control("p2"), topic},
		{agent, "read", p.LotStatus(), topic},
		{agent, "read", p.Deadletter(), topic},
		{agent, "see", p.Quality("p2"), topic},
		{agent, "see", p.Audit(), topic},
		{agent, "create", "holdfast.p1.quality.v2", topic},
		{agent, "create", "anything", topic},
		{agent, "remove", p.Quality("p1"), topic},
		{agent, "truncate", p.Quality("p1"), topic},
		{agent, "reconfigure", p.Quality("p1"), topic},
		{agent, "join", "p1.gw1", group},
		{agent, "join", "holdfast-cloud-p1", group},
		{agent, "transact", "holdfast-outbox-1", transaction},
		{agent, "transact", "p1.gw1", transaction},
		{agent, "grant", p.PlantLotStatus("p1"), cluster},

		{cloud, "read", p.Quality("p1"), nil},
		{cloud, "read", p.Telemetry("p2"), nil},
		{cloud, "write", p.PlantLotStatus("p1"), nil},
		{cloud, "write", p.LotStatus(), nil},
		{cloud, "write", p.Audit(), nil},
		{cloud, "join", "holdfast-cloud-intake", nil},
		{cloud, "transact", "holdfast-outbox-1", nil},
		{cloud, "write", p.Quality("p1"), topic}, // it would speak for a plant
		{cloud, "write", p.Telemetry("p1"), topic},
		{cloud, "write", p.PlantLotStatus("p2"), topic}, // a plant that it was not given
		{cloud, "create", "holdfast.p3.quality.v1", topic},
		{cloud, "remove", p.Audit(), topic},
		{cloud, "truncate", p.Audit(), topic},
		{cloud, "join", "another", group},
		{cloud, "transact", "another", transaction},
		{cloud, "grant", p.Quality("p1"), cluster},
	} {
		t.Run(cell.user+"/"+cell.act+"/"+cell.on, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if err := acts[cell.act](ctx, s, t, cell.user, cell.on); !errors.Is(err, cell.want) {
				t.Errorf("%v, want %v", err, cell.want)
			}
		})
	}
}

// TestCluster_LogIn: nobody comes in by the secured listener without the right password, nor without TLS.
func TestCluster_LogIn(t *testing.T) {
	s := secure(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.client(t, agent, agent+"-secret").Ping(ctx); err != nil {
		t.Errorf("the right password: %v", err)
	}
	for _, user := range []string{agent, "nobody"} {
		if err := s.client(t, user, "wrong").Ping(ctx); !errors.Is(err, kerr.SaslAuthenticationFailed) {
			t.Errorf("user %s with a wrong password: %v, want %v", user, err, kerr.SaslAuthenticationFailed)
		}
	}
	trusting, err := (&config.TLS{CA: config.Path(s.ca)}).Config()
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]kgo.Opt{
		"without TLS":      nil,
		"without a log-in": {kgo.DialTLSConfig(trusting)},
	} {
		client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(s.SecureAddrs()...))...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		brief, stop := context.WithTimeout(ctx, 5*time.Second)
		if err := client.Ping(brief); err == nil {
			t.Errorf("%s a client came in", name)
		}
		stop()
	}
}
