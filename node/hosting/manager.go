package hosting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/protocol/wire"
)

// The waits between attempts to bring back what was served before a restart.
const (
	firstRetry = 2 * time.Second
	maxRetry   = 2 * time.Minute
)

// The states of a hosted range.
const (
	Fetching = "fetching"
	Loading  = "loading"
	Serving  = "serving"
	Failed   = "failed"
)

// Worker runs stages.
type Worker interface {
	Load(ctx context.Context, id cid.Cid, r wire.Range) error
	Unload(id cid.Cid, r *wire.Range)
	Memory() (lent, used int64)
}

// Config is what a Manager needs; all fields are required.
type Config struct {
	Catalog *catalog.Catalog
	Worker  Worker
	Adverts func() []*wire.Advert // of other peers
	Path    string                // file that keeps what is hosted over a restart
	Changed func()                // called when there is something new to advertise
	Log     *slog.Logger
}

// Hosted is a range that is served, or shall be.
type Hosted struct {
	Model cid.Cid
	Name  string
	Range wire.Range
	State string
	Err   error
}

// Progress is told how far fetching and loading are.
type Progress func(state string, done, total int64)

// Manager brings ranges here and keeps them over restarts.
type Manager struct {
	cfg Config

	mu     sync.Mutex
	hosted []*Hosted
	news   chan struct{} // closed and replaced by Retry
}

// entry is a line of the file.
type entry struct {
	Model string     `json:"model"`
	Name  string     `json:"name"`
	Range wire.Range `json:"range"`
}

// New reads what was hosted before. It starts nothing.
func New(cfg Config) (*Manager, error) {
	if cfg.Catalog == nil || cfg.Worker == nil || cfg.Adverts == nil || cfg.Path == "" || cfg.Changed == nil || cfg.Log == nil {
		return nil, errors.New("new hosting: all of its configuration is required")
	}
	m := &Manager{cfg: cfg, news: make(chan struct{})}
	data, err := os.ReadFile(cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is hosted: %w", err)
	}
	var all []entry
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("read what is hosted: %s: %w; remove the file to host nothing", cfg.Path, err)
	}
	for _, e := range all {
		id, err := cid.Decode(e.Model)
		if err != nil || e.Range.Validate() != nil {
			return nil, fmt.Errorf("read what is hosted: %s: bad entry %v; remove the file to host nothing", cfg.Path, e)
		}
		m.hosted = append(m.hosted, &Hosted{Model: id, Name: e.Name, Range: e.Range, State: Fetching})
	}
	return m, nil
}

// Run brings back what was hosted before the start, trying again while blocks are missing.
func (m *Manager) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	m.mu.Lock()
	for _, h := range m.hosted {
		tasks.Go(func() { m.restore(ctx, h) })
	}
	m.mu.Unlock()
	tasks.Wait()
	<-ctx.Done()
	return nil
}

func (m *Manager) restore(ctx context.Context, h *Hosted) {
	for wait := firstRetry; ; wait = min(2*wait, maxRetry) {
		m.mu.Lock()
		news := m.news
		m.mu.Unlock()
		err := m.bringBack(ctx, h)
		if err == nil || ctx.Err() != nil {
			return
		}
		m.cfg.Log.Warn("range not served yet", "model", h.Name, "range", h.Range, "err", err, "again_in", wait)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-news:
			t.Stop()
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// Retry lets what could not be brought back yet be tried again now: a peer has come that
// may have it.
func (m *Manager) Retry() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.news)
	m.news = make(chan struct{})
}

func (m *Manager) bringBack(ctx context.Context, h *Hosted) error {
	model, ok := m.cfg.Catalog.Find(h.Model.String())
	var err error
	if !ok {
		model, err = m.cfg.Catalog.Get(ctx, h.Model, nil)
	}
	if err == nil {
		_, err = m.bring(ctx, model, h, nil)
	}
	var missing *exchange.MissingError
	if errors.As(err, &missing) || errors.Is(err, catalog.ErrNotHere) {
		err = fmt.Errorf("blocks are missing here and no peer that is connected has them; they are asked for again when a peer joins: %w", err)
	}
	if err != nil {
		m.set(h, Failed, err)
	}
	return err
}

