package attack

import (
	"strconv"
	"strings"

	"github.com/covey-network/covey/consensus/robust"
)

// Table is a set of rules to be tried by all attacks.
type Table struct {
	Name    string
	Liars   int
	Sorted  bool
	Rules   []string // Plain is the first
	Default string   // the rule that has to keep the limit
	Limit   float64  // points that it may lose, of what Plain has without liars
}

// Tables returns those of docs/testing.md: 20 and 40 % of liars, and 20 % where each sender has
// data of its own kind.
func Tables() []Table {
	rules := func(f int) []string {
		all := []string{Plain, "mean"}
		for _, r := range []string{
			"median", "trimmed:F", "krum:F", "multikrum:F", "geomedian", "norm", "clip", "sign", "nnm+trimmed:F", "nnm:F+median", "nnm:F+geomedian", "nnm:F+clip",
		} {
			r = strings.ReplaceAll(r, "F", strconv.Itoa(f))
			all = append(all, r)
		}
		return all
	}
	return []Table{
		{Name: "20 % of liars, data spread by chance", Liars: 4, Rules: rules(4), Default: "nnm+trimmed:4", Limit: 5},
		{Name: "40 % of liars, data spread by chance", Liars: 8, Rules: rules(8), Default: "nnm+trimmed:8", Limit: 9},
		{Name: "20 % of liars, data sorted by label", Liars: 4, Sorted: true, Rules: rules(4), Default: robust.DefaultNonIID, Limit: 18},
	}
}
