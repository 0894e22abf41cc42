package round_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/covey-network/covey/consensus/internal/script"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
)

var rewrite = flag.Bool("rewrite", false, "write the output of the scripts in testdata into them")

func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts in testdata: %d, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var w *world
			got, bad, err := script.Run(string(text), func(c script.Cmd) string {
				if c.Name == "members" {
					w = members(t, c)
					return ""
				}
				if err := command(w, c); err != nil {
					t.Fatalf("%s:%d: %v", file, c.Line, err)
				}
				defer w.log.Reset()
				return w.log.String()
			})
			if err != nil {
				t.Fatal(err)
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, b := range bad {
				t.Errorf("%s:%d: %s printed\n%s\nwant\n%s", file, b.Cmd.Line, b.Cmd.Name, b.Got, b.Want)
			}
		})
	}
}

func members(t *testing.T, c script.Cmd) *world {
	n, err := strconv.Atoi(c.Words[0])
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(n, tuned(c))
	if c.Keys["end"] != "" {
		if w.rounds, err = strconv.ParseUint(c.Keys["end"], 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	w.fail, w.verbose, w.terse = t.Fatalf, true, c.Keys["show"] != "all"
	return w
}

func tuned(c script.Cmd) func(*round.Config) {
	return func(cfg *round.Config) {
		if q := c.Keys["quorum"]; q != "" {
			cfg.Quorum = train.Quorum(q)
		}
		cfg.Whole = c.Keys["whole"] == "yes"
	}
}

// command carries out one line of a script; the effects are in the world's log.
func command(w *world, c script.Cmd) error {
	n, err := c.Int("n", 1)
	if err != nil {
		return err
	}
	if c.Name == "split" { // 0,1 2,3,4; without groups the cut is over
		return split(w, c.Words)
	}
	who, err := c.Ints()
	if err != nil {
		return err
	}
	if len(who) == 0 {
		for i := range w.nodes {
			who = append(who, i)
		}
	}
	switch c.Name {
	case "rounds": // until that many more are over, or ticks=
		limit, err := c.Int("ticks", 1000)
		if err != nil {
			return err
		}
		for goal := w.newest() + uint64(n); limit > 0 && w.newest() < goal; limit-- {
			w.tick()
		}
		for range 6 {
			w.tick()
		}
		return nil
	case "delay": // of each message
		w.route = func(p packet) []packet {
			p.at += n
			return []packet{p}
		}
		return nil
	case "tick":
		for range n {
			w.tick()
		}
		return nil
	case "new": // a peer that is no member comes
		key, err := c.Int("key", len(w.nodes))
		if err != nil {
			return err
		}
		w.add(key, tuned(c)).joining = true
		who = []int{len(w.nodes) - 1}
		fallthrough
	case "join":
		for _, i := range who {
			w.nodes[i].joining = true
			w.nodes[i].m.Join(1, membership)
		}
		return nil
	case "halt": // these hear that a peer, the initiator if none is named, stops the job
		by, err := c.Int("by", 0)
		if err != nil {
			return err
		}
		stop := w.open(sign(by, &train.Stop{Job: job, Peer: peerOf(keys[by])}))
		for _, i := range who {
			if err := w.nodes[i].m.Step(stop); err != nil {
				return err
			}
			w.pump(w.nodes[i])
		}
		return nil
	}
	for _, i := range who {
		if err := each(w, w.nodes[i], c); err != nil {
			return err
		}
	}
	return nil
}

// each does to one node what a line says of several.
func each(w *world, nd *node, c script.Cmd) error {
	switch c.Name {
	case "stop": // now, or at the next before=, while= or after= some event
		var at *trap
		for _, when := range []string{"before", "while", "after"} {
			if e := c.Keys[when]; e != "" {
				at = &trap{event: e, when: when}
			}
		}
		if nd.trap = at; at == nil {
			w.kill(nd, "")
		}
	case "restart":
		w.boot(nd)
		w.pump(nd)
	case "leave":
		nd.m.Leave()
	case "never": // does something, such as reduce
		nd.mute[c.Keys["does"]] = true
	case "odd": // finds other states than the others
		nd.odd = true
	case "twin": // signs with the same key, and knows nothing of it
		w.add(nd.key, func(cfg *round.Config) { cfg.Quorum, cfg.Whole = nd.cfg.Quorum, nd.cfg.Whole })
	case "work":
		ticks, err := c.Int("ticks", 3)
		if err != nil {
			return err
		}
		nd.work = ticks
	case "forge": // a second message of this member, other than its next one of that kind
		return forge(w, nd, c.Keys["kind"])
	case "status":
		if nd.m == nil {
			w.printf("%d: stopped", nd.id)
			return nil
		}
		s := nd.m.Status()
		w.printf("%d: round %d, %s, %d of %d headers, heard %d of %d", nd.id, s.Round, s.Phase, s.Headers, s.Members, s.Heard, s.Quorum)
	default:
		return fmt.Errorf("no command %s", c.Name)
	}
	return nil
}

func split(w *world, words []string) error {
	var groups [][]int
	for _, word := range words {
		var g []int
		for f := range strings.SplitSeq(word, ",") {
			i, err := strconv.Atoi(f)
			if err != nil {
				return err
			}
			g = append(g, i)
		}
		groups = append(groups, g)
	}
	w.split(groups...)
	return nil
}

// forge waits until a member signs a message of a kind, signs another one that contradicts
// it, and gives it to all others.
func forge(w *world, nd *node, kind string) error {
	delete(w.last[nd.peer], kind)
	for range 200 {
		if _, ok := w.last[nd.peer][kind]; ok {
			break
		}
		w.tick()
	}
	last, ok := w.last[nd.peer][kind]
	if !ok {
		return fmt.Errorf("%d has signed no %s", nd.id, kind)
	}
	var body train.Body
	switch v := last.Body.(type) {
	case *train.Header:
		other := *v
		other.Steps++
		body = &other
	case *train.Reduced:
		other := *v
		other.Result = train.HashOf(v.Result[:])
		body = &other
	case *train.Proposal:
		other := *v
		other.Outcome.Loss++
		body = &other
	case *train.Vote:
		other := *v
		other.Outcome = train.HashOf(v.Outcome[:])
		body = &other
	}
	w.liars[nd.peer] = true
	w.send(nd, round.Send{Messages: []*train.Sealed{nd.cfg.Sign(body)}}, false)
	w.settle()
	return nil
}