// Host fetches, loads and serves a range of a model: "all", "auto" or "first-last". It
// returns the range and what was fetched. progress may be nil.
func (m *Manager) Host(ctx context.Context, model *catalog.Model, blocks string, progress Progress) (wire.Range, exchange.Stats, error) {
	r, err := m.pick(model, blocks)
	if err != nil {
		return r, exchange.Stats{}, err
	}
	h, fresh := m.entry(model, r)
	stats, err := m.bring(ctx, model, h, progress)
	if err != nil && fresh {
		m.forget(func(o *Hosted) bool { return o == h })
	}
	if err == nil {
		err = m.save()
	}
	return r, stats, err
}

func (m *Manager) pick(model *catalog.Model, blocks string) (wire.Range, error) {
	n := model.Config.Blocks()
	if blocks != "auto" {
		r, err := ParseRange(blocks, n)
		if err != nil && n == 1 {
			err = fmt.Errorf("%w; %s is one block and is served whole", err, model.Name)
		}
		return r, err
	}
	var served []wire.Range
	for _, a := range m.cfg.Adverts() {
		for _, ad := range a.Models {
			if ad.Model != model.CID {
				continue
			}
			for _, s := range ad.Served {
				served = append(served, s.Range)
			}
		}
	}
	lent, used := m.cfg.Worker.Memory()
	// A fifth of the room is left for sessions.
	return Choose(n, served, func(r wire.Range) int64 { return m.cfg.Catalog.PartBytes(model, r) }, (lent-used)/5*4)
}

// entry returns the record of a range, and whether it is new.
func (m *Manager) entry(model *catalog.Model, r wire.Range) (*Hosted, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.hosted {
		if h.Model == model.CID && h.Range == r {
			return h, false
		}
	}
	h := &Hosted{Model: model.CID, Name: model.Name, Range: r, State: Fetching}
	m.hosted = append(m.hosted, h)
	return h, true
}

func (m *Manager) bring(ctx context.Context, model *catalog.Model, h *Hosted, progress Progress) (exchange.Stats, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	total := m.cfg.Catalog.PartBytes(model, h.Range)
	m.set(h, Fetching, nil)
	progress(Fetching, 0, total)
	stats, err := m.cfg.Catalog.Fetch(ctx, model, h.Range, exchange.Options{
		Priority: wire.PriorityLoad,
		Progress: func(s exchange.Stats) { progress(Fetching, s.Bytes+s.Skipped, total) },
	})
	if err != nil {
		m.set(h, Failed, err)
		return stats, fmt.Errorf("fetch %s: %w", model.Name, err)
	}
	// The tokenizer comes along, so that each peer of a chain can give it to those who ask.
	if _, err := m.cfg.Catalog.Text(ctx, model); err != nil {
		m.set(h, Failed, err)
		return stats, err
	}
	m.set(h, Loading, nil)
	progress(Loading, 0, total)
	if err := m.cfg.Worker.Load(ctx, model.CID, h.Range); err != nil {
		m.set(h, Failed, err)
		return stats, err
	}
	progress(Loading, total, total)
	m.set(h, Serving, nil)
	return stats, nil
}

func (m *Manager) set(h *Hosted, state string, err error) {
	m.mu.Lock()
	h.State, h.Err = state, err
	m.mu.Unlock()
	m.cfg.Changed()
}

// Drop stops serving a model. It reports whether any of it was served.
func (m *Manager) Drop(id cid.Cid) (bool, error) {
	n := m.forget(func(h *Hosted) bool { return h.Model == id })
	m.cfg.Worker.Unload(id, nil)
	m.cfg.Changed()
	return n > 0, m.save()
}

func (m *Manager) forget(which func(*Hosted) bool) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.hosted)
	m.hosted = slices.DeleteFunc(m.hosted, which)
	return n - len(m.hosted)
}

// Hosted lists what is served or shall be.
func (m *Manager) Hosted() []Hosted {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Hosted, len(m.hosted))
	for i, h := range m.hosted {
		out[i] = *h
	}
	return out
}

// save writes the file, whole or not at all.
func (m *Manager) save() error {
	all := []entry{}
	for _, h := range m.Hosted() {
		all = append(all, entry{Model: h.Model.String(), Name: h.Name, Range: h.Range})
	}
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.cfg.Path+".new", data, 0o600); err != nil {
		return fmt.Errorf("save what is hosted: %w", err)
	}
	return os.Rename(m.cfg.Path+".new", m.cfg.Path)
}
