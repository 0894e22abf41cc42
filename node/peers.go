package node

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// shownUnreached bounds the unreachable peers that a line names.
const shownUnreached = 3

// getPeers lists the connected peers, and with all=true the others that are known, too.
func (r *running) getPeers(w http.ResponseWriter, req *http.Request) error {
	known := map[host.ID]*wire.Advert{}
	for _, a := range r.host.Adverts() {
		known[a.Peer] = a
	}
	out := []api.Peer{}
	add := func(v api.Peer, p host.Path) {
		v.Name, v.RTT, v.Path = r.host.Name(v.ID), p.RTT, api.Path{State: string(p.State), Via: p.Via, ViaName: r.host.Name(p.Via), Reason: p.Reason, Since: p.Since, Addr: p.Addr}
		if a := known[v.ID]; a != nil {
			v.Name, v.Version, v.Cores, v.Memory, v.Disk, v.Speeds, v.Models, v.Expected = a.Name, cmp.Or(v.Version, a.Version), a.Cores, a.Memory, a.Disk, a.Speeds, a.Models, true
		}
		out = append(out, v)
	}
	connected := map[host.ID]bool{}
	for _, p := range r.host.Peers() {
		connected[p.ID] = true
		add(api.Peer{ID: p.ID, Version: p.Version, Addrs: p.Addrs, Clock: p.Clock, Scopes: p.Scopes, Expires: p.Expires, Invitation: hex.EncodeToString(p.Invitation)}, p.Path)
	}
	if req.URL.Query().Get("all") == "true" {
		for id, p := range r.host.Paths() {
			if !connected[id] {
				add(api.Peer{ID: id}, p)
			}
		}
		slices.SortFunc(out, func(a, b api.Peer) int { return strings.Compare(string(a.ID), string(b.ID)) })
	}
	return answer(w, out)
}

// paths counts the known peers by the way to them.
func (r *running) paths() (n api.Paths) {
	for _, p := range r.host.Paths() {
		switch p.State {
		case host.PathDirect:
			n.Direct++
		case host.PathRelayed:
			n.Relayed++
		case host.PathUnreachable:
			n.Unreachable++
		case host.PathLost:
			n.Lost++
		default:
			n.Untried++
		}
	}
	return n
}

// reachProblem tells why no peer of the swarm is connected; nothing is "".
func (r *running) reachProblem() string {
	if r.cfg.Offline || len(r.host.Peers()) > 0 {
		return ""
	}
	var found []string
	for id, p := range r.host.Paths() {
		if p.State == host.PathUnreachable {
			found = append(found, fmt.Sprintf("%s: %s", r.called(id), p.Reason))
		}
	}
	if len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	more := ""
	if n := len(found) - shownUnreached; n > 0 {
		found, more = found[:shownUnreached], fmt.Sprintf("; and %d more", n)
	}
	return "no peer of the swarm is reached: " + strings.Join(found, "; ") + more + "; covey doctor says what to do"
}

// nobody tells why no peer gives a model, to follow a sentence; nothing is "". Undef is a model
// that nobody tells of.
func (r *running) nobody(model cid.Cid) string {
	if text := r.holders(model); text != "" {
		return text
	}
	if problem := r.reachProblem(); problem != "" {
		return "; " + problem
	}
	if n := r.paths().Unreachable; n > 0 {
		return fmt.Sprintf("; known peers that are unreachable: %d, see covey peers", n)
	}
	return ""
}

// holders tells which peers have or had a model, but are not reached, to follow a sentence.
func (r *running) holders(model cid.Cid) string {
	var found []string
	for _, a := range r.host.Adverts() {
		switch p := r.host.Path(a.Peer); {
		case !has(a, model):
		case p.State == host.PathUnreachable:
			found = append(found, fmt.Sprintf("; %s has it, but is unreachable: %s", r.called(a.Peer), p.Reason))
		case p.State == host.PathLost:
			found = append(found, fmt.Sprintf("; %s has it, but was lost a moment ago, and is being dialled again", r.called(a.Peer)))
		}
	}
	m, alone := r.membership(), len(r.host.Peers()) == 0
	for _, g := range r.host.Gone() {
		i := slices.IndexFunc(g.Models, func(m wire.ModelAdvert) bool { return m.Model == model })
		if i < 0 {
			continue
		}
		p := r.host.Path(g.Peer)
		did, why := "held", ""
		if len(g.Models[i].Served) > 0 {
			did = "served"
		}
		if p.Reason != "" {
			why = " (" + p.Reason + ")"
		}
		found = append(found, fmt.Sprintf("; it was %s by %s, which has been gone for %s%s: %s", did, r.called(g.Peer), goneText(time.Since(g.Since)), why, goneAdvice(&m, &p, alone)))
	}
	return strings.Join(found[:min(len(found), shownUnreached)], "")
}

// goneAdvice tells what to do about a peer that is gone. Its machine is not to blame where this one is
// no member of the swarm, or hears nothing from any peer.
func goneAdvice(m *api.Membership, p *host.Path, alone bool) string {
	const look = "covey doctor says what to do"
	switch {
	case m.State == "revoked":
		return "this machine's membership was revoked; " + look
	case m.Ended():
		return "this machine's membership is not valid now; " + look
	case p.Reason == "", p.Reason == host.ReasonRefused, p.Reason == host.ReasonEnded, p.Reason == host.ReasonNoAnswer && !alone:
		return "start covey up there again"
	case p.Reason == host.ReasonNoAnswer:
		return "nothing comes back from any peer; " + look
	}
	return look
}

// goneText writes how long a peer has been gone.
func goneText(d time.Duration) string {
	if d >= time.Minute {
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d s", max(1, int(d.Round(time.Second).Seconds())))
}

func has(a *wire.Advert, model cid.Cid) bool {
	return slices.ContainsFunc(a.Models, func(m wire.ModelAdvert) bool { return m.Model == model })
}

// called returns a peer's name if it tells one, else its identity.
func (r *running) called(id host.ID) string { return cmp.Or(r.host.Name(id), id.String()) }

// networkText tells in a line whether others reach this machine and whether it carries their
// connections; without a network it is "".
func (r *running) networkText() string {
	if r.cfg.Offline {
		return ""
	}
	n := r.host.Network()
	text := "not known yet whether others reach this machine"
	switch {
	case len(n.Reachable) > 0:
		text = "others reach this machine at " + n.Reachable[0]
	case n.Private:
		text = "behind a router or firewall"
	}
	if n.Relaying {
		text += "; relays for others"
	} else {
		text += "; does not relay"
	}
	if slices.ContainsFunc(n.Listen, func(a string) bool { return strings.HasSuffix(a, ":443") }) {
		text += "; listens on port 443"
	}
	return text
}
