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
	s.Hosts = append(s.Hosts, Host{"far", Public}, Host{"farhome", Endpoint})
	s.Far = map[string]Wire{"far": {}, "farhome": {}}
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
		{"a name twice", `host 1: name "a"`, []Host{{"a", Public}, {"a", Public}}},
		{"the core's name", `host 0: name "core"`, []Host{{coreName, Public}}},
		{"a name for a shell", `host 0: name "a;b"`, []Host{{"a;b", Public}}},
		{"a long name", `host 0: name "abcdefghi"`, []Host{{"abcdefghi", Public}}},
		{"an unknown kind", `host a: kind "moon"`, []Host{{"a", "moon"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := (&Spec{Hosts: c.hosts}).Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
