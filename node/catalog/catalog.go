package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

// ErrNotHere means that a model, or blocks of it, would have to come from peers, and that
// there are none to ask. It comes with store.ErrNotFound or the peers' error.
var ErrNotHere = errors.New("not on this machine")

// Fetcher brings blocks from peers into the store. An Exchange is one.
type Fetcher interface {
	Fetch(ctx context.Context, want []cid.Cid, from []host.ID, o exchange.Options) (exchange.Stats, error)
}

var _ Fetcher = (*exchange.Exchange)(nil)

// Config is what a Catalog needs.
type Config struct {
	Store   *store.Store // required; its Links must be wire.Links, or GC takes models apart
	Fetcher Fetcher      // nil: offline
	// Providers lists the peers that may have blocks of a model; nil: nobody does.
	Providers func(ctx context.Context, id cid.Cid) []host.ID
	// Nobody tells why there are no providers, in words that follow a sentence; nil: nothing.
	Nobody func(id cid.Cid) string
	Log    *slog.Logger // nil: discard
}

// Catalog is the models of a node. Make it with New.
type Catalog struct {
	store     *store.Store
	fetcher   Fetcher
	providers func(ctx context.Context, id cid.Cid) []host.ID
	nobody    func(id cid.Cid) string
	log       *slog.Logger
	pictures  chan struct{} // of size 1: image files are decoded one at a time, which takes memory

	naming sync.Mutex // orders changes of names, which look before they write

	mu     sync.Mutex
	opened map[cid.Cid]*opened // manifests read; those without pin and name go now and then
	texts  texts
}

// opened is a manifest that was checked, and its configuration. Both are read-only.
type opened struct {
	manifest *wire.Manifest
	config   model.Config
}

// Model is a model whose manifest is here. It is read-only.
type Model struct {
	CID      cid.Cid
	Name     string // the local name, else the manifest's with a tag: no two models have one
	Manifest *wire.Manifest
	Config   model.Config
	Findings Findings // of its import, where it was imported just now
}

