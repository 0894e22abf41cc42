package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

// BuiltinModel is the name of the model that the program carries, see Config.Builtin.
const BuiltinModel = "demo"

// The first use of the model in the program waits for what peers tell of theirs, at most
// newsTimeout, looking every newsPoll.
const (
	newsTimeout = 3 * time.Second
	newsPoll    = 50 * time.Millisecond
)

// carries reports whether a name is that of the model in the program.
func (r *running) carries(name string) bool {
	return r.cfg.Builtin != nil && name == BuiltinModel
}

// importBuiltin takes the model in the program into the store.
func (r *running) importBuiltin(ctx context.Context, name, quantize string, p catalog.Progress) (*catalog.Model, error) {
	select {
	case r.unpacking <- struct{}{}:
		defer func() { <-r.unpacking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	dir, err := os.MkdirTemp("", "covey-demo-")
	if err != nil {
		return nil, fmt.Errorf("import the program's model: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := r.cfg.Builtin(dir); err != nil {
		return nil, err
	}
	defer r.changes()
	m, err := r.catalog.ImportFiles(ctx, dir, name, quantize, p)
	if full := new(store.SpaceError); errors.As(err, &full) {
		return nil, fmt.Errorf("the program's model is unpacked into the data directory at its first use: %w; or choose one on another disk (--data)", err)
	}
	return m, err
}

// fallback takes the model in the program for one of which nobody serves anything, if they
// are the same. It reports whether that one is here now.
func (r *running) fallback(ctx context.Context, m *catalog.Model) (bool, error) {
	if !r.carries(m.Name) || r.served(m.CID) {
		return false, nil
	}
	_, err := r.importBuiltin(ctx, m.Name, "", nil)
	if errors.Is(err, catalog.ErrNameTaken) { // it is another one
		return false, nil
	}
	return err == nil, err
}

// served reports whether a peer serves some of a model.
func (r *running) served(id cid.Cid) bool {
	return slices.ContainsFunc(r.host.Adverts(), func(a *wire.Advert) bool {
		return slices.ContainsFunc(a.Models, func(m wire.ModelAdvert) bool { return m.Model == id && len(m.Served) > 0 })
	})
}

// hearPeers waits until all peers that are connected have told what they have.
func (r *running) hearPeers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, newsTimeout)
	defer cancel()
	t := time.NewTicker(newsPoll)
	defer t.Stop()
	for {
		heard := map[host.ID]bool{}
		for _, a := range r.host.Adverts() {
			heard[a.Peer] = true
		}
		if !slices.ContainsFunc(r.host.Peers(), func(p host.Peer) bool { return !heard[p.ID] }) {
			return nil
		}
		select {
		case <-ctx.Done():
			if context.Cause(ctx) == context.DeadlineExceeded { // a silent peer has nothing
				return nil
			}
			return ctx.Err()
		case <-t.C:
		}
	}
}
