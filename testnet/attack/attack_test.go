package attack_test

import (
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/testnet/attack"
)

// TestDefaultsHold trains under the attacks that harm the default rules most: they lose no
// more than they may, and the plain mean is harmed. `make attacks` has all rules and attacks.
func TestDefaultsHold(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, rule, name string, liars int, sorted bool) float64 {
		t.Helper()
		v, err := attack.Run(attack.Config{Rule: rule, Attack: name, Liars: liars, Sorted: sorted, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		return 100 * v
	}
	for _, k := range []struct {
		name    string
		rule    string
		liars   int
		sorted  bool
		attacks []string
		limit   float64
		harm    string  // to the plain mean
		harmed  float64 // points that it loses at least
	}{
		{"20 percent", "nnm+trimmed:4", 4, false, []string{attack.SignFlip, attack.IPM, attack.ALIE}, 5, attack.SignFlip10, 50},
		{"40 percent", "nnm+trimmed:8", 8, false, []string{attack.SignFlip, attack.IPM}, 9, attack.SignFlip, 9},
		{"20 percent sorted", robust.DefaultNonIID, 4, true, []string{attack.SignFlip, attack.ALIE}, 18, attack.Scaled, 50},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			clean := run(t, attack.Plain, attack.None, k.liars, k.sorted)
			if clean < 80 {
				t.Fatalf("without liars the plain mean reaches %.1f %%", clean)
			}
			if v := run(t, attack.Plain, k.harm, k.liars, k.sorted); v > clean-k.harmed {
				t.Errorf("%s leaves the plain mean %.1f of %.1f %%: it does not bite", k.harm, v, clean)
			}
			for _, a := range k.attacks {
				if v := run(t, k.rule, a, k.liars, k.sorted); v < clean-k.limit {
					t.Errorf("%s leaves %s %.1f of %.1f %%, may lose %v", a, k.rule, v, clean, k.limit)
				}
			}
		})
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	for _, table := range attack.Tables() {
		if table.Rules[0] != attack.Plain || !slices.Contains(table.Rules, table.Default) {
			t.Errorf("%s: rules %v", table.Name, table.Rules)
		}
		for _, r := range table.Rules[1:] {
			rule, err := robust.Parse(r)
			if err == nil {
				err = rule.Check(20)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []attack.Config{
		{Rule: "mean", Attack: "bribe"},
		{Rule: "average", Attack: attack.None},
		{Rule: "mean", Attack: attack.None, Liars: 20},
		{Rule: "trimmed:12", Attack: attack.None},
	} {
		if _, err := attack.Run(c); err == nil {
			t.Errorf("%+v runs", c)
		}
	}
}
