package lab_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/testnet/lab"
)

// TestCells writes cells that failed in each way: what was not measured is no success.
func TestCells(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	for _, tt := range []struct {
		name string
		cell lab.Cell
		want string
	}{
		{"works", lab.Cell{}, "| public | endpoint | 1.0 s | 1.0 s | direct | 1.0 s | 1.0 s | 1.0 s | 1.0 s |"},
		{"relayed", lab.Cell{Relayed: true}, "| public | endpoint | 1.0 s | 1.0 s | relayed | 1.0 s | 1.0 s | 1.0 s | 1.0 s |"},
		{"upgraded", lab.Cell{First: "relayed", Direct: 2500 * time.Millisecond}, "| public | endpoint | 1.0 s | 1.0 s | relayed, direct after 2.5 s | 1.0 s | 1.0 s | 1.0 s | 1.0 s |"},
		{"stays relayed where it need not", lab.Cell{First: "relayed", Relayed: true, NoDirect: no}, "| public | endpoint | 1.0 s | 1.0 s | relayed | 1.0 s | 1.0 s | 1.0 s | 1.0 s |"},
		{"does not join", lab.Cell{NoJoin: no}, "| public | endpoint | no | no | none | no | no | no | no |"},
		{"has no path", lab.Cell{NoPath: no}, "| public | endpoint | 1.0 s | no | none | 1.0 s | 1.0 s | 1.0 s | 1.0 s |"},
		{"serves nothing", lab.Cell{NoServe: no}, "| public | endpoint | 1.0 s | 1.0 s | direct | no | no | no | no |"},
		{"does not answer", lab.Cell{NoChat: no}, "| public | endpoint | 1.0 s | 1.0 s | direct | no | 1.0 s | 1.0 s | 1.0 s |"},
		{"is not pulled", lab.Cell{NoPull: no}, "| public | endpoint | 1.0 s | 1.0 s | direct | 1.0 s | 1.0 s | 1.0 s | no |"},
		{"does not answer in halves", lab.Cell{NoSplit: no}, "| public | endpoint | 1.0 s | 1.0 s | direct | 1.0 s | no | no | 1.0 s |"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := tt.cell
			c.A, c.B, c.Joined, c.Path, c.Chat, c.Pull = lab.Public, lab.Endpoint, time.Second, time.Second, time.Second, time.Second
			c.Split = [2]time.Duration{time.Second, time.Second}
			if got := c.String(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if failed, told := c.Err() != nil, strings.Contains(c.Why(), "from public to endpoint: no"); failed != told || failed != (strings.Contains(tt.want, "no") || c.NoDirect != nil) {
				t.Errorf("fails %t, told %t", failed, told)
			}
		})
	}
}
