package node

import (
	"cmp"
	"slices"
	"strings"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/protocol/wire"
)

// foreignModel is a model that peers advertise and that is not here.
type foreignModel struct {
	id             cid.Cid
	called         string // what peers call it
	name           string // what it is called here: no other model has it
	peers, serving int    // that hold some of it; of these, that serve some of it
}

// foreign lists the models that only peers have, by name. Names are not unique in a swarm. A
// name stands for the model of this node that has it, else for the one that most peers serve,
// then hold, then for the first identifier; the others of that name are NAME:TAG.
func (r *running) foreign() []foreignModel {
	local, names := map[cid.Cid]bool{}, map[string]bool{}
	for _, m := range r.catalog.List() {
		local[m.CID], names[m.Name] = true, true
	}
	found := map[cid.Cid]*foreignModel{}
	for _, a := range r.host.Adverts() {
		for _, ad := range a.Models {
			if !local[ad.Model] {
				found[ad.Model] = found[ad.Model].add(ad)
			}
		}
	}
	out := make([]foreignModel, 0, len(found))
	for _, f := range found {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b foreignModel) int {
		return cmp.Or(strings.Compare(a.called, b.called), b.serving-a.serving, b.peers-a.peers, strings.Compare(a.id.KeyString(), b.id.KeyString()))
	})
	for i := range out {
		if out[i].name = out[i].called; names[out[i].name] {
			out[i].name = catalog.Tagged(out[i].called, out[i].id)
		}
		names[out[i].name] = true
	}
	return out
}

// add counts the advert of a peer. Of the names that peers have for a model the first in
// order counts.
func (f *foreignModel) add(ad wire.ModelAdvert) *foreignModel {
	called := catalog.CutLatest(advertName(ad))
	if f == nil {
		f = &foreignModel{id: ad.Model, called: called}
	}
	f.called = min(f.called, called)
	if len(ad.Held)+len(ad.Served) > 0 {
		f.peers++
	}
	if len(ad.Served) > 0 {
		f.serving++
	}
	return f
}

func advertName(m wire.ModelAdvert) string {
	if catalog.CheckName(m.Name) == nil {
		return m.Name
	}
	return m.Model.String()
}