// New returns a catalog of what is in the store.
func New(cfg Config) (*Catalog, error) {
	if cfg.Store == nil {
		return nil, errors.New("new catalog: no store")
	}
	c := &Catalog{
		store: cfg.Store, fetcher: cfg.Fetcher, providers: cfg.Providers, nobody: cfg.Nobody, log: cfg.Log,
		pictures: make(chan struct{}, 1), opened: map[cid.Cid]*opened{}, texts: texts{entries: map[cid.Cid]*textEntry{}},
	}
	if c.providers == nil {
		c.providers = func(context.Context, cid.Cid) []host.ID { return nil }
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Find returns a model whose manifest is here, by local name, as NAME or NAME:TAG, by the text of its
// identifier, or by the first 8 or more characters of it if only one model has them.
func (c *Catalog) Find(name string) (*Model, bool) {
	if id, ok := c.named(name); ok {
		if m, err := c.local(id); err == nil {
			return m, true
		}
	}
	name = CutLatest(name)
	if id, err := cid.Decode(name); err == nil && wire.ValidCID(id) == nil {
		m, err := c.local(id)
		return m, err == nil
	}
	if len(name) < MinPrefix {
		return nil, false
	}
	var found *Model
	for _, m := range c.List() {
		if m.Name == name {
			return m, true
		}
		if strings.HasPrefix(m.CID.String(), name) {
			if found != nil {
				return nil, false
			}
			found = m
		}
	}
	return found, found != nil
}

// Kept returns the identifier of a model that is pinned or named, by local name, identifier or the
// first characters of it as Find does, and a name of it. Its manifest need not be here: one that
// lost it is removed all the same.
func (c *Catalog) Kept(name string) (id cid.Cid, called string, ok bool) {
	names := c.namesByCID()
	kept := map[cid.Cid]struct{}{}
	for id := range names {
		kept[id] = struct{}{}
	}
	for _, p := range c.store.Pins() {
		kept[p.CID] = struct{}{}
	}
	if id, ok = c.named(name); !ok {
		name = CutLatest(name)
		for o := range kept {
			text := o.String()
			if text == name {
				id, ok = o, true
				break
			}
			if len(name) >= MinPrefix && strings.HasPrefix(text, name) {
				if id.Defined() {
					return cid.Undef, "", false
				}
				id, ok = o, true
			}
		}
	}
	if !ok {
		return cid.Undef, "", false
	}
	if called = id.String(); len(names[id]) > 0 {
		called = names[id][0]
	}
	return id, called, true
}

// MinPrefix is the shortest prefix of an identifier that stands for a model.
const MinPrefix = 8

// List returns the models that are pinned or named and whose manifests are here, by name.
func (c *Catalog) List() []*Model {
	names := c.namesByCID()
	ids := make(map[cid.Cid]struct{}, len(names))
	for id := range names {
		ids[id] = struct{}{}
	}
	for _, p := range c.store.Pins() {
		ids[p.CID] = struct{}{}
	}
	var out []*Model
	for id := range ids {
		o, err := c.open(id)
		if err != nil {
			if !errors.Is(err, store.ErrNotFound) {
				c.log.Debug("pinned or named block is no model", "block", id, "err", err)
			}
			continue
		}
		out = append(out, newModel(id, o, names[id]))
	}
	slices.SortFunc(out, func(a, b *Model) int {
		if n := strings.Compare(a.Name, b.Name); n != 0 {
			return n
		}
		return strings.Compare(a.CID.KeyString(), b.CID.KeyString())
	})
	c.forget(func(id cid.Cid) bool { _, kept := ids[id]; return !kept })
	return out
}

func newModel(id cid.Cid, o *opened, names []string) *Model {
	m := &Model{CID: id, Manifest: o.manifest, Config: o.config}
	if len(names) > 0 {
		m.Name = names[0]
	} else {
		m.Name = Tagged(cleanName(o.manifest.Name), id)
	}
	return m
}

// local returns a model from the store alone.
func (c *Catalog) local(id cid.Cid) (*Model, error) {
	o, err := c.open(id)
	if err != nil {
		return nil, err
	}
	return newModel(id, o, c.namesByCID()[id]), nil
}

// Model returns the configuration and the weights of a model, whose manifest is fetched
// from peers if it is not here.
func (c *Catalog) Model(ctx context.Context, id cid.Cid) (model.Config, model.Weights, error) {
	m, err := c.Get(ctx, id, nil)
	if err != nil {
		return model.Config{}, nil, err
	}
	return m.Config, c.Weights(m), nil
}

// Remove ends the pin of a model and all its names. Its blocks stay until the store's GC.
func (c *Catalog) Remove(id cid.Cid) error {
	c.naming.Lock()
	defer c.naming.Unlock()
	for _, name := range c.namesByCID()[id] {
		if err := c.store.SetName(name, cid.Undef); err != nil {
			return fmt.Errorf("remove model: %w", err)
		}
	}
	if err := c.store.Unpin(id); err != nil {
		return fmt.Errorf("remove model: %w", err)
	}
	c.forget(func(o cid.Cid) bool { return o == id })
	return nil
}

// Pin keeps the blocks of a model, those here and those to come, from GC.
func (c *Catalog) Pin(id cid.Cid) error {
	if _, err := c.open(id); err != nil { // GC would do nothing because of a pin that leads nowhere
		return fmt.Errorf("pin model %s: %w", id, err)
	}
	return c.store.Pin(id)
}

// Unpin leaves the blocks of a model to the next GC. It keeps its names.
func (c *Catalog) Unpin(id cid.Cid) error { return c.store.Unpin(id) }

// Pinned reports whether a model is pinned.
func (c *Catalog) Pinned(id cid.Cid) bool { return c.store.Pinned(id) }

// forget drops manifests and tokenizers from memory.
func (c *Catalog) forget(which func(cid.Cid) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.opened {
		if which(id) {
			delete(c.opened, id)
		}
	}
	c.texts.forget(which)
}
