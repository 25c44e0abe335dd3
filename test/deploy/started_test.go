//go:build unix

package deploy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/peers/host"
	"github.com/holdfast-mesh/holdfast/test/peers/kafka"
	"github.com/holdfast-mesh/holdfast/test/peers/postgres"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

const guide = "docs/getting-started.md"

// Words behind the language of a block, which tell how it is run.
const (
	asBuilt    = "build"    // never: the programs are built already
	asRoot     = "root"     // never: it changes the machine; unit_test.go judges what it installs
	offline    = "offline"  // always
	live       = "live"     // with real servers; followed by eventually, until it succeeds
	inTerminal = "terminal" // with real servers, until the test's end
)

func TestGettingStarted_Words(t *testing.T) {
	for _, b := range blocks(read(t, guide)) {
		if b.language != "sh" || len(b.words) == 0 || !slices.Contains([]string{asBuilt, asRoot, offline, live, inTerminal}, b.words[0]) {
			t.Errorf("%s:%d: nobody knows how to run a block of %s %q", guide, b.line, b.language, b.words)
		}
	}
}

// TestGettingStarted_Offline runs what needs no server: certificates, secrets and configurations, which must pass their check.
func TestGettingStarted_Offline(t *testing.T) {
	r := newReader(t)
	for _, b := range r.blocks {
		if b.words[0] == offline {
			r.run(b)
		}
	}
	for _, want := range []string{"cloud/cloud.yaml is valid", "ok   agent/agent.yaml   sources 2   mappings 3   samples run 9"} {
		if !strings.Contains(r.said.String(), want) {
			t.Errorf("nobody said %q:\n%s", want, &r.said)
		}
	}
}

// TestGettingStarted_Live does what a reader does, from the certificates to the first hold, on real servers.
func TestGettingStarted_Live(t *testing.T) {
	p := peers(t)
	r := newReader(t)
	p.tools(t, r.tools)
	for _, b := range r.blocks {
		if pki := filepath.Join(r.home, "holdfast", "pki"); !p.started && exists(filepath.Join(pki, "kafka.pem")) {
			r.set(p.start(t, pki))
		}
		switch b.words[0] {
		case offline, live:
			r.run(b)
		case inTerminal:
			r.terminal(b)
		}
	}
	if !strings.Contains(r.said.String(), "Held since ") && !strings.Contains(r.said.String(), "held") {
		t.Errorf("no lot was held:\n%s", &r.said)
	}
}

// reader is somebody who goes through the guide, in one terminal and some more. It is not root, even where we are.
type reader struct {
	t      *testing.T
	as     *syscall.Credential
	blocks []block
	home   string
	tools  string // folder of programs that come before those of the system
	mqtt   string // where its broker will listen
	said   bytes.Buffer
}

func newReader(t *testing.T) *reader {
	t.Helper()
	for _, needed := range []string{"bash", "openssl"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("TOOL SKIPPED name=%s reason=it is not installed here, so the guide was not run", needed)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	as, err := host.Account()
	if err != nil {
		t.Fatal(err)
	}
	ports, err := host.Ports(3)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, as: as, blocks: blocks(read(t, guide)), home: shortDir(t, as), tools: shortDir(t, as), mqtt: host.Loopback(ports[0])}
	r.set(map[string]string{
		"HOME": r.home, "HOLDFAST": root, "PATH": strings.Join([]string{r.tools, bin, os.Getenv("PATH"), "/usr/sbin"}, ":"),
		"MQTT_PORT": fmt.Sprint(ports[0]), "CLOUD_LISTEN": host.Loopback(ports[1]), "AGENT_LISTEN": host.Loopback(ports[2]),
	})
	return r
}

