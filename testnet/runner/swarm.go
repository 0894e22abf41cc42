package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/node/api"
)

// startTimeout is how long a process may take to be ready.
const startTimeout = 30 * time.Second

// poll is how often conditions of other processes are looked at; they tell no other way.
const poll = 50 * time.Millisecond

// Config is where a swarm lives.
type Config struct {
	Binary string // the covey program
	Dir    string // data directories and logs go below it
	// Say is told what happens, by several goroutines; nil: nobody is.
	Say func(format string, args ...any)
}

func (c *Config) say(format string, args ...any) {
	if c.Say != nil {
		c.Say(format, args...)
	}
}

// Swarm is a set of processes. It is for one goroutine at a time.
type Swarm struct {
	cfg      Config
	manifest *Manifest
	procs    map[string]*Process
	order    []string
	token    string
	doors    []*door

	mu sync.Mutex // guards writes of procs, which dialler reads
}

// dialler returns the node that has dialled a connection; "" if it was none of them.
func (s *Swarm) dialler(c *net.TCPConn) (string, error) {
	s.mu.Lock()
	names := map[int]string{}
	for n, p := range s.procs {
		if pid := p.PID(); pid != 0 { // not started yet: owner returns 0 for processes of others
			names[pid] = n
		}
	}
	s.mu.Unlock()
	pid, err := owner(c, slices.Collect(maps.Keys(names)))
	return names[pid], err
}

