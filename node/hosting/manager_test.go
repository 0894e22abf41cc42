package hosting_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/hosting"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/demo"
)

// stages is a worker that loads nothing.
type stages struct {
	lent, used int64
	load       func(ctx context.Context) error // nil: works at once

	mu   sync.Mutex
	have []wire.Range
}

func (w *stages) Load(ctx context.Context, _ cid.Cid, r wire.Range, _ func(int64)) error {
	if w.load != nil {
		if err := w.load(ctx); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.have = append(w.have, r)
	return nil
}

func (w *stages) Unload(_ cid.Cid, r *wire.Range) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.have = slices.DeleteFunc(w.have, func(o wire.Range) bool { return r == nil || o == *r })
}

func (w *stages) Memory() (lent, used int64) { return w.lent, w.used }

func (w *stages) Needs(context.Context, cid.Cid) (func(wire.Range) int64, error) {
	return func(r wire.Range) int64 { return 100 * int64(r.Last-r.First) }, nil
}

func (w *stages) loaded() []wire.Range {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.have)
}

// shelf is a catalog with the demo model.
type shelf struct {
	*catalog.Catalog
	store *store.Store
	model *catalog.Model
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s, err := store.Open(store.Config{Dir: t.TempDir(), Links: wire.Links})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c, err := catalog.New(catalog.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), demo.Name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := demo.Write(dir); err != nil {
		t.Fatal(err)
	}
	m, err := c.ImportFiles(t.Context(), dir, demo.Name, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{c, s, m}
}

func (s *shelf) manager(t *testing.T, w *stages, path string, forbidden error) *hosting.Manager {
	t.Helper()
	m, err := hosting.New(hosting.Config{
		Catalog: s.Catalog, Worker: w, Adverts: func() []*wire.Advert { return nil }, Path: path, Changed: func() {},
		Write: s.store.WriteFile, Log: slog.New(slog.DiscardHandler), Forbidden: forbidden,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func states(m *hosting.Manager) (out []string) {
	for _, h := range m.Hosted() {
		out = append(out, h.State)
	}
	return out
}

// TestHostedComesBack hosts two ranges, drops nothing, and starts again.
func TestHostedComesBack(t *testing.T) {
	t.Parallel()
	s, path, w := newShelf(t), filepath.Join(t.TempDir(), "hosting.json"), &stages{}
	m := s.manager(t, w, path, nil)
	for _, blocks := range []string{"0-1", "3"} {
		if _, _, err := m.Host(t.Context(), s.model, blocks, nil); err != nil {
			t.Fatal(err)
		}
	}
	want := w.loaded()
	if len(want) != 2 || !m.Serving(s.model.CID, want[0]) || m.Serving(s.model.CID, s.model.Manifest.Whole()) {
		t.Fatalf("loaded %v", want)
	}
	synctest.Test(t, func(t *testing.T) {
		again := &stages{}
		m := s.manager(t, again, path, nil)
		if got := states(m); !slices.Equal(got, []string{hosting.Fetching, hosting.Fetching}) {
			t.Errorf("before: %v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		synctest.Wait()
		got := again.loaded()
		slices.SortFunc(got, func(a, b wire.Range) int { return int(a.First) - int(b.First) })
		if !slices.Equal(got, want) || !slices.Equal(states(m), []string{hosting.Serving, hosting.Serving}) {
			t.Errorf("brought back %v, %v; want %v", got, states(m), want)
		}
		if ok, err := m.Drop(s.model.CID); !ok || err != nil || len(again.loaded()) != 0 {
			t.Errorf("dropped %v, %v, left %v", ok, err, again.loaded())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if m := s.manager(t, w, path, nil); len(m.Hosted()) != 0 {
		t.Errorf("after a drop: %v", m.Hosted())
	}
}

// TestDropEndsWork drops a range while it is loaded for the owner, while it is brought back,
// and by a worker that does not listen.
func TestDropEndsWork(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name           string
		restored, deaf bool
	}{{"host", false, false}, {"restore", true, false}, {"deaf worker", false, true}, {"restore by a deaf worker", true, true}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, path := newShelf(t), filepath.Join(t.TempDir(), "hosting.json")
			if tc.restored {
				if _, _, err := s.manager(t, &stages{}, path, nil).Host(t.Context(), s.model, "all", nil); err != nil {
					t.Fatal(err)
				}
			}
			loading, goOn := make(chan struct{}), make(chan struct{})
			w := &stages{load: func(ctx context.Context) error {
				close(loading)
				if tc.deaf {
					<-goOn
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}}
			m := s.manager(t, w, path, nil)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			if tc.restored {
				go func() { ended <- m.Run(ctx) }()
			} else {
				go func() {
					_, _, err := m.Host(ctx, s.model, "all", nil)
					ended <- err
				}()
			}
			<-loading
			if ok, err := m.Drop(s.model.CID); !ok || err != nil {
				t.Errorf("drop: %v, %v", ok, err)
			}
			close(goOn)
			if tc.restored {
				cancel()
			}
			if err := <-ended; !tc.restored && !errors.Is(err, hosting.ErrDropped) || tc.restored && err != nil {
				t.Errorf("ended with %v", err)
			}
			cancel()
			if len(w.loaded()) != 0 || len(m.Hosted()) != 0 || len(s.manager(t, w, path, nil).Hosted()) != 0 {
				t.Errorf("left: %v, %v", w.loaded(), m.Hosted())
			}
		})
	}
}

func TestAutoTakesWhatFits(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for used, want := range map[int64]uint32{0: 4, 1: 3, 399: 0} {
		w := &stages{lent: 400, used: used}
		r, _, err := s.manager(t, w, filepath.Join(t.TempDir(), "hosting.json"), nil).Host(t.Context(), s.model, "auto", nil)
		if want == 0 && !errors.Is(err, hosting.ErrNoRoom) || want > 0 && (err != nil || r.Last != want) {
			t.Errorf("%d of 400 bytes in use: %v, %v; want %d blocks", used, r, err, want)
		}
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	s, path := newShelf(t), filepath.Join(t.TempDir(), "hosting.json")
	if _, _, err := s.manager(t, &stages{}, path, nil).Host(t.Context(), s.model, "all", nil); err != nil {
		t.Fatal(err)
	}
	no, w := errors.New("may not serve"), &stages{}
	m := s.manager(t, w, path, no)
	if _, _, err := m.Host(t.Context(), s.model, "all", nil); !errors.Is(err, no) {
		t.Errorf("host: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Run(ctx); err != nil {
		t.Error(err)
	}
	if h := m.Hosted(); len(w.loaded()) != 0 || len(h) != 1 || h[0].State != hosting.Failed || !errors.Is(h[0].Err, no) {
		t.Errorf("brought back %v, %+v", w.loaded(), h)
	}
}

// TestNothingToSave drops what is not hosted: the file is not written.
func TestNothingToSave(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	path := filepath.Join(t.TempDir(), "hosting.json")
	for _, was := range []string{"", "[]"} {
		if was != "" {
			if err := os.WriteFile(path, []byte(was), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m, err := hosting.New(hosting.Config{
			Catalog: s.Catalog, Worker: &stages{}, Adverts: func() []*wire.Advert { return nil }, Path: path, Changed: func() {},
			Write: func(string, []byte) error { return syscall.ENOSPC }, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if dropped, err := m.Drop(s.model.CID); dropped || err != nil {
			t.Errorf("file %q: %v, %v", was, dropped, err)
		}
	}
}
