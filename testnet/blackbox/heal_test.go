package blackbox_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/runner"
)

// damage changes files of a stopped node's block store: those whose names end so, or all.
// It flips a byte in every stride bytes, but at least four in every file.
func damage(t *testing.T, p *runner.Process, suffix string, stride int64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	changed := 0
	err := filepath.WalkDir(filepath.Join(p.Dir(), "store", "blocks"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			return err
		}
		for range max(4, int64(len(data))/stride) {
			data[rng.IntN(len(data))] ^= byte(1 + rng.IntN(255))
			changed++
		}
		return os.WriteFile(path, data, 0o600)
	})
	if err != nil || changed == 0 {
		t.Fatalf("%d bytes of %q changed, %v", changed, suffix, err)
	}
}

// cut shortens the files of a stopped node's block store to a third.
func cut(t *testing.T, p *runner.Process, suffix string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.Dir(), "store", "blocks", "*"+suffix))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %q, %v", suffix, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err == nil {
			err = os.Truncate(f, info.Size()/3)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// status asks a node until done likes what it says.
func status(t *testing.T, s *runner.Swarm, node, what string, done func(api.Status) error) api.Status {
	t.Helper()
	var st api.Status
	waitFor(t, s, node+" "+what, func(ctx context.Context) (bool, error) {
		st = api.Status{}
		err := s.Node(node).API().Get(ctx, "/covey/v1/status", nil, &st)
		if err == nil {
			err = done(st)
		}
		return err == nil, err
	})
	return st
}

func serving(st api.Status) error {
	if len(st.Hosted) != 1 || st.Hosted[0].State != "serving" {
		return fmt.Errorf("hosts %+v", st.Hosted)
	}
	return nil
}

// TestDamagedStoreHeals changes what a peer has on its disk while it is stopped. It must
// serve its range again with the bytes that were imported, and say what it found.
func TestDamagedStoreHeals(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{
		Nodes: nodes("asker", "owner", "victim"),
		// Not the model in the program: for that one a node that finds no peer takes its own.
		Model: []runner.Model{{Name: "demo", Quantize: "q8_0", On: "owner", Hosts: []runner.Host{{Node: "owner", Blocks: "2-3"}}}},
	})
	host(t, s, "victim", "0-1")
	chain(t, s, "asker", "victim", "owner")
	const length = 40
	ask := func(ctx context.Context) ([]string, error) {
		return complete(ctx, s.Node("asker").API(), "demo", length, func(int) {})
	}
	want, err := ask(t.Context())
	if err != nil || len(want) != length {
		t.Fatalf("%d tokens, %v", len(want), err)
	}
	victim := s.Node("victim")
	again := func(t *testing.T, change func(*testing.T)) {
		t.Helper()
		if err := victim.Stop(); err != nil {
			t.Fatal(err)
		}
		change(t)
		if err := victim.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	same := func(t *testing.T) {
		t.Helper()
		chain(t, s, "asker", "victim", "owner")
		if got, err := ask(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("healed, it says %q, %v; want %q", got, err, want)
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*testing.T)
	}{
		{"values", func(t *testing.T) { damage(t, victim, ".vlog", 32<<10) }},
		{"values cut off", func(t *testing.T) { cut(t, victim, ".vlog") }},
		{"tables", func(t *testing.T) { damage(t, victim, ".sst", 1<<10) }},
		{"all files", func(t *testing.T) { damage(t, victim, "", 16<<10) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			again(t, tc.change)
			st := status(t, s, "victim", "to serve again", serving)
			if st.Damage.Found == 0 && st.Damage.Moved == "" {
				t.Error("its status shows no damage")
			}
			same(t)
		})
	}
	t.Run("nobody has the blocks", func(t *testing.T) {
		if err := s.Node("owner").Stop(); err != nil {
			t.Fatal(err)
		}
		again(t, func(t *testing.T) { damage(t, victim, ".vlog", 16<<10) })
		st := status(t, s, "victim", "to miss its blocks", func(st api.Status) error {
			if len(st.Hosted) != 1 || st.Hosted[0].State != "failed" || st.Peers == 0 {
				return fmt.Errorf("hosts %+v", st.Hosted)
			}
			return nil
		})
		if text := st.Hosted[0].Error; !strings.Contains(text, "missing") || strings.Contains(text, "\n") {
			t.Errorf("it fails for %q", text)
		}
		start := time.Now()
		_, err := ask(t.Context())
		var refused *api.StatusError
		if !errors.As(err, &refused) || refused.Status != 503 || time.Since(start) > 10*time.Second {
			t.Errorf("the asker is told %v after %s", err, time.Since(start))
		}
		if err := s.Node("owner").Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		status(t, s, "victim", "to serve again", serving)
		same(t)
	})
}

// TestAnswersAloneAtOnce kills the peer that serves half of a model of which all is on the
// asking node, while it answers or just before it is first asked. The node itself goes on with the same
// tokens, and gives the next answer.
func TestAnswersAloneAtOnce(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		after int // tokens of the answer
	}{{"while it answers", 2}, {"before its first answer", 0}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := swarm(t, &runner.Manifest{
				Nodes: nodes("other", "owner"),
				Model: []runner.Model{{Name: "demo", Quantize: "q8_0", On: "owner", Hosts: []runner.Host{{Node: "owner", Blocks: "2-3"}}}},
			})
			host(t, s, "other", "0-1")
			const length = 60
			ask := func(node string, each func(int)) ([]string, error) {
				return complete(t.Context(), s.Node(node).API(), "demo", length, each)
			}
			chain(t, s, "other", "other", "owner")
			chain(t, s, "owner", "other", "owner")
			want, err := ask("other", func(int) {})
			if err != nil || len(want) != length {
				t.Fatalf("%d tokens, %v", len(want), err)
			}
			kill := func(n int) {
				if n == tc.after {
					if err := s.Node("other").Kill(); err != nil {
						t.Error(err)
					}
				}
			}
			kill(0)
			if got, err := ask("owner", kill); err != nil || !slices.Equal(got, want) {
				t.Errorf("with the whole model here it says %q, %v; want %q", got, err, want)
			}
			if got, err := ask("owner", func(int) {}); err != nil || !slices.Equal(got, want) {
				t.Errorf("after that it says %q, %v; want %q", got, err, want)
			}
		})
	}
}
