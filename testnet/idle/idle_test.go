package idle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/testnet/idle"
)

func TestOver(t *testing.T) {
	t.Parallel()
	good := idle.Row{Nodes: 8, Known: time.Second, BytesPerSec: 900, CPU: 0.004, ConnsMedian: 7, ConnsMax: 9, ResidentBytes: 50e6, Killed: 2, Forgotten: time.Second}
	for _, c := range []struct {
		name string
		set  func(*idle.Row)
		want []string // that the lines begin with
	}{
		{"all within", func(*idle.Row) {}, nil},
		{"traffic", func(r *idle.Row) { r.BytesPerSec = 1001 }, []string{"8 nodes: each sends 1.00 KB/s"}},
		{"traffic of many nodes", func(r *idle.Row) { r.Nodes, r.BytesPerSec = 100, 2900 }, nil},
		{"known late, forgotten late", func(r *idle.Row) { r.Known, r.Forgotten = 6*time.Second, 6*time.Second }, []string{"8 nodes: all know all after", "8 nodes: forgotten after"}},
		{"work, connections, memory", func(r *idle.Row) { r.CPU, r.ConnsMax, r.ResidentBytes = 0.006, 41, 81e6 }, []string{"8 nodes: each uses", "8 nodes: connections", "8 nodes: resident"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good
			c.set(&r)
			if got := r.Over(); !slices.EqualFunc(got, c.want, strings.HasPrefix) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
