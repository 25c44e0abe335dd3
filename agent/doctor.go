package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/agent/localapi"
	"github.com/holdfast-mesh/holdfast/agent/source/opcua"
	"github.com/holdfast-mesh/holdfast/pkg/kafka"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// State of a [Finding].
const (
	StateOK   = "ok"
	StateWarn = "warn" // works, and a person should know
	StateFail = "FAIL" // does not work, or loses data
	StateSkip = "skip" // could not be looked at
)

// Finding is one thing that the doctor looked at.
type Finding struct {
	Check   string       `json:"check"`   // one of [Checks]
	Subject string       `json:"subject"` // what of it; "" = the host itself
	State   string       `json:"state"`
	Text    string       `json:"text"`
	Fix     string       `json:"fix,omitempty"`  // what a person does; "" = nothing
	Code    problem.Code `json:"code,omitempty"` // to explain; "" = nothing to explain
}

// Checks are what the doctor can look at, in the order in which it does.
func Checks() []string { return []string{"clock", "disk", "certificate", "kafka", "opcua", "mqtt"} }

// examiner looks at what the agent needs. What it writes it removes, but for the certificate of an unknown OPC UA server.
type examiner struct {
	cfg    *Config
	now    func() time.Time
	report func(Finding)
	check  string
}

const (
	// examineLimit bounds one look over the network.
	examineLimit = 15 * time.Second
	// slowClock is what a clock may be off before facts of several plants can no longer be put side by side by eye.
	slowClock = time.Second
)

// Examine looks at what the agent needs, and reports each finding as it comes. Only names the checks; nil = all. It works
// beside a running agent, and without one.
func Examine(ctx context.Context, cfg *Config, only []string, report func(Finding)) {
	e := &examiner{cfg: cfg, now: time.Now, report: report}
	for _, check := range Checks() {
		if ctx.Err() != nil || only != nil && !slices.Contains(only, check) {
			continue
		}
		e.check = check
		switch check {
		case "clock":
			e.clock(askHost())
		case "disk":
			e.disk()
		case "certificate":
			e.certificates()
		case "kafka":
			e.kafka(ctx)
		case "opcua":
			e.opcua(ctx)
		case "mqtt":
			e.mqtt(ctx)
		}
	}
}

func (e *examiner) find(state, subject, fix string, code problem.Code, format string, args ...any) {
	e.report(Finding{e.check, subject, state, fmt.Sprintf(format, args...), fix, code})
}

func (e *examiner) ok(subject, format string, args ...any) {
	e.find(StateOK, subject, "", "", format, args...)
}

// problem reports an error with the next step that its code has.
func (e *examiner) problem(state, subject string, err error) {
	code := problem.CodeOf(err)
	fix := problem.Explain(code).Next
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		fix = p.Next
	}
	e.find(state, subject, fix, code, "%s", strings.TrimSuffix(err.Error(), " ("+string(code)+")"))
}

func (e *examiner) clock(h hostTime) {
	const fix = "timedatectl set-ntp true, or name the plant's time server to the time service of this host"
	switch {
	case !hostTells:
		e.find(StateSkip, "", "", "", "this system does not tell whether a time service keeps its clock")
	case !h.synchronised:
		e.find(StateWarn, "", fix, problem.ClockAlone, "no time service keeps the clock")
	case h.offset != nil && h.offset.Abs() > slowClock:
		e.find(StateWarn, "", fix, problem.ClockOff, "off by %s, as its time service says", h.offset.Round(time.Millisecond))
	case h.offset != nil:
		e.ok("", "kept by a time service, off by %s", h.offset.Round(time.Microsecond))
	default:
		e.ok("", "kept by a time service")
	}
}

func (e *examiner) certificates() {
	now := e.now()
	all, err := e.cfg.Certificates(now)
	if err != nil {
		e.problem(StateFail, "", err)
		return
	}
	soon := ending(all, now)
	for i := range all {
		if c := &all[i]; c.Problem != "" {
			e.find(StateFail, c.File, "replace or remove the file", problem.ConfigFile, "%s certificate %s", c.Use, c.Problem)
		}
	}
	for _, c := range inUse(all) {
		subject := strings.Join(c.For, ", ")
		ends := slices.ContainsFunc(soon, func(x localapi.Certificate) bool { return x.File == c.File })
		switch {
		case !ends:
			e.ok(subject, "%s certificate %s ends on %s, in %d days", c.Use, c.Thumbprint, c.NotAfter.Format(time.DateOnly), c.Days)
		case c.Days < 7:
			e.find(StateFail, subject, nextCertificate(&c), problem.CertificateEnds, "%s certificate %s ends on %s", c.Use, c.Thumbprint, c.NotAfter.Format(time.DateOnly))
		default:
			e.find(StateWarn, subject, nextCertificate(&c), problem.CertificateEnds, "%s certificate %s ends in %d days", c.Use, c.Thumbprint, c.Days)
		}
	}
	if len(all) == 0 {
		e.ok("", "none is used yet")
	}
}

