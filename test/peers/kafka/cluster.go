//go:build unix

// Package kafka starts Apache Kafka itself on free loopback ports: what an embedded broker cannot vouch for is judged here.
// Its jars are those of pom.xml; scripts/peers.sh brings them and checks them. Its servers end with the process that started
// them, however that ends.
package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/holdfast-mesh/holdfast/test/peers/host"
)

// Config says which cluster to start.
type Config struct {
	Jars string // folder of the server's jars
	// Nodes is how many brokers there are, each also a controller: 1 or 3. With 3, topics of Kafka's own have three copies.
	Nodes int
	// Secure adds a listener with TLS and SCRAM, and ACLs without which nothing is allowed.
	Secure *Security
}

// Security is about the listener that clients of a plant meet.
type Security struct {
	Chain string // PEM: the server's certificate, for 127.0.0.1, and those above it
	Key   string // PEM: its private key in PKCS #8
	// Admin may do all and has the password AdminPassword, by SCRAM-SHA-512.
	Admin, AdminPassword string
}

// Cluster is one that runs.
type Cluster struct {
	cfg   Config
	id    string
	dir   string // of data, logs and configurations
	user  *syscall.Credential
	nodes []*node
}

// node is one server.
type node struct {
	id                          int
	dir                         string
	plain, controller, security int // ports
	process                     *host.Process
}

// Start formats the storage in a folder of its own, starts all nodes and returns when each answers.
func Start(ctx context.Context, cfg Config) (c *Cluster, err error) {
	c = &Cluster{cfg: cfg, id: "aG9sZGZhc3QtcGVlcnMtMQ"}
	if c.user, err = host.Account("kafka"); err != nil {
		return nil, err
	}
	if c.dir, err = host.Dir(c.user); err != nil {
		return nil, err
	}
	if err := c.begin(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) begin(ctx context.Context) error {
	ports, err := host.Ports(3 * c.cfg.Nodes)
	if err != nil {
		return err
	}
	for i := range c.cfg.Nodes {
		n := &node{id: i + 1, plain: ports[3*i], controller: ports[3*i+1], security: ports[3*i+2], dir: filepath.Join(c.dir, fmt.Sprintf("node%d", i+1))}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := c.format(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		if err := c.start(n); err != nil {
			return err
		}
	}
	for i := range c.nodes {
		if err := c.Await(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// Addrs returns the addresses of all nodes without TLS; whoever comes by them may do all.
func (c *Cluster) Addrs() (list []string) {
	for _, n := range c.nodes {
		list = append(list, host.Loopback(n.plain))
	}
	return list
}

// SecureAddrs returns the addresses of all nodes with TLS and SCRAM.
func (c *Cluster) SecureAddrs() (list []string) {
	for _, n := range c.nodes {
		list = append(list, host.Loopback(n.security))
	}
	return list
}

// Kill ends node i, counted from 0, by SIGKILL.
func (c *Cluster) Kill(i int) {
	if n := c.nodes[i]; n.process != nil {
		n.process.End(syscall.SIGKILL)
		n.process = nil
	}
}

// Restart starts node i again on its old data, and returns when it answers.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	if err := c.start(c.nodes[i]); err != nil {
		return err
	}
	return c.Await(ctx, i)
}

// Close ends all nodes and removes what they kept.
func (c *Cluster) Close() {
	for i := range c.nodes {
		c.Kill(i)
	}
	_ = os.RemoveAll(c.dir) // a folder left in the temporary one harms nobody
}

// Await waits until node i answers with all of the cluster's brokers. If one of them ends instead, the error quotes its log.
func (c *Cluster) Await(ctx context.Context, i int) error {
	n := c.nodes[i]
	client, err := kgo.NewClient(kgo.SeedBrokers(host.Loopback(n.plain)))
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, 2*time.Second)
		known, err := brokers(asked, client)
		cancel()
		if err == nil && known == len(c.nodes) {
			return nil
		}
		if dead := c.ended(); dead >= 0 {
			return fmt.Errorf("kafka node %d ended before node %d answered\n%s", c.nodes[dead].id, n.id, c.Tail(dead))
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("it knows %d of %d brokers", known, len(c.nodes))
			}
			return fmt.Errorf("kafka node %d did not answer in time: %w\n%s", n.id, errors.Join(ctx.Err(), err), c.tails())
		case <-tick.C:
		}
	}
}

// brokers asks a client's first node how many brokers it knows. What the client itself keeps in mind of that grows old.
func brokers(ctx context.Context, client *kgo.Client) (n int, err error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // of none
	resp, err := client.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return 0, err
	}
	return len(resp.(*kmsg.MetadataResponse).Brokers), nil
}

// tails returns the newest lines of all nodes' logs.
func (c *Cluster) tails() string {
	var b strings.Builder
	for i, n := range c.nodes {
		fmt.Fprintf(&b, "node %d:\n%s\n", n.id, c.Tail(i))
	}
	return b.String()
}

