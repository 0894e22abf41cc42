package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Manifest describes a swarm and what happens to it.
type Manifest struct {
	Name  string  `toml:"name"`
	Nodes []Node  `toml:"node"`
	Steps []Step  `toml:"step"`
	Model []Model `toml:"model"`
}

// Node is a process. Nodes start in order; the first founds the swarm.
type Node struct {
	Name   string   `toml:"name"`
	Cores  int      `toml:"cores"`
	Memory string   `toml:"memory"`
	Disk   string   `toml:"disk"`
	Upload string   `toml:"upload"` // per second
	Args   []string `toml:"args"`   // further flags of covey up
	Env    []string `toml:"env"`
}

// Model is imported on a node; Hosts then serve ranges of it.
type Model struct {
	Name     string `toml:"name"`
	Path     string `toml:"path"` // files, or empty for the demo model
	Quantize string `toml:"quantize"`
	On       string `toml:"on"`
	Hosts    []Host `toml:"host"`
}

// Host is a range of a model that a node serves.
type Host struct {
	Node   string `toml:"node"`
	Blocks string `toml:"blocks"` // as covey host takes it
}

// Step is a perturbation: after a wait, do something to a node.
type Step struct {
	After Duration `toml:"after"`
	Do    string   `toml:"do"` // kill, stop, start, pause, resume
	Node  string   `toml:"node"`
}

// Duration is a time in TOML, such as "2s".
type Duration struct{ time.Duration }

// UnmarshalText reads the form of time.ParseDuration.
func (d *Duration) UnmarshalText(b []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(b))
	return err
}

// Read reads and checks a manifest file.
func Read(path string) (*Manifest, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	var m Manifest
	dec := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("read manifest %q: %w", path, err)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("check manifest %q: %w", path, err)
	}
	return &m, nil
}

// Validate reports all problems.
func (m *Manifest) Validate() error {
	var errs []error
	known := map[string]bool{}
	for _, n := range m.Nodes {
		if n.Name == "" || known[n.Name] {
			errs = append(errs, fmt.Errorf("node name %q is empty or stands twice", n.Name))
		}
		known[n.Name] = true
	}
	if len(m.Nodes) == 0 {
		errs = append(errs, errors.New("no nodes"))
	}
	check := func(what, node string) {
		if !known[node] {
			errs = append(errs, fmt.Errorf("%s names node %q, which is not there", what, node))
		}
	}
	for _, mod := range m.Model {
		check("model "+mod.Name, mod.On)
		for _, h := range mod.Hosts {
			check("host of model "+mod.Name, h.Node)
		}
	}
	for i, s := range m.Steps {
		check(fmt.Sprintf("step %d", i), s.Node)
		switch s.Do {
		case "kill", "stop", "start", "pause", "resume":
		default:
			errs = append(errs, fmt.Errorf("step %d does %q: want kill, stop, start, pause or resume", i, s.Do))
		}
	}
	return errors.Join(errs...)
}
