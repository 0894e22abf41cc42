package agree_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/covey-network/covey/consensus/agree"
	"github.com/covey-network/covey/consensus/internal/script"
)

var (
	rewrite = flag.Bool("rewrite", false, "write the output of the scripts in testdata into them")
	seed    = flag.Uint64("seed", 0, "run one random schedule alone, with its log")
)

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
	quorum := agree.Majority(n)
	if c.Keys["quorum"] == "two-thirds" {
		quorum = agree.TwoThirds(n)
	}
	w := newWorld(n, quorum, nil)
	w.fail = t.Fatalf
	return w
}

// command carries out one line of a script; the effects are in the world's log.
func command(w *world, c script.Cmd) error {
	who, err := c.Ints()
	if err != nil && c.Name != "split" && c.Name != "cut" {
		return err
	}
	if len(who) == 0 {
		for i := range w.n {
			who = append(who, i)
		}
	}
	switch c.Name {
	case "start": // who has got everything for the first proposal
		w.start(who...)
		w.settle()
	case "crash": // now, or at=before|persist|half: at the next message
		for _, i := range who {
			stop := map[string]crash{"": crashNever, "before": crashBefore, "persist": crashPersist, "half": crashHalf}[c.Keys["at"]]
			if w.nodes[i].stop = stop; stop == crashNever {
				w.kill(i)
			}
		}
	case "restart":
		for _, i := range who {
			w.boot(i)
			w.settle()
		}
	case "tick":
		n, err := c.Int("n", 1)
		if err != nil {
			return err
		}
		for range n {
			w.tick()
		}
	case "split": // 0,1 2,3,4
		var groups [][]int
		for _, word := range c.Words {
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
	case "cut": // 1>2: nothing of 1 reaches 2
		for _, word := range c.Words {
			var from, to int
			if _, err := fmt.Sscanf(word, "%d>%d", &from, &to); err != nil {
				return err
			}
			w.cut[[2]int{from, to}] = true
		}
	case "slow": // its driver answers no question
		for _, i := range who {
			w.nodes[i].slow = true
		}
	case "refuse": // value=X is not valid for these
		for _, i := range who {
			w.nodes[i].invalid[c.Keys["value"]] = true
		}
	case "say": // one member forges a message for some
		return say(w, c, who)
	case "status":
		for _, i := range who {
			if w.nodes[i].m == nil {
				w.printf("%d: stopped", i)
				continue
			}
			s := w.nodes[i].m.Status()
			w.printf("%d: view %d, %v, %d of %d heard, decided %v", i, s.View, s.Step, s.Heard, s.Quorum, s.Decided)
		}
	default:
		return fmt.Errorf("no command %s", c.Name)
	}
	return nil
}

// say gives a message straight to the members it is for, signed by from=.
func say(w *world, c script.Cmd, to []int) error {
	from, err := c.Int("from", 0)
	if err != nil {
		return err
	}
	view, err := c.Int("view", 0)
	if err != nil {
		return err
	}
	kind := map[string]agree.Kind{"proposal": agree.Proposal, "prevote": agree.Prevote, "precommit": agree.Precommit}[c.Keys["kind"]]
	msg := agree.Msg{Kind: kind, From: from, View: view, ValidView: -1, ID: idOf(c.Keys["value"])}
	if kind == agree.Proposal {
		msg.Value = []byte(c.Keys["value"])
	}
	w.liars[from] = true // and is not checked as an honest one from now on
	for _, i := range to {
		if err := w.nodes[i].m.Step(msg); err != nil {
			w.printf("%d refused: %v", i, err)
		}
		w.pump(i)
	}
	w.settle()
	return nil
}
