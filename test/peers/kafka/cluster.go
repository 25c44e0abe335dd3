//go:build unix

// Package kafka starts Apache Kafka itself on free loopback ports: what an embedded broker cannot vouch for is judged here.
// Its jars are those of pom.xml; scripts/peers.sh brings them and checks them.
package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says which cluster to start.
type Config struct {
	Jars string // folder of the server's jars
	Dir  string // for data, logs and configurations; it must exist
	// Nodes is how many brokers there are, each also a controller: 1 or 3. With 3, topics of Kafka's own have three copies.
	Nodes int
	// Secure adds a listener with TLS and SCRAM, and ACLs without which nothing is allowed.
	Secure *Security
	// User runs the servers, so that they own nothing that is the tester's; nil = the present one.
	User *syscall.Credential
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
	nodes []*node
}

// node is one server.
type node struct {
	id                          int
	dir                         string
	plain, controller, security int // ports
	process                     *exec.Cmd
	done                        chan struct{}
}

// Start formats the storage, starts all nodes and returns when each answers.
func Start(ctx context.Context, cfg Config) (c *Cluster, err error) {
	c = &Cluster{cfg: cfg, id: "aG9sZGZhc3QtcGVlcnMtMQ"}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	ports, err := freePorts(3 * cfg.Nodes)
	if err != nil {
		return c, err
	}
	for i := range cfg.Nodes {
		n := &node{id: i + 1, plain: ports[3*i], controller: ports[3*i+1], security: ports[3*i+2], dir: filepath.Join(cfg.Dir, fmt.Sprintf("node%d", i+1))}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := c.format(ctx, n); err != nil {
			return c, err
		}
	}
	for _, n := range c.nodes {
		if err := c.start(n); err != nil {
			return c, err
		}
	}
	for i := range c.nodes {
		if err := c.Await(ctx, i); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Addrs returns the addresses of all nodes without TLS; whoever comes by them may do all.
func (c *Cluster) Addrs() (list []string) {
	for _, n := range c.nodes {
		list = append(list, loopback(n.plain))
	}
	return list
}

// SecureAddrs returns the addresses of all nodes with TLS and SCRAM.
func (c *Cluster) SecureAddrs() (list []string) {
	for _, n := range c.nodes {
		list = append(list, loopback(n.security))
	}
	return list
}

// Kill ends node i, counted from 0, by SIGKILL.
func (c *Cluster) Kill(i int) {
	if n := c.nodes[i]; n.process != nil {
		_ = n.process.Process.Kill() // it may have ended by itself
		<-n.done
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

// Close ends all nodes.
func (c *Cluster) Close() {
	for i := range c.nodes {
		c.Kill(i)
	}
}

// Await waits until node i answers with itself among the cluster's brokers. If it ends instead, the error quotes its log.
func (c *Cluster) Await(ctx context.Context, i int) error {
	n := c.nodes[i]
	client, err := kgo.NewClient(kgo.SeedBrokers(loopback(n.plain)))
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, 2*time.Second)
		meta, err := kadm.NewClient(client).BrokerMetadata(asked)
		cancel()
		if err == nil && len(meta.Brokers) == len(c.nodes) {
			return nil
		}
		select {
		case <-n.done:
			return fmt.Errorf("kafka node %d ended before it answered\n%s", n.id, c.Tail(i))
		case <-ctx.Done():
			return fmt.Errorf("kafka node %d did not answer in time: %w\n%s", n.id, errors.Join(ctx.Err(), err), c.Tail(i))
		case <-tick.C:
		}
	}
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
	if u := c.cfg.User; u != nil {
		if err := os.Chown(n.dir, int(u.Uid), int(u.Gid)); err != nil {
			return err
		}
	}
	args := []string{"format", "--cluster-id", c.id, "--config", filepath.Join(n.dir, "server.properties")}
	if s := c.cfg.Secure; s != nil {
		args = append(args, "--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", s.Admin, s.AdminPassword))
	}
	format := c.java(ctx, n, "kafka.tools.StorageTool", args...)
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
	n.process = c.java(context.Background(), n, "kafka.Kafka", filepath.Join(n.dir, "server.properties"))
	n.process.Stdout, n.process.Stderr = log, log
	if err := n.process.Start(); err != nil {
		n.process = nil
		return errors.Join(fmt.Errorf("start kafka node %d: %w", n.id, err), log.Close())
	}
	done, process := make(chan struct{}), n.process
	n.done = done
	go func() { // ends with the process
		_ = process.Wait() // how it ended stands in its log
		_ = log.Close()
		close(done)
	}()
	return nil
}

func (c *Cluster) java(ctx context.Context, n *node, class string, args ...string) *exec.Cmd {
	heap := "-Xmx512m"
	if len(c.nodes) > 1 {
		heap = "-Xmx320m"
	}
	cmd := exec.CommandContext(ctx, "java", append([]string{heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.configurationFile=" + filepath.Join(n.dir, "log4j2.yaml"), "-cp", filepath.Join(c.cfg.Jars, "*"), class}, args...)...)
	cmd.Dir = n.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cfg.User}
	return cmd
}

func (c *Cluster) properties(n *node) string {
	var voters []string
	for _, v := range c.nodes {
		voters = append(voters, fmt.Sprintf("%d@%s", v.id, loopback(v.controller)))
	}
	copies, least := min(3, len(c.nodes)), 1
	if copies == 3 {
		least = 2
	}
	listeners, protocols := "PLAIN://"+loopback(n.plain), "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT"
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
		listeners += ",SECURE://" + loopback(n.security)
		protocols += ",SECURE:SASL_SSL"
		p["sasl.enabled.mechanisms"] = "SCRAM-SHA-512"
		p["listener.name.secure.scram-sha-512.sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		p["ssl.keystore.type"], p["ssl.keystore.certificate.chain"], p["ssl.keystore.key"] = "PEM", oneLine(s.Chain), oneLine(s.Key)
		p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		p["allow.everyone.if.no.acl.found"] = "false"
		p["super.users"] = "User:ANONYMOUS;User:" + s.Admin
	}
	p["advertised.listeners"] = listeners
	p["listeners"] = listeners + ",CONTROLLER://" + loopback(n.controller)
	p["listener.security.protocol.map"] = protocols
	var b strings.Builder
	for key, value := range p {
		fmt.Fprintf(&b, "%s=%s\n", key, value)
	}
	return b.String()
}

// oneLine makes a PEM text a value of a properties file.
func oneLine(pem string) string { return strings.ReplaceAll(strings.TrimSpace(pem), "\n", "\\n") }

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts finds ports that were free a moment ago: Kafka advertises its ports before it opens them, so it cannot take :0.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.Close()) }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

const logging = `Configuration:
  Appenders:
    Console: { name: out, PatternLayout: { pattern: "%d{HH:mm:ss.SSS} %p %c{1} %m%n" } }
  Loggers:
    Root: { level: warn, AppenderRef: [{ ref: out }] }
    Logger: [{ name: kafka.server.KafkaRaftServer, level: info }]
`
