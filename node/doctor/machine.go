package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/store"
)

func checkData(f *Facts) []api.Finding {
	const check = "data"
	d := &f.Data
	switch {
	case d.Err != "":
		return one(check, api.FindingFail, d.Err, "give this user the directory, or choose another with --data")
	case d.Second != 0:
		return one(check, api.FindingFail,
			fmt.Sprintf("a second node (process %d) was started on %s %s ago and refused, as a data directory is one node's; the first (process %d) runs on unharmed", d.Second, d.Dir, span(d.SecondAgo), d.PID),
			"for two nodes on one machine give the second another directory and port: covey up --data DIR --api 127.0.0.1:PORT; else leave the second one out")
	case f.Running:
		return ok(check, "a node (process %d) runs on %s; a second one needs another --data and --api", d.PID, d.Dir)
	case d.Held && d.Claimed:
		return one(check, api.FindingFail, fmt.Sprintf("another node holds %s and does not answer: it starts, ends or hangs", d.Dir),
			"wait a moment; if it stays so, end that covey up, or give this node another --data and --api")
	case d.Held:
		return one(check, api.FindingWarn, fmt.Sprintf("another covey command uses %s: a node starts there when it has ended", d.Dir), "let it end, or give this node another --data")
	case d.Missing:
		return one(check, api.FindingWarn, d.Dir+" is not there yet, and no node runs on it", "start one with covey up"+d.Flag+", and --join TOKEN to join a swarm; or name another directory with --data")
	}
	out := one(check, api.FindingWarn, "no node runs on "+d.Dir+": what follows was found from outside", "start it with covey up"+d.Flag)
	if d.Book != "" {
		out = append(out, one(check, api.FindingWarn, "the peers that were met are not known: "+d.Book, "nothing, if a peer that the token names is up: a node writes the file anew")...)
	}
	return out
}

// soon is how long before its end a membership that is not renewed is worth a word.
const soon = 7 * 24 * time.Hour

func checkMembership(f *Facts) []api.Finding {
	const check = "membership"
	join := "covey up" + f.Data.Flag + " --join TOKEN"
	token := "ask the founder or a deputy for a token of covey invite, and start with " + join
	date := func(t time.Time) string { return t.Local().Format(time.DateTime) }
	m := f.Membership
	if t := f.Token; t != nil && t.Other {
		return coded(api.TroubleTokenOther, one(check, api.FindingFail, "the token is of another swarm than "+f.Data.Dir, "join with another --data, or remove the directory to start anew, which deletes its identity, its swarm's key if it founded one, and all models"))
	} else if t != nil && !f.Now.Before(t.Expires) && (m == nil || m.Ended() || m.State == "joining") {
		return coded(api.TroubleTokenEnded, one(check, api.FindingFail, fmt.Sprintf("the token expired on %s, %s ago, before a peer of the swarm accepted it from this machine", date(t.Expires), span(f.Now.Sub(t.Expires))), token))
	}
	_, _, apart := clocksApart(f)
	switch {
	case m == nil && f.Token != nil:
		return ok(check, "the token is good until %s, and not used yet", date(f.Token.Expires))
	case m == nil:
		return unknown(check, "this machine is of no swarm yet: covey up%s founds one, %s joins one", f.Data.Flag, join)
	case m.State == "revoked" && m.Trouble.Is(api.TroublePeerRevoked):
		return coded(api.TroublePeerRevoked, one(check, api.FindingFail, "the membership was revoked: the founder has taken this machine off the swarm; other peers do not talk to it, and a new token does not change that",
			"ask the founder to take it back with covey peers --unrevoke and the identity that covey status"+f.Data.Flag+" tells here; or join as a new peer with another --data"))
	case m.State == "revoked":
		return coded(api.TroubleRevoked, one(check, api.FindingFail, "the membership was revoked: the founder has taken this machine, or the invitation it came with, off the swarm, and other peers do not talk to it",
			"ask the founder for a new token and start with "+join+"; if that is refused too, covey peers --unrevoke at the founder's, or another --data here"))
	case m.State == "over" && m.Expires.After(f.Now):
		return coded(api.TroubleNotBegun, one(check, api.FindingFail, fmt.Sprintf("the membership has not begun by this machine's clock, which says %s", date(f.Now)), "set the clock"))
	case m.State == "over":
		return coded(api.TroubleEnded, one(check, api.FindingFail, fmt.Sprintf("the membership expired on %s, %s ago: other peers do not talk to this node", date(m.Expires), span(f.Now.Sub(m.Expires))), token))
	case m.State == "founder":
		return ok(check, "founder of the swarm: renews itself")
	case m.Trouble != nil && apart:
		return coded(m.Trouble.Code, one(check, api.FindingWarn, m.Trouble.What, "see clock"))
	case m.Trouble != nil && (m.Expires.Sub(f.Now) > soon || m.Trouble.Is(api.TroubleTurnedAway)):
		return coded(m.Trouble.Code, one(check, api.FindingFail, m.Trouble.What, token))
	case m.State == "joining" && !slices.ContainsFunc(f.Peers, func(p Peer) bool { return p.Connected() }):
		return coded(api.TroubleNotJoined, one(check, api.FindingWarn, fmt.Sprintf("no peer has let this machine in yet; the token is good until %s", date(m.Expires)), "see reach"))
	case m.Trouble != nil:
		return coded(m.Trouble.Code, one(check, api.FindingWarn, m.Trouble.What, "let the founder's node or a deputy's run, so that it renews this one's"))
	}
	left := m.Expires.Sub(f.Now)
	return ok(check, "%s until %s, for another %s; renews from %s on", m.State, date(m.Expires), span(left), m.RenewsAt.Local().Format(time.DateOnly))
}

