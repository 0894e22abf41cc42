package hosting

import (
	"bytes"
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

// ErrDropped ends the work on a range that is not to be served any more.
var ErrDropped = errors.New("it was turned off meanwhile")

// Worker runs stages.
type Worker interface {
	// Load loads a range; told is called with the bytes of weights read so far.
	Load(ctx context.Context, id cid.Cid, r wire.Range, told func(bytes int64)) error
	Unload(id cid.Cid, r *wire.Range)
	Memory() (lent, used int64)
	// Needs returns a function that tells what memory a range takes.
	Needs(ctx context.Context, id cid.Cid) (func(wire.Range) int64, error)
}

// Config is what a Manager needs; all fields but Forbidden are required.
type Config struct {
	Catalog *catalog.Catalog
	Worker  Worker
	Adverts func() []*wire.Advert // of other peers
	Path    string                // file that keeps what is hosted over a restart
	Changed func()                // called when there is something new to advertise
	// Write replaces a file, whole or not at all.
	Write func(path string, data []byte) error
	Log   *slog.Logger

	Forbidden error // why this peer may not serve, nil if it may
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

	saving sync.Mutex // of the file
	saved  []byte     // what is in it

	mu     sync.Mutex
	hosted []*record
	news   chan struct{} // closed and replaced by Retry
}

// record is a Hosted and the work on it.
type record struct {
	Hosted
	dropped bool
	works   map[*work]struct{} // under way
}

// work is fetching and loading a range. It ends with a Drop.
type work struct{ cancel context.CancelCauseFunc }

// begin returns the context of a work on a record, and what ends it.
func (m *Manager) begin(ctx context.Context, h *record) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &work{cancel}
	m.mu.Lock()
	defer m.mu.Unlock()
	if h.dropped {
		cancel(ErrDropped)
	}
	h.works[w] = struct{}{}
	return ctx, func() {
		cancel(nil)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(h.works, w)
	}
}

func newRecord(id cid.Cid, name string, r wire.Range) *record {
	return &record{Hosted: Hosted{Model: id, Name: name, Range: r, State: Fetching}, works: map[*work]struct{}{}}
}

// entry is a line of the file.
type entry struct {
	Model string     `json:"model"`
	Name  string     `json:"name"`
	Range wire.Range `json:"range"`
}

