package node

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/protocol/wire"
)

// heardModel is a model of which peers serve or hold some.
type heardModel struct {
	id             cid.Cid
	peers, serving int // that hold some of it; of these, that serve some of it

	// The voices of these peers: what they call it, and who holds and serves some.
	names           map[string]voices
	holders, served voices
}

// voices are the invitations that peers came with. Who has a token makes as many identities as
// it likes: together they have one voice.
type voices map[string]bool

// heard lists the models of which peers serve or hold some, also those that are here. An
// advert of a model without any of it counts for nothing: it costs nothing to send.
func (r *running) heard() []*heardModel {
	found := map[cid.Cid]*heardModel{}
	for _, a := range r.host.Adverts() {
		invitation := r.host.Grant(a.Peer)
		for _, ad := range a.Models {
			if len(ad.Held)+len(ad.Served) == 0 {
				continue
			}
			m := found[ad.Model]
			if m == nil {
				m = &heardModel{id: ad.Model, names: map[string]voices{}, holders: voices{}, served: voices{}}
				found[ad.Model] = m
			}
			name := advertName(ad)
			if m.names[name] == nil {
				m.names[name] = voices{}
			}
			m.names[name][invitation] = true
			m.holders[invitation] = true
			m.peers++
			if len(ad.Served) > 0 {
				m.served[invitation] = true
				m.serving++
			}
		}
	}
	return slices.Collect(maps.Values(found))
}

// called returns what most voices call a model, and of several names the first.
func (m *heardModel) called() string {
	most := ""
	for name, v := range m.names {
		if n, best := len(v), len(m.names[most]); n > best || n == best && name < most {
			most = name
		}
	}
	return most
}

// calledBy counts the voices that call a model by a name, which may have the model's tag.
func (m *heardModel) calledBy(name string) int {
	all := voices{}
	for called, v := range m.names {
		if called == name || catalog.Tagged(called, m.id) == name {
			maps.Copy(all, v)
		}
	}
	return len(all)
}

// before orders models of one name: by the voices that serve, then hold them, then by identifier.
func (m *heardModel) before(o *heardModel) int {
	return cmp.Or(len(o.served)-len(m.served), len(o.holders)-len(m.holders), strings.Compare(m.id.KeyString(), o.id.KeyString()))
}

// advertName returns what a peer calls a model: its identifier if that is no name.
func advertName(m wire.ModelAdvert) string {
	if name := catalog.CutLatest(m.Name); catalog.CheckName(name) == nil {
		return name
	}
	return m.Model.String()
}

// foreignModel is a model that peers advertise and that is not here.
type foreignModel struct {
	*heardModel
	name string // what it is called here: no other model has it
}

// foreign lists the models that only peers have, by name, which is what most voices call them.
// Names are not unique in a swarm. A name stands for the model of this node that has it, else
// for the one that most voices serve, then hold, then for the first identifier; the others of
// that name are NAME:TAG.
func (r *running) foreign() []foreignModel {
	local, names := map[cid.Cid]bool{}, map[string]bool{}
	for _, m := range r.catalog.List() {
		local[m.CID], names[m.Name] = true, true
	}
	var out []foreignModel
	for _, m := range r.heard() {
		if !local[m.id] {
			out = append(out, foreignModel{heardModel: m, name: m.called()})
		}
	}
	slices.SortFunc(out, func(a, b foreignModel) int { return cmp.Or(strings.Compare(a.name, b.name), a.before(b.heardModel)) })
	for i := range out {
		if names[out[i].name] {
			out[i].name = catalog.Tagged(out[i].name, out[i].id)
		}
		names[out[i].name] = true
	}
	return out
}
