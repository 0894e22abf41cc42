package harm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/testnet/hostile"
	"github.com/covey-network/covey/testnet/runner"
	"github.com/covey-network/covey/testnet/tiny"
)

// answersPerMode is how often each liar's swarm is asked, shortAnswers the same in tests.
const (
	answersPerMode = 4
	shortAnswers   = 3
)

// tokensPerAnswer is the length of each answer.
const tokensPerAnswer = 16

// hangLimit is how long a token may take past a peer that hangs.
const hangLimit = 3 * time.Second

// foundLimit is how long it may take to find out who is at fault.
const foundLimit = 5 * time.Second

// returnsBelieved is how often a peer that breaks answers and comes back is asked again:
// from then on its adverts show nothing, for as long as returnsWatch at least, in which it sends
// some.
const (
	returnsBelieved = 3
	returnsWatch    = 3 * time.Second
)

// farther is what lies between honest nodes: the liar, which is on loopback, looks nearest.
const farther = 2 * time.Millisecond

// Scene is a small swarm and the place in it that a liar takes.
type Scene struct {
	Name   string
	hosts  map[string]string // node: blocks of the model
	victim string            // node that is blamed
	blocks string            // the liar claims
	after  int               // right tokens before the lie
	image  bool              // a model of images, else the demo model
	modes  func(m *hostile.Mode) bool
}

// in returns a choice of modes by name.
func in(names ...string) func(*hostile.Mode) bool {
	return func(m *hostile.Mode) bool { return slices.Contains(names, m.Name) }
}

// Scenes lists them: a liar for the whole model, the same in the middle of an answer, for the first half of a chain, for the
// second half, for the last of three parts, and for a model that gives vectors.
func Scenes() []Scene {
	speaks := func(m *hostile.Mode) bool { return !m.Hidden && !m.Vectors && m.Name != wrongBlocks }
	return []Scene{
		{Name: "whole", hosts: map[string]string{"one": "all"}, victim: "one", blocks: "all", modes: speaks},
		{Name: "middle", hosts: map[string]string{"one": "all"}, victim: "one", blocks: "all", after: tokensPerAnswer / 2, modes: in("blame-step", "hang-step", "break", "garbage-answer", "huge-token")},
		{
			Name: "first", hosts: map[string]string{"one": "0-1", "two": "2-3"}, victim: "two", blocks: "0-1",
			modes: func(m *hostile.Mode) bool { return m.Hidden || m.Blames },
		},
		{
			Name: "last", hosts: map[string]string{"one": "0-1", "two": "2-3"}, victim: "one", blocks: "2-3",
			modes: in("blame-open", "blame-step", "objection", "hang-open", "hang-step", "half-answer", "huge-token", "no-token"),
		},
		{
			Name: "third", hosts: map[string]string{"one": "0-0", "two": "1-1", "three": "2-3"}, victim: "two", blocks: "2-3",
			modes: in("blame-step", "hang-open", "half-answer"),
		},
		{Name: "vector", hosts: map[string]string{"one": "all"}, victim: "one", blocks: "all", image: true, modes: func(m *hostile.Mode) bool { return m.Vectors }},
	}
}

// wrongBlocks is the mode that is no liar's: Floods runs it.
const wrongBlocks = "wrong-blocks"

// alike are modes that are found out as another one of the scene is: tests leave them out.
var alike = []string{"ten-tokens", "wrong-sequence", "wrong-length", "inf-vector", "inf-hidden"}

// Modes returns the names of the modes that make sense in the scene, those for tests if short.
func (sc *Scene) Modes(short bool) (out []string) {
	for _, m := range hostile.Modes() {
		if sc.modes(&m) && !(short && slices.Contains(alike, m.Name)) {
			out = append(out, m.Name)
		}
	}
	return out
}

// Outcome is what a liar has done to those who asked.
type Outcome struct {
	Asked, Harm   int // sessions that the liar was asked for, and lies that it told
	Answers       int
	Wrong, Failed int
	Retries       int           // the most that one answer took
	Slowest       time.Duration // longest wait for a token
	LiarAvoided   bool
	HonestAvoided []string // names of nodes
	LastErr       error
}