// setClock is what to do about a clock.
const setClock = "turn network time on (timedatectl set-ntp true, or the system's date settings): peers do not hear each other and refuse memberships with clocks apart"

// clocksApart tells which peer's clock is ahead of this machine's by how much, where one of the two
// turned the other away for that.
func clocksApart(f *Facts) (who string, by time.Duration, ok bool) {
	if m := f.Membership; m != nil && m.Trouble.Is(api.TroubleClock) {
		return "a peer", m.Trouble.Clock, true
	}
	for _, p := range f.Peers {
		if !p.Connected() && p.Refused != 0 {
			return cmp.Or(p.Name, "a peer"), p.Refused, true
		}
	}
	return "", 0, false
}

func checkClock(f *Facts) []api.Finding {
	const check = "clock"
	var offsets []time.Duration
	var far []string
	for _, p := range f.Peers {
		if !p.Timed {
			continue
		}
		offsets = append(offsets, p.Clock)
		if p.Clock.Abs() > api.ClockFar {
			far = append(far, fmt.Sprintf("that of %s is %s", p.Name, ahead(p.Clock)))
		}
	}
	if who, by, apart := clocksApart(f); len(offsets) == 0 && apart {
		return coded(api.TroubleClock, one(check, api.FindingFail, fmt.Sprintf("this machine's clock says %s, and beside it that of %s is %s, so that one of the two turned the other away: one is wrong", f.Now.Local().Format(time.DateTime), who, ahead(by)), "look which, and "+setClock))
	}
	if len(offsets) == 0 {
		return unknown(check, "this machine's clock says %s; no peer is connected to compare it with", f.Now.Local().Format(time.DateTime))
	}
	slices.SortFunc(offsets, func(a, b time.Duration) int { return int(a - b) })
	median := offsets[(len(offsets)-1)/2]
	switch {
	case len(far) == 0:
		worst := slices.MaxFunc(offsets, func(a, b time.Duration) int { return int(a.Abs() - b.Abs()) })
		return ok(check, "at most %s from those of %s", span(worst), count(len(offsets), "peer"))
	case len(offsets) > 2 && median.Abs() > api.ClockFar:
		return one(check, api.FindingFail, fmt.Sprintf("this machine's clock is wrong: it is %s by those of %d of %d peers, and says %s", ahead(-median), len(far), len(offsets), f.Now.Local().Format(time.DateTime)), setClock)
	case len(offsets) > 2:
		return one(check, api.FindingWarn, fmt.Sprintf("the clocks of %s are wrong, this machine's is like those of most: %s", count(len(far), "peer"), list(far)), "on those machines "+setClock)
	}
	return one(check, api.FindingFail, fmt.Sprintf("this machine's clock says %s, and beside it %s: one of them is wrong", f.Now.Local().Format(time.DateTime), list(far)), "look which, and "+setClock)
}

func ahead(by time.Duration) string {
	if by < 0 {
		return span(by) + " slow"
	}
	return span(by) + " fast"
}

