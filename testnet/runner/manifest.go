package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/covey-network/covey/node"
)

// Manifest describes a swarm and what happens to it.
type Manifest struct {
	Name  string  `toml:"name"`
	Nodes []Node  `toml:"node"`
	Links []Link  `toml:"link"`
	Model []Model `toml:"model"`
	Ask   *Ask    `toml:"ask"`
	Steps []Step  `toml:"step"`
}

// Node is a process. Nodes start in order; the first founds the swarm.
type Node struct {
	Name   string   `toml:"name"`
	Cores  int      `toml:"cores"`
	Memory string   `toml:"memory"`
	Disk   string   `toml:"disk"`
	Upload string   `toml:"upload"` // per second
	Listen string   `toml:"listen"` // multiaddr; empty: TCP on loopback
	Args   []string `toml:"args"`   // further flags of covey up
	Env    []string `toml:"env"`
}

// Link is what lies between a node and all others, or one other, both ways; without one it
// is loopback. Between two nodes that both have a link to all others, both lie. Links need
// Linux.
type Link struct {
	Node  string    `toml:"node"`
	To    string    `toml:"to"`    // the other one, and then the only link between the two; empty: all
	Delay Duration  `toml:"delay"` // each way
	Rate  node.Size `toml:"rate"`  // bytes per second each way; 0: no limit
}

// same reports whether two links lie between the same nodes.
func (l Link) same(o Link) bool {
	return l.Node == o.Node && l.To == o.To || l.To != "" && l.Node == o.To && l.To == o.Node
}

// Ask is a question that is asked through a node over and over while the steps are taken.
// Every answer must be the same.
type Ask struct {
	Through  string   `toml:"through"`
	Model    string   `toml:"model"`
	Prompt   string   `toml:"prompt"`
	Tokens   int      `toml:"tokens"`
	Every    Duration `toml:"every"`    // pause between an answer and the next question
	Failures int      `toml:"failures"` // how many may fail
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
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return nil, fmt.Errorf("read manifest %q: unknown keys:\n%s", path, strict.String())
		}
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
	for i, l := range m.Links {
		check(fmt.Sprintf("link %d", i), l.Node)
		if l.To != "" {
			check(fmt.Sprintf("link %d", i), l.To)
		}
		if l.Node == l.To {
			errs = append(errs, fmt.Errorf("link %d leads from node %q to itself", i, l.Node))
		}
		if l.Delay.Duration < 0 || l.Rate < 0 {
			errs = append(errs, fmt.Errorf("link %d has a delay or rate below zero", i))
		}
		if slices.ContainsFunc(m.Links[:i], l.same) {
			errs = append(errs, fmt.Errorf("link %d is the second one of node %q to %q", i, l.Node, l.To))
		}
	}
	if a := m.Ask; a != nil {
		check("ask", a.Through)
		if a.Model == "" || a.Prompt == "" || a.Tokens < 1 {
			errs = append(errs, errors.New("ask needs a model, a prompt and tokens"))
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