// String says it in a line.
func (o *Outcome) String() string {
	return fmt.Sprintf("asked %d, harm %d; %d answers, %d wrong, %d failed, at most %d retries, longest wait %.2f s, liar avoided %t, honest avoided %v, last error %v",
		o.Asked, o.Harm, o.Answers, o.Wrong, o.Failed, o.Retries, o.Slowest.Seconds(), o.LiarAvoided, o.HonestAvoided, o.LastErr)
}

// Stage is a scene's swarm.
type Stage struct {
	Scene
	l     *Lab
	m     *runner.Manifest
	s     *runner.Swarm
	spent bool // a liar has had its way: the next one gets a fresh swarm
	q     asker
	ids   map[string]host.ID
	names []string
}

// asking is the node that asks. It serves nothing.
const asking = "asker"

// Open starts the swarm of a scene.
func (sc Scene) Open(ctx context.Context, l *Lab) (_ *Stage, err error) {
	st := &Stage{Scene: sc, l: l, q: asker{model: "demo", tokens: tokensPerAnswer, vector: sc.image}, ids: map[string]host.ID{}}
	for _, n := range []string{"one", "two", "three"} {
		if sc.hosts[n] != "" {
			st.names = append(st.names, n)
		}
	}
	st.names = append(st.names, asking)
	mod := runner.Model{Name: "demo", On: "one"}
	if sc.image {
		dir, err := l.dir("tiny")
		if err != nil {
			return nil, err
		}
		mod.Path, mod.Name, st.q.model = filepath.Join(dir, "tiny"), "tiny", "tiny"
		if err := tiny.WriteResNet(mod.Path); err != nil {
			return nil, err
		}
	}
	for _, n := range st.names {
		if b := sc.hosts[n]; b != "" {
			mod.Hosts = append(mod.Hosts, runner.Host{Node: n, Blocks: b})
		}
	}
	st.m = &runner.Manifest{Nodes: nodes(st.names...), Model: []runner.Model{mod}}
	for i, n := range st.names {
		for _, to := range st.names[i+1:] {
			st.m.Links = append(st.m.Links, runner.Link{Node: n, To: to, Delay: runner.Duration{Duration: farther}})
		}
	}
	return st, st.start(ctx)
}

func (st *Stage) start(ctx context.Context) (err error) {
	if st.s, err = st.l.start(ctx, st.m); err != nil {
		return err
	}
	for _, n := range st.names {
		var status api.Status
		if err := st.s.Node(n).API().Get(ctx, "/covey/v1/status", nil, &status); err != nil {
			return errors.Join(err, st.s.Stop())
		}
		st.ids[n] = status.Peer
	}
	return nil
}

// Close stops the swarm.
func (st *Stage) Close() error { return st.s.Stop() }

// Lie lets a liar of a mode join, asks a few times, and lets it leave.
func (st *Stage) Lie(ctx context.Context, mode string) (o Outcome, err error) {
	if st.spent {
		if err := errors.Join(st.s.Stop(), st.start(ctx)); err != nil {
			return o, err
		}
	}
	defer func() { st.spent = err != nil || o.Failed > 0 || len(o.HonestAvoided) > 0 }()
	want, err := st.q.settled(ctx, st.s, asking)
	if err != nil {
		return o, fmt.Errorf("before the liar comes: %w", err)
	}
	liar, err := st.l.attack(ctx, st.s, "one", &hostile.Claim{Model: st.q.model, Blocks: st.blocks, Mode: mode, Victim: st.ids[st.victim], After: st.after})
	if err != nil {
		return o, err
	}
	defer func() {
		o.Asked, o.Harm = liar.Asked(), liar.Harm()
		err = errors.Join(err, liar.stop())
	}()
	late := time.Now().Add(startTimeout)
	answers := st.l.size(answersPerMode, shortAnswers)
	returns := hostile.Find(mode).Returns
	for since := 0; since < answers; { // answers since the first lie, that one with it
		if liar.Harm() == 0 || returns && liar.Harm() < returnsBelieved {
			if time.Now().After(late) {
				return o, errors.New("the liar is never asked")
			}
			if err := st.q.planned(ctx, st.s, asking, "a chain over the liar", func(r *route) bool { return r.over(liar.ID()) }); err != nil {
				return o, err
			}
		}
		before, err := st.retries(ctx)
		if err != nil {
			return o, err
		}
		a := st.q.ask(ctx, st.s.Node(asking).API(), nil)
		r, routeErr := st.q.route(ctx, st.s.Node(asking))
		after, err := st.retries(ctx)
		if err := errors.Join(err, routeErr); err != nil {
			return o, err
		}
		if o.Answers++; liar.Harm() > 0 {
			since++
		}
		o.Retries = max(o.Retries, after-before)
		o.Slowest = max(o.Slowest, a.first, a.gap)
		switch {
		case a.err != nil:
			o.Failed, o.LastErr = o.Failed+1, a.err
		case a.text != want:
			o.Wrong++
		}
		st.see(&o, r, liar.ID())
	}
	if returns {
		o.LiarAvoided, err = st.stays(ctx, liar.ID())
		return o, err
	}
	for late = time.Now().Add(foundLimit); !o.LiarAvoided && time.Now().Before(late); { // it is found out in the background
		r, err := st.q.route(ctx, st.s.Node(asking))
		if err == nil {
			err = hostile.Pause(ctx, look)
		}
		if err != nil {
			return o, err
		}
		st.see(&o, r, liar.ID())
	}
	return o, nil
}