func checkDisk(f *Facts) []api.Finding {
	const check = "disk"
	d := f.Disk
	if d == nil {
		return unknown(check, "the disk of %s was not looked at", f.Data.Dir)
	}
	free := fmt.Sprintf("%s of %s free, of which %s must stay free", store.BytesText(d.Free), store.BytesText(d.Total), store.BytesText(d.Margin))
	lent, room := "", "make room: " // where the store does not say itself what mends it
	if d.Models > 0 {
		room += fmt.Sprintf("covey model rm MODEL%s works on a full disk too; or delete other files of this disk", f.Data.Flag)
	} else {
		room += "delete other files of this disk, or start the node with --data on another"
	}
	switch {
	case d.Limit > 0:
		room += ", or lend more with --disk"
		lent = ", " + store.BytesText(d.Limit) + " lent"
	case d.Full == "":
		lent = ", no limit"
	}
	use := fmt.Sprintf("models use %s and can use %s more%s", store.BytesText(d.Used), store.BytesText(d.Room), lent)
	if d.Models == 0 {
		use = fmt.Sprintf("models can use %s, none is here%s", store.BytesText(d.Room), lent)
	}
	switch {
	case d.Full != "":
		return one(check, api.FindingFail, fmt.Sprintf("%s has no room for models, and the node is read-only: %s (%s)", f.Data.Dir, d.Full, use), cmp.Or(d.Mend, room))
	case d.Damaged > 0:
		return one(check, api.FindingWarn, fmt.Sprintf("%s were found and are not fetched again yet: %s; %s", count(d.Damaged, "damaged block"), free, use),
			fmt.Sprintf("look at the disk's health; covey model pull MODEL%s fetches what is missing", f.Data.Flag))
	case d.Free < 2*d.Margin:
		return one(check, api.FindingWarn, free+"; "+use, room)
	}
	return ok(check, "%s; %s", free, use)
}

func checkMemory(f *Facts) []api.Finding {
	const check = "memory"
	m := f.Memory
	if m == nil {
		return unknown(check, "the memory was not looked at")
	}
	text := fmt.Sprintf("%s lent of %s, %s of it unused; the machine has %s available", store.BytesText(m.Lent), store.BytesText(m.Total), store.BytesText(m.Free), store.BytesText(m.Available))
	if m.Free > m.Available {
		return one(check, api.FindingWarn, text+": other programs need what is lent", "lend less with --memory, or end other programs; else the machine may swap, or end the node")
	}
	return ok(check, "%s", text)
}

func checkKernels(f *Facts) []api.Finding {
	const check = "kernels"
	c := f.CPU
	switch {
	case c.Set == "":
		return unknown(check, "not looked at")
	case c.Set != c.Best:
		return one(check, api.FindingWarn, fmt.Sprintf("%s is in use, this processor has %s", c.Set, c.Best), "start the node without COVEY_CPU")
	case c.Set == "generic" && c.Arch == "amd64":
		return one(check, api.FindingWarn, "this processor lacks AVX2: models run on generic code, many times slower", "in a virtual machine let it see the host's processor (CPU type host)")
	case c.Set == "generic":
		return one(check, api.FindingWarn, "there are no kernels for "+c.Arch+" yet: models run on generic code, many times slower", "")
	}
	return ok(check, "%s on %s", c.Set, c.Arch)
}

func checkPorts(f *Facts) (out []api.Finding) {
	const check = "ports"
	var open []string
	for _, p := range f.Ports {
		switch {
		case p.Instead != "":
			out = append(out, one(check, api.FindingWarn, fmt.Sprintf("%s for %s is taken by another program, so the node listens on %s: tokens made before do not lead here", p.Addr, p.For, p.Instead),
				"end that program and start the node again, or make new tokens")...)
		case p.Taken:
			out = append(out, one(check, api.FindingFail, fmt.Sprintf("%s for %s is taken by another program", p.Addr, p.For), "end it, or choose another port with "+flagOf(p.For))...)
		case p.Err != "":
			out = append(out, one(check, api.FindingFail, fmt.Sprintf("%s for %s cannot be listened on: %s", p.Addr, p.For, p.Err), "choose another address with "+flagOf(p.For))...)
		case p.Open:
			open = append(open, p.Addr+" for "+p.For)
		default:
			open = append(open, p.Addr+" for "+p.For+", free now")
		}
	}
	if len(open) > 0 {
		out = append(out, ok(check, "%s", list(open))...)
	}
	if len(f.Ports) == 0 {
		out = append(out, unknown(check, "the node listens on none for peers")...)
	}
	return out
}

func flagOf(use string) string {
	if use == "API" {
		return "--api"
	}
	return "--listen"
}