// Start starts the nodes of a manifest one after the other, each joined to the first, and
// waits until each is ready and knows all before it.
func Start(ctx context.Context, cfg Config, m *Manifest) (_ *Swarm, err error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if len(m.Links) > 0 {
		if err := checkLinks(); err != nil {
			return nil, fmt.Errorf("start swarm: %w", err)
		}
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	s := &Swarm{cfg: cfg, manifest: m, procs: map[string]*Process{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	for i := range m.Nodes {
		if err := s.add(ctx, &m.Nodes[i]); err != nil {
			return nil, err
		}
	}
	for _, mod := range m.Model {
		if err := s.load(ctx, mod); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Join starts one more node, joined to the first, and waits until it knows all others.
func (s *Swarm) Join(ctx context.Context, n Node) error {
	if s.procs[n.Name] != nil {
		return fmt.Errorf("join node %s: there is one of that name", n.Name)
	}
	return s.add(ctx, &n)
}

// JoinAll starts more nodes, joined to the first, so many at once as parallel says, and waits
// until each is ready. It does not wait until they know each other.
func (s *Swarm) JoinAll(ctx context.Context, nodes []Node, parallel int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range nodes {
		if s.procs[nodes[i].Name] != nil {
			return errors.Join(fmt.Errorf("join node %s: there is one of that name", nodes[i].Name), g.Wait())
		}
		p, err := s.place(ctx, &nodes[i])
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		g.Go(func() error { return p.Start(ctx) })
	}
	return g.Wait()
}

func (s *Swarm) add(ctx context.Context, n *Node) error {
	p, err := s.place(ctx, n)
	if err != nil {
		return err
	}
	if err := p.Start(ctx); err != nil {
		return err
	}
	if s.token == "" {
		var in api.Invite
		if err := p.API().Post(ctx, "/covey/v1/invite", api.InviteRequest{}, &in); err != nil {
			return fmt.Errorf("invite by node %s: %w", n.Name, err)
		}
		s.token = in.Token
	}
	s.cfg.say("%s is up", n.Name)
	return s.Wait(ctx, fmt.Sprintf("node %s to find %d peers", n.Name, len(s.order)-1), func(ctx context.Context) (bool, error) {
		var st api.Status
		err := p.API().Get(ctx, "/covey/v1/status", nil, &st)
		return st.Peers >= len(s.order)-1, err
	})
}

// place gives a node its place in the swarm, not started yet.
func (s *Swarm) place(ctx context.Context, n *Node) (*Process, error) {
	p := &Process{cfg: s.cfg, spec: n, dir: filepath.Join(s.cfg.Dir, n.Name), token: s.token}
	if len(s.manifest.Links) > 0 {
		d := &door{node: n.Name, dir: p.dir, link: s.manifest.between, who: s.dialler}
		if err := d.open(ctx); err != nil {
			return nil, err
		}
		p.announce, s.doors = d.addr(), append(s.doors, d)
	}
	s.mu.Lock()
	s.procs[n.Name] = p
	s.mu.Unlock()
	s.order = append(s.order, n.Name)
	return p, nil
}

func (s *Swarm) load(ctx context.Context, m Model) error {
	req := api.ImportRequest{Path: m.Path, Name: m.Name, Quantize: m.Quantize}
	if _, err := s.Node(m.On).API().Watch(ctx, "/covey/v1/models/import", req, func(api.Event) {}); err != nil {
		return fmt.Errorf("import %s on node %s: %w", m.Name, m.On, err)
	}
	s.cfg.say("%s imports %s", m.On, m.Name)
	for _, h := range m.Hosts {
		if err := s.Hear(ctx, h.Node, m.Name); err != nil {
			return err
		}
		e, err := s.Node(h.Node).API().Watch(ctx, "/covey/v1/host", api.HostRequest{Model: m.Name, Blocks: h.Blocks}, func(api.Event) {})
		if err != nil {
			return fmt.Errorf("host %s on node %s: %w", m.Name, h.Node, err)
		}
		s.cfg.say("%s serves %s %s after it fetched %d bytes", h.Node, m.Name, h.Blocks, e.Bytes)
	}
	return nil
}

// Hear waits until a node holds a model of a name or a peer has told it of one.
func (s *Swarm) Hear(ctx context.Context, node, model string) error {
	return s.Wait(ctx, fmt.Sprintf("node %s to hear of %s", node, model), func(ctx context.Context) (bool, error) {
		var known []api.Model
		err := s.Node(node).API().Get(ctx, "/covey/v1/models", nil, &known)
		return slices.ContainsFunc(known, func(m api.Model) bool { return m.Name == model && !m.Builtin }), err
	})
}

// Node returns a process by name.
func (s *Swarm) Node(name string) *Process { return s.procs[name] }

// Running returns how many of the processes live.
func (s *Swarm) Running() (n int) {
	for _, p := range s.procs {
		if p.Running() {
			n++
		}
	}
	return n
}

// Wait asks again and again until done says so, ctx ends or startTimeout is over. what is
// what it waits for.
func (s *Swarm) Wait(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	t := time.NewTicker(poll)
	defer t.Stop()
	for {
		ok, err := done(ctx)
		if ok && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last error: %v)", what, ctx.Err(), err)
		case <-t.C:
		}
	}
}

// Perturb runs the steps of the manifest.
func (s *Swarm) Perturb(ctx context.Context) error {
	for i, st := range s.manifest.Steps {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(st.After.Duration):
		}
		p := s.procs[st.Node]
		s.cfg.say("%s %s", st.Do, st.Node)
		var err error
		switch st.Do {
		case "kill":
			err = p.Kill()
		case "stop":
			err = p.Stop()
		case "start":
			err = p.Start(ctx)
		case "pause":
			err = p.Pause()
		case "resume":
			err = p.Resume()
		}
		if err != nil {
			return fmt.Errorf("step %d: %s node %s: %w", i, st.Do, st.Node, err)
		}
	}
	return nil
}

// Stop ends all processes in reverse order, and reports those that did not end in order.
func (s *Swarm) Stop() error {
	var errs []error
	for i := len(s.order) - 1; i >= 0; i-- {
		if err := s.procs[s.order[i]].Stop(); err != nil {
			errs = append(errs, fmt.Errorf("stop node %s: %w", s.order[i], err))
		}
	}
	for _, d := range s.doors {
		errs = append(errs, d.close())
	}
	s.doors = nil
	return errors.Join(errs...)
}
