package stack

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/holdfast-mesh/holdfast/test/sim/plant/dialect"
)

//go:embed plants
var plantFiles embed.FS

// Gateway is what the agent's configuration of one of the five plants says about the world around it. Addresses
// are host:port.
type Gateway struct {
	Site  dialect.Site
	MQTT  string // URL of the plant's broker
	Kafka string
	WAN   string // where the agent reaches Kafka
	Disk  string // queue.disk of the agent; empty = 1GiB
	// Line is the endpoint of the plant's press line, which has the name Line1; empty = it has none.
	Line string
}

// Table is a file for lookup() of the plant's mappings.
type Table struct{ Name, File string }

// Topics returns the topics of the plant.
func (g Gateway) Topics() dialect.Topics { return g.Site.Topics() }

// Machines returns the machines that report over MQTT.
func (g Gateway) Machines() []string { return append(dialect.Presses(), dialect.Lab) }

// Tables returns the plant's tables, by name. The template calls it, as it does Topics and Machines.
func (g Gateway) Tables() ([]Table, error) {
	names, err := fs.Glob(plantFiles, "plants/"+g.Site.Plant+"-*.csv")
	if err != nil {
		return nil, err
	}
	var all []Table
	for _, name := range names {
		file := path.Base(name)
		all = append(all, Table{strings.TrimSuffix(strings.TrimPrefix(file, g.Site.Plant+"-"), ".csv"), file})
	}
	return all, nil
}

// Write writes agent.yaml, the mappings and their tables into dir.
func (g Gateway) Write(dir string) error {
	g.Disk = cmp.Or(g.Disk, "1GiB")
	text, err := plantFiles.ReadFile("plants/agent.yaml.tmpl")
	if err != nil {
		return err
	}
	t, err := template.New("agent.yaml").Parse(string(text))
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, g); err != nil {
		return fmt.Errorf("configuration of plant %s: %w", g.Site.Plant, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "agent.yaml"), []byte(b.String()), 0o644); err != nil {
		return err
	}
	tables, err := g.Tables()
	if err != nil {
		return err
	}
	for _, t := range append(tables, Table{File: g.Site.Plant + ".yaml"}, Table{File: "line.yaml"}) {
		text, err := plantFiles.ReadFile("plants/" + t.File)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, t.File), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
