package lab

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden texts anew")

// TestPlan compares the commands that build a lab of all kinds with what they were when a
// person last read them.
func TestPlan(t *testing.T) {
	t.Parallel()
	var s Spec
	for _, k := range Kinds() {
		s.Hosts = append(s.Hosts, Host{Name: "h" + string(k[:min(len(k), 6)]), Kind: k})
	}
	s.Hosts = append(s.Hosts, Host{Name: "far", Kind: Public}, Host{Name: "farhome", Kind: Endpoint})
	s.Far = map[string]Wire{"far": {}, "farhome": {}}
	s.Hosts = append(s.Hosts, Host{Name: "alone", Kind: Offline}, Host{Name: "beside", Kind: Offline, Home: "alone"},
		Host{Name: "left", Kind: Endpoint, Net: 1}, Host{Name: "right", Kind: Endpoint, Net: 1}, Host{Name: "guest", Kind: Endpoint, Home: "right"})
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, st := range s.steps("L-") {
		b.WriteString(st.String() + "\n")
	}
	const golden = "testdata/plan.txt"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the plan differs from %s; go test ./testnet/lab -rewrite writes it anew. Now:\n%s", golden, b.String())
	}
}

func TestSpecRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		hosts      []Host
	}{
		{"nobody", "1 to 100 hosts", nil},
		{"a name twice", `host 1: name "a"`, []Host{{Name: "a", Kind: Public}, {Name: "a", Kind: Public}}},
		{"the core's name", `host 0: name "core"`, []Host{{Name: coreName, Kind: Public}}},
		{"a name for a shell", `host 0: name "a;b"`, []Host{{Name: "a;b", Kind: Public}}},
		{"a long name", `host 0: name "abcdefghi"`, []Host{{Name: "abcdefghi", Kind: Public}}},
		{"a home of nobody", `host a: home "b"`, []Host{{Name: "a", Kind: Endpoint, Home: "b"}}},
		{"a home of another kind", `host b: home "a"`, []Host{{Name: "a", Kind: Endpoint}, {Name: "b", Kind: Symmetric, Home: "a"}}},
		{"a home without a router", `host b: home "a"`, []Host{{Name: "a", Kind: Public}, {Name: "b", Kind: Public, Home: "a"}}},
		{"no private network", "host a: private network 256", []Host{{Name: "a", Kind: Endpoint, Net: 256}}},
		{"an unknown kind", `host a: kind "moon"`, []Host{{Name: "a", Kind: "moon"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := (&Spec{Hosts: c.hosts}).Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