// shortDir returns a user's directory whose sockets have short paths.
func shortDir(t *testing.T, as *syscall.Credential) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf") //nolint:usetesting // a socket's path is short, the test's own directory is too deep for it
	if err == nil {
		err = host.Give(dir, as)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// set exports variables in the reader's terminals.
func (r *reader) set(variables map[string]string) {
	r.t.Helper()
	f, err := os.OpenFile(filepath.Join(r.home, ".exported"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = host.Give(f.Name(), r.as)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	for name, value := range variables {
		if _, err := fmt.Fprintf(f, "export %s='%s'\n", name, value); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// script is a block as the terminal sees it: with what the blocks before have exported and defined, where they went.
func (r *reader) script(text, after string) string {
	return fmt.Sprintf("set -euo pipefail\ncd %[1]s\nsource .exported\n[ -f .defined ] && source .defined\n[ -f .place ] && cd \"$(cat .place)\"\n%[2]s\n%[3]s\n", r.home, text, after)
}

// run runs a block to its end. One that succeeds only after a moment is tried again.
func (r *reader) run(b block) {
	r.t.Helper()
	const keep = `export -p > ~/.exported; declare -f > ~/.defined; pwd > ~/.place`
	deadline := time.Now().Add(40 * time.Second)
	for {
		cmd := exec.CommandContext(r.t.Context(), "bash", "-c", r.script(b.text, keep))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.as}
		out, err := cmd.CombinedOutput()
		if err == nil {
			r.said.Write(out)
			return
		}
		if !slices.Contains(b.words, "eventually") || time.Now().After(deadline) {
			r.t.Fatalf("%s:%d: %v\n%s\n%s", guide, b.line, err, b.text, out)
		}
	}
}

// terminal starts the one program of a block, which runs until the test's end, and waits until it can be used.
func (r *reader) terminal(b block) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	name, script := b.words[1], r.script("exec "+b.text, "")
	if name == "mosquitto" {
		r.broker(ctx, b, script)
		return
	}
	p, err := stack.Command{Name: name, Dir: r.home, Program: "bash", Args: []string{"-c", script}, Attr: &syscall.SysProcAttr{Credential: r.as}}.Launch()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Logf("log of %s:\n%s", name, p.Tail())
		}
		p.Kill()
	})
	if err := p.Await(ctx); err != nil {
		r.t.Fatal(err)
	}
}

// broker starts Mosquitto, which says nothing on its own: its port answers instead.
func (r *reader) broker(ctx context.Context, b block, script string) {
	r.t.Helper()
	log, err := os.Create(filepath.Join(r.home, "mosquitto.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the broker has it open by itself
	cmd := exec.Command("bash", "-c", script)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := host.Start(cmd, r.as, "KILL")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { p.End(syscall.SIGTERM) })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.mqtt)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-p.Done():
			err = fmt.Errorf("it ended: %w", p.Err())
		case <-ctx.Done():
		case <-tick.C:
			continue
		}
		text, _ := os.ReadFile(log.Name()) // what there is of it
		r.t.Fatalf("%s:%d: the broker does not listen: %v\n%s", guide, b.line, err, text)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// servers are programs of others that the guide needs.
type servers struct {
	jars, postgres, mosquitto string
	started                   bool
}

// peers returns where the servers' programs are, or skips aloud.
func peers(t *testing.T) *servers {
	t.Helper()
	p := &servers{}
	for name, at := range map[string]*string{
		"HOLDFAST_PEER_KAFKA_JARS": &p.jars, "HOLDFAST_PEER_POSTGRES": &p.postgres, "HOLDFAST_PEER_MOSQUITTO": &p.mosquitto,
	} {
		if *at = os.Getenv(name); *at == "" {
			t.Skipf("PEER SKIPPED name=getting-started reason=%s is not set; make peers sets it", name)
		}
	}
	return p
}

// tools puts the command line tools that the guide uses into a folder of the reader's path.
func (p *servers) tools(t *testing.T, dir string) {
	t.Helper()
	if found, err := filepath.Glob(filepath.Join(p.jars, "kafka-tools-[0-9]*.jar")); err != nil || len(found) == 0 {
		t.Fatalf("%s has no kafka-tools: Kafka's command line tools are a jar of their own (org.apache.kafka:kafka-tools)", p.jars)
	}
	script := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for tool, class := range map[string]string{
		"topics": "org.apache.kafka.tools.TopicCommand", "acls": "org.apache.kafka.tools.AclCommand", "configs": "kafka.admin.ConfigCommand",
	} {
		script("kafka-"+tool+".sh", fmt.Sprintf(`exec java -Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '%s/*' %s "$@"`, p.jars, class))
	}
	program, err := exec.LookPath(p.mosquitto)
	if err != nil {
		t.Fatal(err)
	}
	script("mosquitto", "exec "+program+` "$@"`)
}

// start starts Kafka with the certificate that the reader has made for it, and PostgreSQL, and returns where they are.
func (p *servers) start(t *testing.T, pki string) map[string]string {
	t.Helper()
	p.started = true
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	pem := func(name string) string {
		text, err := os.ReadFile(filepath.Join(pki, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const admin, password = "admin", "admin-secret"
	cluster, err := kafka.Start(ctx, kafka.Config{
		Jars: p.jars, Nodes: 1,
		Secure: &kafka.Security{Chain: pem("kafka.pem") + pem("ca.pem"), Key: pem("kafka.key"), Admin: admin, AdminPassword: password},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	db, err := postgres.Start(ctx, p.postgres)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	at, err := url.Parse(db.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"KAFKA": cluster.SecureAddrs()[0], "KAFKA_ADMIN": admin, "KAFKA_ADMIN_PASSWORD": password,
		"DB_HOST": at.Hostname(), "DB_PORT": at.Port(), "DB_ADMIN": at.User.Username(),
	}
}
