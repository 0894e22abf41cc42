package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/gateway"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/node/shell"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol/wire"
)

// models gives the gateway the models of this node and of the swarm.
type models struct{ r *running }

var _ gateway.Models = models{}

// List names the models that are here, served by somebody, or in the program. No two have one
// name.
func (m models) List(context.Context) ([]gateway.Entry, error) {
	var out []gateway.Entry
	for _, c := range m.r.catalog.List() {
		out = append(out, gateway.Entry{ID: c.CID, Name: c.Name, Created: c.Manifest.Created, Owner: "covey"})
	}
	for _, f := range m.r.foreign() {
		if f.serving > 0 {
			out = append(out, gateway.Entry{ID: f.id, Name: f.name, Owner: "covey"})
		}
	}
	if m.r.carries(BuiltinModel) && !slices.ContainsFunc(out, func(e gateway.Entry) bool { return e.Name == BuiltinModel }) {
		out = append(out, gateway.Entry{Name: BuiltinModel, Owner: "covey"})
	}
	slices.SortFunc(out, func(a, b gateway.Entry) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Open finds a model and what the gateway needs of it, from peers if it is not here.
func (m models) Open(ctx context.Context, name string) (*gateway.Model, error) {
	c, err := m.r.find(ctx, name)
	if err != nil {
		return nil, err
	}
	text, err := m.r.catalog.Text(ctx, c)
	if err != nil {
		return nil, err
	}
	g := &gateway.Model{
		ID: c.CID, Name: c.Name, Task: c.Config.Task(), Created: c.Manifest.Created, Blocks: c.Config.Blocks(), Context: c.Config.ContextLen(),
		BOS: c.Manifest.BOS, EOS: c.Manifest.EOS, EOSIDs: c.Manifest.EOSIDs, Tokenizer: text.Tokenizer, Template: text.Template,
		Labels: c.Config.Labels(), Shape: router.Shape{Vocab: c.Config.Vocab(), Width: c.Config.Width(), Dim: c.Config.Dim()},
	}
	if text.Pictures != nil {
		g.Pictures = text.Pictures
	}
	if text.Rows != nil {
		g.Rows, g.Target = text.Rows, c.Config.MLP.Target
	}
	return g, nil
}

// Serve loads a model here that no chain of peers covers, or none without peers that failed
// a moment ago, if all of it is here. It is for requests of this node: others do not hear of
// it, and after a restart it is gone. What is loaded stays until ctx, that of the request, ends.
func (m models) Serve(ctx context.Context, g *gateway.Model) error {
	c, ok := m.r.catalog.Find(g.ID.String())
	if ok {
		m.r.worker.Keep(ctx, c.CID, c.Manifest.Whole()) // before it is planned with
	}
	choice, err := m.r.router.Plan(router.Request{Model: g.ID, Blocks: g.Blocks, Prompt: 1})
	if err != nil && !errors.Is(err, router.ErrNoChain) || err == nil && !choice.Doubtful {
		return err
	}
	here := ok && m.r.complete(c)
	if err != nil && !here {
		_, err = m.r.router.Await(ctx, router.Request{Model: g.ID, Blocks: g.Blocks, Prompt: 1})
	}
	if err == nil && !here {
		return nil // what there is has to do
	}
	if ok && !here && m.r.carries(c.Name) {
		if err := m.r.hearPeers(ctx); err != nil {
			return err
		}
		if _, err = m.r.router.Plan(router.Request{Model: g.ID, Blocks: g.Blocks, Prompt: 1}); !errors.Is(err, router.ErrNoChain) {
			return err
		}
		var failed error
		if here, failed = m.r.fallback(ctx, c); failed != nil {
			return failed
		}
	}
	if !here {
		return fmt.Errorf("%w; %s", err, m.r.unserved(g, c))
	}
	return m.r.load(ctx, c)
}

// unserved tells what helps with a model that nobody serves, to follow a sentence: to fetch it if
// the peers that are reached hold what is not here, else why nobody gives it. local may be nil.
func (r *running) unserved(g *gateway.Model, local *catalog.Model) string {
	var held []wire.Range
	if local != nil {
		held = r.catalog.Held(local)
	}
	reached := false
	for _, a := range r.host.Adverts() {
		if !r.mayReach(a.Peer) {
			continue
		}
		for _, m := range a.Models {
			if m.Model == g.ID {
				reached = reached || len(m.Held) > 0
				held = append(held, m.Held...)
			}
		}
	}
	switch {
	case whole(held, g.Blocks):
		return "fetch and serve it with: covey host " + shell.Quote(g.Name)
	case reached:
		return "the peers that are reached hold only some of its blocks" + r.nobody(g.ID)
	}
	return "no peer that is reached has its blocks" + r.nobody(g.ID)
}

// whole reports whether ranges are all of a model together.
func whole(held []wire.Range, blocks int) bool {
	slices.SortFunc(held, func(a, b wire.Range) int { return cmp.Compare(a.First, b.First) })
	embed, head, next := false, false, uint32(0)
	for _, r := range held {
		embed, head = embed || r.Embed, head || r.Head
		if r.First <= next {
			next = max(next, r.Last)
		}
	}
	return embed && head && int(next) >= blocks
}

// load brings a model that is here into memory, where it stays until ctx ends.
func (r *running) load(ctx context.Context, c *catalog.Model) error {
	whole := c.Manifest.Whole()
	for {
		err := r.worker.Load(ctx, c.CID, whole, nil)
		if errors.Is(err, worker.ErrNoMemory) {
			r.worker.Evict(r.hosting.Wanted) // what was loaded like this before
			err = r.worker.Load(ctx, c.CID, whole, nil)
		}
		if err != nil || r.worker.Keep(ctx, c.CID, whole) {
			return err
		} // it was evicted since
	}
}

// alone serves a model here for a request whose chain broke, if all of it is here or it is in
// the program. It reports whether it does.
func (r *running) alone(ctx context.Context, id cid.Cid) bool {
	c, ok := r.catalog.Find(id.String())
	if !ok {
		return false
	}
	here, err := r.complete(c), error(nil)
	if !here {
		here, err = r.fallback(ctx, c)
	}
	if here {
		err = r.load(ctx, c)
	}
	if err != nil {
		r.log.Warn("no chain of peers is left, and this node cannot answer alone", "model", c.Name, "err", err)
	}
	return here && err == nil
}

// complete reports whether all of a model is here.
func (r *running) complete(m *catalog.Model) bool {
	return slices.Contains(r.catalog.Held(m), m.Manifest.Whole())
}

// find resolves a name or identifier: what is here first, then what peers advertise, then
// what the program carries.
func (r *running) find(ctx context.Context, name string) (*catalog.Model, error) {
	if m, ok := r.catalog.Find(name); ok {
		return m, nil
	}
	name = catalog.CutLatest(name)
	if r.carries(name) && len(r.named(name)) == 0 {
		if err := r.hearPeers(ctx); err != nil {
			return nil, err
		}
		if len(r.named(name)) == 0 {
			return r.importBuiltin(ctx, name, "", nil)
		}
	}
	id, err := r.resolve(name)
	if err != nil {
		return nil, err
	}
	if same := r.named(name); len(same) > 1 {
		r.log.Warn("peers use a name for several models; ask by identifier for another one", "name", name, "taken", id, "all", same)
	}
	from := r.providers(ctx, id)
	if len(from) == 0 && r.holders(id) != "" {
		return nil, fmt.Errorf("model %s is %w, and no peer that is reached has it%s", name, catalog.ErrNotHere, r.nobody(id))
	}
	if len(from) == 0 {
		return nil, fmt.Errorf("%w: %s is not here, and no peer that is reached has it%s", gateway.ErrNotFound, name, r.nobody(id))
	}
	m, err := r.catalog.Get(ctx, id, from)
	var missing *exchange.MissingError
	if errors.As(err, &missing) && missing.Err == nil && r.holders(id) == "" { // all that were asked say no
		return nil, fmt.Errorf("%w: %s is not here, and no peer that is reached has it", gateway.ErrNotFound, name)
	}
	if err != nil {
		return nil, r.notFetched(name, id, err)
	}
	return m, nil
}

// resolve finds the identifier of a name in the adverts: of a name as List has it, of any name
// that a peer has for a model, of NAME:TAG, of an identifier or the first characters of one.
func (r *running) resolve(name string) (cid.Cid, error) {
	if id, err := cid.Decode(name); err == nil && wire.ValidCID(id) == nil {
		return id, nil
	}
	var prefixed []cid.Cid
	for _, f := range r.foreign() {
		if f.name == name {
			return f.id, nil
		}
		if len(name) >= catalog.MinPrefix && strings.HasPrefix(f.id.String(), name) {
			prefixed = append(prefixed, f.id)
		}
	}
	if same := r.named(name); len(same) > 0 {
		return same[0], nil
	}
	switch len(prefixed) {
	case 0:
		if id := r.lately(name); id.Defined() {
			return id, nil
		}
		if here := r.similar(name); here != "" {
			return cid.Undef, fmt.Errorf("%w: %s is not here; did you mean %s?", gateway.ErrNotFound, name, here)
		}
		return cid.Undef, fmt.Errorf("%w: %s is not here, and no peer advertises it%s (see covey model ls)", gateway.ErrNotFound, name, r.nobody(cid.Undef))
	case 1:
		return prefixed[0], nil
	}
	return cid.Undef, fmt.Errorf("%w: the identifiers of %d models begin with %s", gateway.ErrNotFound, len(prefixed), name)
}

// similar returns the name of a model that is here and differs from one in its case only, or in the
// owner on Hugging Face; "" if there is none.
func (r *running) similar(name string) string {
	for _, m := range r.catalog.List() {
		if strings.EqualFold(m.Name, name) || strings.EqualFold(m.Name, path.Base(name)) {
			return m.Name
		}
	}
	return ""
}

// lately returns the model that peers which are gone had under a name, the latest first; Undef if
// there is none. That it is known serves for words, and for those who have it and do not say so.
func (r *running) lately(name string) cid.Cid {
	for _, g := range r.host.Gone() {
		for _, m := range g.Models {
			if called := advertName(m); called == name || catalog.Tagged(called, m.Model) == name {
				return m.Model
			}
		}
	}
	return cid.Undef
}

// named lists the models that peers advertise under a name, first the one that most voices call
// so: for a name that no model is listed under.
func (r *running) named(name string) (found []cid.Cid) {
	heard := slices.DeleteFunc(r.heard(), func(m *heardModel) bool { return m.calledBy(name) == 0 })
	slices.SortFunc(heard, func(a, b *heardModel) int {
		return cmp.Or(b.calledBy(name)-a.calledBy(name), a.before(b))
	})
	for _, m := range heard {
		found = append(found, m.id)
	}
	return found
}