// ended returns a node that has ended and was not killed; -1 = none has.
func (c *Cluster) ended() int {
	return slices.IndexFunc(c.nodes, func(n *node) bool {
		if n.process == nil {
			return false
		}
		select {
		case <-n.process.Done():
			return true
		default:
			return false
		}
	})
}

// Tail returns the newest lines of node i's log.
func (c *Cluster) Tail(i int) string {
	text, err := os.ReadFile(filepath.Join(c.nodes[i].dir, "server.log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// format writes a node's configuration and makes its storage.
func (c *Cluster) format(ctx context.Context, n *node) error {
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"server.properties": c.properties(n), "log4j2.yaml": logging} {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := host.Give(n.dir, c.user); err != nil {
		return err
	}
	args := []string{"format", "--cluster-id", c.id, "--config", filepath.Join(n.dir, "server.properties")}
	if s := c.cfg.Secure; s != nil {
		args = append(args, "--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", s.Admin, s.AdminPassword))
	}
	format := c.java(ctx, n, "kafka.tools.StorageTool", args...)
	format.SysProcAttr = &syscall.SysProcAttr{Credential: c.user}
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format the storage of kafka node %d: %w\n%s", n.id, err, bytes.TrimSpace(out))
	}
	return nil
}

func (c *Cluster) start(n *node) error {
	log, err := os.OpenFile(filepath.Join(n.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the node has it open by itself
	cmd := c.java(context.Background(), n, "kafka.Kafka", filepath.Join(n.dir, "server.properties"))
	cmd.Stdout, cmd.Stderr = log, log
	n.process, err = host.Start(cmd, c.user, "KILL")
	return err
}

func (c *Cluster) java(ctx context.Context, n *node, class string, args ...string) *exec.Cmd {
	heap := "-Xmx512m"
	if len(c.nodes) > 1 {
		heap = "-Xmx320m"
	}
	cmd := exec.CommandContext(ctx, "java", append([]string{heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.configurationFile=" + filepath.Join(n.dir, "log4j2.yaml"), "-cp", filepath.Join(c.cfg.Jars, "*"), class}, args...)...)
	cmd.Dir = n.dir
	return cmd
}

func (c *Cluster) properties(n *node) string {
	var voters []string
	for _, v := range c.nodes {
		voters = append(voters, fmt.Sprintf("%d@%s", v.id, host.Loopback(v.controller)))
	}
	copies, least := min(3, len(c.nodes)), 1
	if copies == 3 {
		least = 2
	}
	listeners, protocols := "PLAIN://"+host.Loopback(n.plain), "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT"
	p := map[string]string{
		"process.roles": "broker,controller", "node.id": strconv.Itoa(n.id), "controller.quorum.voters": strings.Join(voters, ","),
		"controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "PLAIN", "log.dirs": filepath.Join(n.dir, "data"),
		"auto.create.topics.enable": "false", "group.initial.rebalance.delay.ms": "0", "num.partitions": "1",
		"offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "4",
		"offsets.topic.replication.factor": strconv.Itoa(copies), "transaction.state.log.replication.factor": strconv.Itoa(copies),
		"transaction.state.log.min.isr": strconv.Itoa(least), "default.replication.factor": strconv.Itoa(copies), "min.insync.replicas": strconv.Itoa(least),
		"broker.session.timeout.ms": "6000", "controlled.shutdown.enable": "true", "log.cleaner.dedupe.buffer.size": "4194304",
		"log.cleaner.threads": "1",
	}
	if s := c.cfg.Secure; s != nil {
		listeners += ",SECURE://" + host.Loopback(n.security)
		protocols += ",SECURE:SASL_SSL"
		p["sasl.enabled.mechanisms"] = "SCRAM-SHA-512"
		p["listener.name.secure.scram-sha-512.sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		p["ssl.keystore.type"], p["ssl.keystore.certificate.chain"], p["ssl.keystore.key"] = "PEM", oneLine(s.Chain), oneLine(s.Key)
		p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		p["allow.everyone.if.no.acl.found"] = "false"
		p["super.users"] = "User:ANONYMOUS;User:" + s.Admin
	}
	p["advertised.listeners"] = listeners
	p["listeners"] = listeners + ",CONTROLLER://" + host.Loopback(n.controller)
	p["listener.security.protocol.map"] = protocols
	var b strings.Builder
	for key, value := range p {
		fmt.Fprintf(&b, "%s=%s\n", key, value)
	}
	return b.String()
}

// oneLine makes a PEM text a value of a properties file.
func oneLine(pem string) string { return strings.ReplaceAll(strings.TrimSpace(pem), "\n", "\\n") }

const logging = `Configuration:
  Appenders:
    Console: { name: out, PatternLayout: { pattern: "%d{HH:mm:ss.SSS} %p %c{1} %m%n" } }
  Loggers:
    Root: { level: warn, AppenderRef: [{ ref: out }] }
    Logger: [{ name: kafka.server.KafkaRaftServer, level: info }]
`
