package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

// Get returns a model. If its manifest is not here, it is fetched from the given peers, or
// from Providers if there are none, pinned, and named as it calls itself, with a tag if that
// name stands for another model. The error is or wraps ErrNotHere if there is nobody to ask.
func (c *Catalog) Get(ctx context.Context, id cid.Cid, from []host.ID) (*Model, error) {
	if err := wire.ValidCID(id); err != nil {
		return nil, fmt.Errorf("get model: %w", err)
	}
	hold := c.store.Hold() // until it is pinned
	defer hold.Release()
	if err := hold.Add(id); err != nil {
		return nil, fmt.Errorf("get model: %w", err)
	}
	_, err := c.open(id)
	if errors.Is(err, store.ErrNotFound) {
		err = c.fetchManifest(ctx, id, from, hold)
		if err == nil {
			_, err = c.open(id)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("get model %s: %w", id, err)
	}
	if err := c.keep(id); err != nil {
		return nil, fmt.Errorf("get model %s: %w", id, err)
	}
	return c.local(id)
}

// fetchManifest brings the blocks of structure of a model into the store.
func (c *Catalog) fetchManifest(ctx context.Context, id cid.Cid, from []host.ID, hold *store.Hold) error {
	if err := c.ensure(ctx, id, []cid.Cid{id}, from); err != nil {
		return err
	}
	root, err := c.store.Get(ctx, id)
	if err != nil {
		return err
	}
	lists, _, err := wire.Links(root)
	if err != nil {
		return err
	}
	if err := hold.Add(lists...); err != nil {
		return err
	}
	return c.ensure(ctx, id, lists, from)
}

// ensure reads blocks of a model and fetches those that are absent or damaged.
func (c *Catalog) ensure(ctx context.Context, id cid.Cid, blocks []cid.Cid, from []host.ID) error {
	var want []cid.Cid
	for _, b := range blocks {
		switch _, err := c.store.Get(ctx, b); {
		case errors.Is(err, store.ErrNotFound):
			want = append(want, b)
		case err != nil:
			return err
		}
	}
	if len(want) == 0 {
		return nil
	}
	_, err := c.fetch(ctx, id, want, from, exchange.Options{Priority: wire.PriorityUrgent})
	return err
}

// keep pins a model that has neither pin nor name yet.
func (c *Catalog) keep(id cid.Cid) error {
	if c.store.Pinned(id) || len(c.namesByCID()[id]) > 0 {
		return nil
	}
	if err := c.store.Pin(id); err != nil {
		return err
	}
	m, err := c.local(id)
	if err != nil {
		return err
	}
	name := cleanName(m.Manifest.Name)
	c.naming.Lock()
	defer c.naming.Unlock()
	if other, taken := c.named(name); taken && other != id {
		tagged := Tagged(name, id)
		c.log.Warn("name stands for another model here: the new one is told apart by a tag", "name", name, "stands_for", other, "new", id, "called", tagged)
		name = tagged
	}
	return c.store.SetName(name, id)
}

// open returns a manifest from memory or the store. The error wraps store.ErrNotFound if
// blocks of it must be fetched.
func (c *Catalog) open(id cid.Cid) (*opened, error) {
	if !c.store.Has(id) {
		return nil, fmt.Errorf("read manifest %s: %w", id, store.ErrNotFound)
	}
	c.mu.Lock()
	o := c.opened[id]
	c.mu.Unlock()
	if o != nil {
		return o, nil
	}
	get := func(id cid.Cid) ([]byte, error) {
		return c.store.Get(context.Background(), id) // a few local reads: nothing to cancel
	}
	root, err := get(id)
	if err != nil {
		return nil, err
	}
	if o, err = parse(root, get); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened[id] = o
	return o, nil
}

// parse reads and checks a manifest.
func parse(root []byte, get func(cid.Cid) ([]byte, error)) (*opened, error) {
	m, err := wire.Unpack(root, get)
	if err != nil {
		return nil, err
	}
	cfg, err := check(m)
	if err != nil {
		return nil, err
	}
	return &opened{manifest: m, config: cfg}, nil
}

// check returns the configuration in a manifest, after checking that the manifest has
// exactly its parts and tensors: what is said of sizes can then be relied on.
func check(m *wire.Manifest) (model.Config, error) {
	cfg, err := model.ParseConfig(m.Config)
	if err != nil {
		return cfg, fmt.Errorf("check manifest: %w", err)
	}
	if m.Arch != cfg.Arch || m.Task != cfg.Task() {
		return cfg, fmt.Errorf("check manifest: it is for %.40q with architecture %.40q, its configuration for %s with %s", m.Task, m.Arch, cfg.Task(), cfg.Arch)
	}
	for _, id := range m.EOSIDs {
		if id < 0 || int(id) >= cfg.Vocab() {
			return cfg, fmt.Errorf("check manifest: end token %d is not in the vocabulary of %d", id, cfg.Vocab())
		}
	}
	parts := cfg.Parts()
	if len(parts) != len(m.Parts) {
		return cfg, fmt.Errorf("check manifest: %d parts, the configuration has %d", len(m.Parts), len(parts))
	}
	for i, p := range parts {
		if err := checkPart(&m.Parts[i], p, cfg.Specs(p)); err != nil {
			return cfg, fmt.Errorf("check manifest: %w", err)
		}
	}
	return cfg, nil
}

func checkPart(got *wire.Part, want model.Part, specs []model.Spec) error {
	if enginePart(got) != want {
		return fmt.Errorf("part is %v, want %v", enginePart(got), want)
	}
	if len(got.Tensors) != len(specs) {
		return fmt.Errorf("%v has %d tensors, want %d", want, len(got.Tensors), len(specs))
	}
	for _, spec := range specs {
		t := got.Tensor(spec.Name)
		if t == nil {
			return fmt.Errorf("%v lacks tensor %q", want, spec.Name)
		}
		if !slices.EqualFunc(t.Shape, spec.Shape, func(a uint64, b int) bool { return a == uint64(b) }) {
			return fmt.Errorf("tensor %q of %v has shape %v, want %v", spec.Name, want, t.Shape, spec.Shape)
		}
		if _, err := tensor.Parse(t.DType); err != nil {
			return fmt.Errorf("tensor %q of %v: %w", spec.Name, want, err)
		}
	}
	return nil
}

func enginePart(p *wire.Part) model.Part {
	return model.Part{Kind: model.PartKind(p.Kind), Index: int(p.Index)}
}

func wirePart(p model.Part) (wire.PartKind, uint32) { return wire.PartKind(p.Kind), uint32(p.Index) }