// nextCertificate says what a person does about a certificate that ends.
func nextCertificate(c *localapi.Certificate) string {
	switch {
	case c.Use == string(opcua.UseTrusted):
		return "have its server show a new one; that will wait in holdfast-agent cert pending"
	case c.Renewable:
		return "holdfast-agent cert renew"
	}
	return "replace " + c.File
}

func (e *examiner) kafka(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, examineLimit)
	defer cancel()
	k, plant := &e.cfg.Kafka, e.cfg.Plant
	all, err := k.Examine(ctx, k.PlantSpecs(plant), zerolog.Nop())
	switch {
	case problem.CodeOf(err) == problem.KafkaUnreachable: // it is what the queue is for: the plant goes on
		e.problem(StateWarn, strings.Join(k.Brokers, ", "), fmt.Errorf("events are kept in the queue for now: %w", err))
		return
	case err != nil:
		e.problem(StateFail, strings.Join(k.Brokers, ", "), err)
		return
	}
	e.ok(strings.Join(k.Brokers, ", "), "reached")
	for i := range all {
		want := kafka.Read
		if name := all[i].Name; name == k.Quality(plant) || name == k.Telemetry(plant) {
			want = kafka.Write
		}
		e.topic(&all[i], want)
	}
}

// topic judges a topic that this agent reads or writes, and never both.
func (e *examiner) topic(s *kafka.Standing, want kafka.Right) {
	const stamp = "message.timestamp.type"
	wanted := s.Config[stamp]
	other := map[kafka.Right]kafka.Right{kafka.Read: kafka.Write, kafka.Write: kafka.Read}[want]
	switch {
	case s.Err != nil:
		e.problem(StateFail, s.Name, s.Err)
	case s.Rights != nil && !slices.Contains(s.Rights, want):
		e.find(StateFail, s.Name, fmt.Sprintf("give the agent's user %s and Describe on this topic, by its literal name", want), problem.KafkaRefused, "this user may not do %s", want)
	case wanted != "" && s.Timestamp != "" && s.Timestamp != wanted:
		e.find(StateFail, s.Name, fmt.Sprintf("kafka-configs --alter --topic %s --add-config %s=%s", s.Name, stamp, wanted), problem.KafkaTopic,
			"%s is %s: a bad clock of this host could make records expire at once", stamp, s.Timestamp)
	case slices.Contains(s.Rights, other) && want == kafka.Read:
		e.find(StateWarn, s.Name, "take Write on this topic away from the agent's user: only the cloud writes it", problem.RightsWide, "this user may also write it, so that who takes the agent over can say that a lot is free")
	default:
		words := []string{fmt.Sprintf("%d partitions", s.Partitions)}
		if s.Rights == nil {
			words = append(words, "rights not told by the broker")
		} else {
			words = append(words, fmt.Sprintf("%s allowed", want))
		}
		switch {
		case wanted != "" && s.Timestamp == "":
			words = append(words, stamp+" not shown to this user: an administrator checks that it is "+wanted)
		case wanted != "":
			words = append(words, stamp+" "+wanted)
		}
		e.ok(s.Name, "%s", strings.Join(words, ", "))
	}
}

func (e *examiner) opcua(ctx context.Context) {
	for i := range e.cfg.Sources {
		s := &e.cfg.Sources[i]
		if s.OPCUA == nil {
			continue
		}
		x, err := opcua.Examine(ctx, *s.OPCUA, e.cfg.PKI(), e.now())
		switch {
		case err != nil:
			e.problem(StateFail, s.ID, err)
		case x.Warning != "":
			e.find(StateWarn, s.ID, "", "", "%s offers %s for %s, server %s; %s", s.OPCUA.Endpoint, x.Security, x.Login, x.Application, x.Warning)
		case x.Thumbprint != "":
			e.ok(s.ID, "%s offers %s for %s, server %s with the trusted certificate %s", s.OPCUA.Endpoint, x.Security, x.Login, x.Application, x.Thumbprint)
		default:
			e.ok(s.ID, "%s offers %s for %s, server %s", s.OPCUA.Endpoint, x.Security, x.Login, x.Application)
		}
	}
}
