package trainer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/train"
)

// wrongClock is a peer whose clock is wrong by some time, of a swarm that is older than that.
func wrongClock(t *testing.T, owner *host.Credentials, to []*testPeer, by time.Duration) *testPeer {
	t.Helper()
	now := func() time.Time { return time.Now().Add(by) }
	dir, creds := t.TempDir(), owner
	if len(to) > 0 {
		token, err := owner.Invite(host.Invitation{Addrs: to[0].host.Addrs()}, time.Now().Add(-2*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if creds, err = host.OpenCredentials(dir, token, now()); err != nil {
			t.Fatal(err)
		}
	}
	p := startPeerAs(t, dir, creds, now)
	for _, o := range to {
		if err := p.host.Connect(t.Context(), o.host.Addrs()[0]); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// TestWrongClocks trains with a member whose clock is right, one whose clock is an hour fast and one whose
// clock is an hour slow; each of the latter begins once. All hear of the job, train it to its end, and count.
func TestWrongClocks(t *testing.T) {
	t.Parallel()
	for name, clocks := range map[string][]time.Duration{
		"the first is fast": {time.Hour, 0, -time.Hour},
		"the first is slow": {-time.Hour, 0, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			owner, err := host.OpenCredentials(t.TempDir(), nil, time.Now().Add(-3*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			var peers []*testPeer
			for _, by := range clocks {
				peers = append(peers, wrongClock(t, owner, peers, by))
			}
			var runs []*Run
			for i, p := range peers {
				req := Request{Path: foxJob(t, p.dir), Swarm: true, MinPeers: len(peers)}
				if i > 0 {
					req = Request{Join: "fox", Local: job.Local{Data: filepath.Join(p.dir, "a.txt")}, Folder: filepath.Join(p.dir, "run"), Threads: 1}
				}
				r, err := p.trainer.Submit(t.Context(), req)
				if err != nil {
					t.Fatalf("peer %d: %v", i, err)
				}
				runs = append(runs, r)
			}
			var state train.Hash
			for i, r := range runs {
				end := ended(t, r)
				if end.Error != "" || end.Result.End != job.EndDone {
					t.Fatalf("peer %d: %+v", i, end)
				}
				o := &r.session.Load().now().last.Outcome
				if i == 0 {
					state = o.State
				}
				if o.State != state || o.Senders.Len() != len(peers) || len(o.Members) != len(peers) {
					t.Errorf("peer %d ends with %s after round %d, which counted %d updates of %d members", i, o.State.Short(), o.Round, o.Senders.Len(), len(o.Members))
				}
			}
		})
	}
}

// ended waits for the end of a run.
func ended(t *testing.T, r *Run) *End {
	t.Helper()
	for seq := 0; ; {
		events, err := r.Events(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if seq = e.Seq; e.End != nil {
				return e.End
			}
		}
	}
}

// foxJob writes a job of three short rounds, and its text.
func foxJob(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "the quick brown fox jumps over the lazy dog %d\n", i*i)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "fox.toml")
	if err := os.WriteFile(path, []byte(`version = 1
[model]
kind = "llama"
llama = {dim = 16, blocks = 1, heads = 2, ffn = 32, tied = true}
[data.text]
files = ["*.txt"]
split = 0.1
length = 16
[train]
batch = 4
threads = 1
optimizer = {kind = "adam", lr = 0.003}
[swarm]
rounds = 3
inner_steps = 4
`), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
