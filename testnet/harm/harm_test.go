package harm_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/covey-network/covey/testnet/harm"
	"github.com/covey-network/covey/testnet/runner"
)

var seed = flag.Uint64("seed", 1, "for what is random")

// binary builds the program once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "covey-harm-")
	if err != nil {
		return "", err
	}
	return runner.Build(dir)
})

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func lab(t *testing.T) *harm.Lab {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return &harm.Lab{Binary: path, Dir: t.TempDir(), Short: true, Seed: *seed, Say: t.Logf}
}

// slack is how much longer than on an idle machine things may take here.
const slack = 3

// check runs one check and looks at its figures.
func check(t *testing.T, f func(context.Context, *harm.Lab) ([]harm.Figure, error)) {
	t.Helper()
	t.Parallel()
	figures, err := f(t.Context(), lab(t))
	if err != nil {
		t.Error(err)
	}
	for _, g := range figures {
		if g.Unit == "s" {
			g.Most *= slack
		}
		if !g.OK() {
			t.Error(g)
		}
	}
}

func TestDeath(t *testing.T) { check(t, harm.Death) }

func TestPause(t *testing.T) { check(t, harm.Pause) }

func TestHog(t *testing.T) { check(t, harm.Hog) }

func TestKeys(t *testing.T) { check(t, harm.Keys) }

func TestChurn(t *testing.T) { check(t, harm.Churn) }

func TestTraining(t *testing.T) { check(t, harm.Training) }

func TestFigures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		f    harm.Figure
		ok   bool
		want string
	}{
		{"at the limit", harm.Figure{Name: "a", Value: 2, Most: 2, Unit: "s"}, true, "ok"},
		{"over it", harm.Figure{Name: "a", Value: 2.5, Most: 2, Unit: "s"}, false, "OVER"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.f.OK() != tt.ok || !strings.HasSuffix(tt.f.String(), tt.want) {
				t.Errorf("got %t, %s", tt.f.OK(), tt.f)
			}
		})
	}
}
