package opcua

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestConfig_Check(t *testing.T) {
	good := func() Config {
		return Config{Endpoint: "opc.tcp://press1:4840/plant", Items: []Item{{Node: "nsu=urn:x;s=Torque"}}}
	}
	c := good()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	if c.Security != DefaultSecurity || c.Publish != DefaultPublish || c.Heartbeat != serverTime || c.Items[0].Pattern != PatternSample || c.Items[0].Every != DefaultSample {
		t.Errorf("filled %+v", c)
	}
	for name, x := range map[string]struct {
		change func(*Config)
		want   string
		code   problem.Code
	}{
		"ErrNoEndpoint":        {func(c *Config) { c.Endpoint = "" }, "endpoint has no address", problem.ConfigMissing},
		"ErrScheme":            {func(c *Config) { c.Endpoint = "http://press1" }, "opc.tcp://press1:4840/plant", problem.ConfigValue},
		"ErrPasswordInURL":     {func(c *Config) { c.Endpoint = "opc.tcp://a:b@press1" }, "user and password_file", problem.ConfigSecret},
		"ErrNothing":           {func(c *Config) { c.Items = nil }, "items names no node", problem.ConfigMissing},
		"ErrNamespaceIndex":    {func(c *Config) { c.Items[0].Node = "ns=3;s=Torque" }, "did you mean nsu=<uri>;s=Torque", problem.ConfigValue},
		"ErrTwice":             {func(c *Config) { c.Items = append(c.Items, c.Items[0]) }, "stands twice", problem.ConfigDuplicate},
		"ErrPolicy":            {func(c *Config) { c.Security = "Basic256/SignAndEncrypt" }, "which is broken", problem.ConfigValue},
		"ErrUnknownPolicy":     {func(c *Config) { c.Security = "Rot13/Sign" }, "want Basic256Sha256", problem.ConfigValue},
		"ErrMode":              {func(c *Config) { c.Security = "Basic256Sha256/None" }, "want Sign or SignAndEncrypt", problem.ConfigValue},
		"ErrNoMode":            {func(c *Config) { c.Security = "Basic256Sha256" }, "want policy and mode", problem.ConfigValue},
		"ErrNone":              {func(c *Config) { c.Security = "None" }, "name owner, reason and until under exception", problem.ConfigValue},
		"ErrExceptionNameless": {func(c *Config) { c.Security, c.Exception = "None", &Exception{Until: "2027-01-01"} }, "names no owner", problem.ConfigMissing},
		"ErrExceptionEndless":  {func(c *Config) { c.Security, c.Exception = "None", &Exception{Owner: "a", Reason: "b"} }, "want a day", problem.ConfigValue},
		"ErrUserAlone":         {func(c *Config) { c.User = "agent" }, "needs password_file", problem.ConfigMissing},
		"ErrPasswordAlone":     {func(c *Config) { c.PasswordFile = "x" }, "needs user", problem.ConfigMissing},
		"ErrCertificateAlone":  {func(c *Config) { c.Certificate = "x" }, "go together", problem.ConfigMissing},
		"ErrPublish":           {func(c *Config) { c.Publish = time.Minute }, "want 100ms to 500ms", problem.ConfigValue},
		"ErrHistory":           {func(c *Config) { c.History = &History{Max: 1e6 * time.Hour} }, "history max", problem.ConfigValue},
		"ErrHeartbeat":         {func(c *Config) { c.Heartbeat = "ns=2;s=x" }, "heartbeat names its namespace by an index", problem.ConfigValue},
		"ErrPattern":           {func(c *Config) { c.Items[0].Pattern = "handshake" }, "want record, counter or sample", problem.ConfigValue},
		"ErrSeqOfSample":       {func(c *Config) { c.Items[0].Seq = "Seq" }, "belongs to pattern record", problem.ConfigValue},
		"ErrModulusAlone":      {func(c *Config) { c.Items[0].Modulus = 7 }, "no sequence", problem.ConfigValue},
		"ErrCounterAlone":      {func(c *Config) { c.Items[0].Pattern = PatternCounter }, "without members", problem.ConfigValue},
		"ErrMembers":           {func(c *Config) { c.Items[0].Members = []string{"nsu=urn:x;s=a"} }, "belong to pattern counter", problem.ConfigValue},
		"ErrSilence":           {func(c *Config) { c.Items[0].MaxSilence = 1 }, "max_silence", problem.ConfigValue},
		"ErrField":             {func(c *Config) { c.Events = []Events{{Fields: []string{"nsu=urn:x;/a"}}} }, "empty name", problem.ConfigValue},
		"ErrEventSeq":          {func(c *Config) { c.Events = []Events{{Seq: "nsu=urn:x;a"}} }, "none of the fields", problem.ConfigValue},
		"ErrEventType":         {func(c *Config) { c.Events = []Events{{Types: []string{"ns=3;i=1"}}} }, "by an index", problem.ConfigValue},
		"ErrNotifierTwice":     {func(c *Config) { c.Events = []Events{{}, {Notifier: "i=2253"}} }, "stands twice", problem.ConfigDuplicate},
	} {
		t.Run(name, func(t *testing.T) {
			c := good()
			x.change(&c)
			err := c.Check()
			if err == nil || !strings.Contains(err.Error(), x.want) || problem.CodeOf(err) != x.code {
				t.Errorf("got %v, want %s with %q", err, x.code, x.want)
			}
		})
	}
}

func TestConfig_Excepted(t *testing.T) {
	c := Config{Exception: &Exception{Owner: "line lead", Reason: "firmware of 2015", Until: "2026-11-24"}}
	day := time.Date(2026, 11, 24, 23, 59, 0, 0, time.UTC)
	if ok, err := c.excepted(day); !ok || err != nil {
		t.Errorf("on its last day: %t, %v", ok, err)
	}
	if ok, err := c.excepted(day.Add(time.Minute)); ok || problem.CodeOf(err) != problem.LinkInsecure || !strings.Contains(err.Error(), "line lead") {
		t.Errorf("after its last day: %t, %v", ok, err)
	}
}

func TestConfig_Sampled(t *testing.T) {
	c := Config{Items: []Item{{Node: "nsu=urn:x;s=a"}, {Node: "nsu=urn:x;s=b", SampledOK: true}, {Node: "nsu=urn:x;s=c", Pattern: PatternRecord}}}
	for topic, want := range map[string]bool{"nsu=urn:x;s=a": true, "nsu=urn:x;s=b": false, "nsu=urn:x;s=c": false, "#": true, "{node}": true} {
		if _, got := c.Sampled(topic); got != want {
			t.Errorf("%s: %t, want %t", topic, got, want)
		}
	}
}
