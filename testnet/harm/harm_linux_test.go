package harm_test

// The checks here need what only Linux has: links between nodes, the memory of another
// process in /proc, a second address on loopback.

import (
	"strings"
	"testing"

	"github.com/covey-network/covey/testnet/harm"
)

// TestLiars lets each liar of each scene join a swarm and asks.
func TestLiars(t *testing.T) {
	t.Parallel()
	for _, sc := range harm.Scenes() {
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			st, err := sc.Open(t.Context(), lab(t))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := st.Close(); err != nil {
					t.Error(err)
				}
			}()
			for _, mode := range sc.Modes(true) {
				t.Run(mode, func(t *testing.T) { lie(t, st, mode) })
			}
		})
	}
}

func lie(t *testing.T, st *harm.Stage, mode string) {
	o, err := st.Lie(t.Context(), mode)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range o.Figures(mode) {
		if f.Unit == "s" {
			f.Most *= slack
		}
		if !f.OK() {
			t.Errorf("%v\n%v", f, &o)
		}
	}
}

func TestSybils(t *testing.T) { check(t, harm.Sybils) }

func TestFloods(t *testing.T) { check(t, harm.Floods) }

func TestBodies(t *testing.T) { check(t, harm.Bodies) }

func TestClients(t *testing.T) { check(t, harm.Clients) }

// TestNoAttack points attacks at a peer that is not there: each says so, and gives no
// figures of nothing.
func TestNoAttack(t *testing.T) {
	t.Parallel()
	said, err := harm.AttackNobody(t.Context(), lab(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range said {
		if err == nil || !strings.Contains(err.Error(), "did not take place") {
			t.Errorf("%s of nobody: %v", name, err)
		}
	}
}