// stays reports whether a peer is avoided although it advertises.
func (st *Stage) stays(ctx context.Context, peer host.ID) (bool, error) {
	for late := time.Now().Add(returnsWatch); time.Now().Before(late); {
		r, err := st.q.route(ctx, st.s.Node(asking))
		if err == nil {
			err = hostile.Pause(ctx, look)
		}
		if err != nil || !r.avoided()[peer] {
			return false, err
		}
	}
	return true, nil
}

// look is how often it is looked who is avoided.
const look = 50 * time.Millisecond

// see notes who is avoided.
func (st *Stage) see(o *Outcome, r *route, liar host.ID) {
	out := r.avoided()
	o.LiarAvoided = o.LiarAvoided || out[liar]
	for _, n := range st.names {
		if out[st.ids[n]] && !slices.Contains(o.HonestAvoided, n) {
			o.HonestAvoided = append(o.HonestAvoided, n)
		}
	}
}

// retries returns how often answers of the asking node have gone on over another chain.
func (st *Stage) retries(ctx context.Context) (int, error) {
	n, ok, err := metric(ctx, st.s.Node(asking), "covey_gateway_reroutes_total")
	if err == nil && !ok {
		err = errors.New("the node does not count its retries")
	}
	return int(n), err
}

// Liars runs all modes in all scenes.
func Liars(ctx context.Context, l *Lab) (out []Figure, err error) {
	for _, sc := range Scenes() {
		figures, err := sc.run(ctx, l)
		if err != nil {
			return out, fmt.Errorf("scene %s: %w", sc.Name, err)
		}
		out = append(out, figures...)
	}
	return out, nil
}

func (sc Scene) run(ctx context.Context, l *Lab) (out []Figure, err error) {
	st, err := sc.Open(ctx, l)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, mode := range sc.Modes(l.Short) {
		o, err := st.Lie(ctx, mode)
		l.say("%s, %s: %s", sc.Name, mode, &o)
		if err != nil {
			return out, fmt.Errorf("mode %s: %w", mode, err)
		}
		out = append(out, o.Figures("liar "+sc.Name+" "+mode)...)
	}
	return out, nil
}

// Figures are what every liar may do at most.
func (o *Outcome) Figures(name string) []Figure {
	free := 1.0
	if o.LiarAvoided {
		free = 0
	}
	out := []Figure{
		{name + ": answers wrong or failed", float64(o.Wrong + o.Failed), 0, "answers"},
		{name + ": retries of one answer", float64(o.Retries), 1, "retries"},
		{name + ": honest peers avoided", float64(len(o.HonestAvoided)), 0, "peers"},
		{name + ": liars not avoided", free, 0, "peers"},
	}
	if strings.Contains(name, "hang") || strings.Contains(name, "half") || strings.Contains(name, "stalled") {
		out = append(out, Figure{name + ": longest wait for a token", o.Slowest.Seconds(), hangLimit.Seconds(), "s"})
	}
	return out
}
