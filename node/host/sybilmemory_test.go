//go:build !race

package host

import (
	"runtime"
	"testing"
	"time"
)

// TestSybilsThatAreRefusedCostLittle measures what a peer allocates for adverts of sybils
// once their token has no room: less than they are long. It runs alone, as the measure
// is of the whole process; and not under the race detector, which has pools forget.
func TestSybilsThatAreRefusedCostLittle(t *testing.T) {
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	token, err := a.creds.Invite(Invitation{Addrs: a.Addrs()}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	attacker := invited(t, a, t.TempDir(), Invitation{})
	var refused [][]byte
	sybils(t, token, 150, func(_ ID, data []byte) {
		if r.receive(attacker.ID, data) == verdictIgnore {
			refused = append(refused, data)
		}
	})
	if len(refused) < 50 {
		t.Fatalf("%d adverts are refused", len(refused))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent := 0
	for _, data := range refused {
		sent += len(data)
		if v := r.receive(attacker.ID, data); v != verdictIgnore {
			t.Fatalf("verdict %s", v)
		}
	}
	runtime.ReadMemStats(&after)
	if took := int(after.TotalAlloc - before.TotalAlloc); took > sent {
		t.Errorf("%d bytes of refused adverts took %d bytes of memory", sent, took)
	}
}