// New reads what was hosted before. It starts nothing.
func New(cfg Config) (*Manager, error) {
	if cfg.Catalog == nil || cfg.Worker == nil || cfg.Adverts == nil || cfg.Path == "" || cfg.Changed == nil || cfg.Write == nil || cfg.Log == nil {
		return nil, errors.New("new hosting: all of its configuration is required")
	}
	data, err := os.ReadFile(cfg.Path)
	m := &Manager{cfg: cfg, news: make(chan struct{}), saved: data}
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
		m.hosted = append(m.hosted, newRecord(id, e.Name, e.Range))
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

func (m *Manager) restore(ctx context.Context, h *record) {
	if m.cfg.Forbidden != nil {
		m.set(h, Failed, m.cfg.Forbidden)
		return
	}
	ctx, end := m.begin(ctx, h)
	defer end()
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

func (m *Manager) bringBack(ctx context.Context, h *record) error {
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
	if m.cfg.Forbidden != nil {
		return wire.Range{}, exchange.Stats{}, m.cfg.Forbidden
	}
	r, err := m.pick(ctx, model, blocks)
	if err != nil {
		return r, exchange.Stats{}, err
	}
	h, fresh := m.entry(model, r)
	ctx, end := m.begin(ctx, h)
	defer end()
	stats, err := m.bring(ctx, model, h, progress)
	if err != nil && fresh {
		m.forget(func(o *record) bool { return o == h })
	}
	if err == nil {
		err = m.Save()
	}
	return r, stats, err
}

func (m *Manager) pick(ctx context.Context, model *catalog.Model, blocks string) (wire.Range, error) {
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
	needs, err := m.cfg.Worker.Needs(ctx, model.CID)
	if err != nil {
		return wire.Range{}, err
	}
	lent, used := m.cfg.Worker.Memory()
	return Choose(n, served, needs, lent-used)
}

// entry returns the record of a range, and whether it is new.
func (m *Manager) entry(model *catalog.Model, r wire.Range) (*record, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.hosted {
		if h.Model == model.CID && h.Range == r {
			return h, false
		}
	}
	h := newRecord(model.CID, model.Name, r)
	m.hosted = append(m.hosted, h)
	return h, true
}

func (m *Manager) bring(ctx context.Context, model *catalog.Model, h *record, progress Progress) (exchange.Stats, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	stats, err := m.fetchAndLoad(ctx, model, h, progress)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrDropped) {
		err = fmt.Errorf("host %s: %w", model.Name, cause)
	}
	if err != nil {
		m.set(h, Failed, err)
	}
	return stats, err
}

func (m *Manager) fetchAndLoad(ctx context.Context, model *catalog.Model, h *record, progress Progress) (exchange.Stats, error) {
	total := m.cfg.Catalog.PartBytes(model, h.Range)
	m.set(h, Fetching, nil)
	if missing := m.cfg.Catalog.Missing(model, h.Range); missing > 0 {
		progress(Fetching, total-missing, total)
	}
	stats, err := m.cfg.Catalog.Fetch(ctx, model, h.Range, exchange.Options{
		Priority: wire.PriorityLoad,
		Progress: func(s exchange.Stats) { progress(Fetching, s.Bytes+s.Skipped, total) },
	})
	if err != nil {
		return stats, err
	}
	// The tokenizer comes along, so that each peer of a chain can give it to those who ask.
	if _, err := m.cfg.Catalog.Text(ctx, model); err != nil {
		return stats, err
	}
	m.set(h, Loading, nil)
	progress(Loading, 0, total)
	if err := ctx.Err(); err != nil {
		return stats, err
	}
	told := func(bytes int64) { progress(Loading, min(bytes, total), total) } // blocks that tensors share count once in total
	if err := m.cfg.Worker.Load(ctx, model.CID, h.Range, told); err != nil {
		return stats, err
	}
	if !m.loaded(h) {
		return stats, fmt.Errorf("host %s: %w", model.Name, ErrDropped)
	}
	progress(Loading, total, total)
	return stats, nil
}

// loaded makes a range count as served, unless it was dropped while it was loaded: then it
// goes again.
func (m *Manager) loaded(h *record) bool {
	m.mu.Lock()
	wanted := slices.ContainsFunc(m.hosted, func(o *record) bool { return o.Model == h.Model && o.Range == h.Range })
	if !h.dropped {
		h.State, h.Err = Serving, nil
	}
	dropped := h.dropped
	m.mu.Unlock()
	if dropped && !wanted {
		m.cfg.Worker.Unload(h.Model, &h.Range)
	}
	m.cfg.Changed()
	return !dropped
}

func (m *Manager) set(h *record, state string, err error) {
	m.mu.Lock()
	h.State, h.Err = state, err
	m.mu.Unlock()
	m.cfg.Changed()
}

// Drop stops serving a model, and the work to bring it here. It reports whether any of it
// was served or to be served.
func (m *Manager) Drop(id cid.Cid) (bool, error) {
	n := m.forget(func(h *record) bool { return h.Model == id })
	m.cfg.Worker.Unload(id, nil)
	m.cfg.Changed()
	return n > 0, m.Save()
}

// forget drops records and returns their number.
func (m *Manager) forget(which func(*record) bool) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.hosted)
	m.hosted = slices.DeleteFunc(m.hosted, func(h *record) bool {
		if !which(h) {
			return false
		}
		h.dropped = true
		for w := range h.works {
			w.cancel(ErrDropped)
		}
		return true
	})
	return n - len(m.hosted)
}

// Wanted reports whether a range is served, or shall be, because the owner wants it.
func (m *Manager) Wanted(id cid.Cid, r wire.Range) bool {
	return m.has(func(h *record) bool { return h.Model == id && h.Range == r })
}

// Serving reports whether a range is served because the owner wants it.
func (m *Manager) Serving(id cid.Cid, r wire.Range) bool {
	return m.has(func(h *record) bool { return h.Model == id && h.Range == r && h.State == Serving })
}

func (m *Manager) has(which func(*record) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.hosted, which)
}

// Hosted lists what is served or shall be.
func (m *Manager) Hosted() []Hosted {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Hosted, len(m.hosted))
	for i, h := range m.hosted {
		out[i] = h.Hosted
	}
	return out
}

// Save writes what is hosted to the file, if that is not what is there.
func (m *Manager) Save() error {
	m.saving.Lock()
	defer m.saving.Unlock()
	all := []entry{}
	for _, h := range m.Hosted() {
		all = append(all, entry{Model: h.Model.String(), Name: h.Name, Range: h.Range})
	}
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if bytes.Equal(data, m.saved) || len(all) == 0 && len(m.saved) == 0 { // no file hosts nothing too
		return nil
	}
	if err := m.cfg.Write(m.cfg.Path, data); err != nil {
		return fmt.Errorf("save what is hosted: %w", err)
	}
	m.saved = data
	return nil
}
