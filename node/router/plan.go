package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// ErrNoChain means that no chain of peers covers the model now.
var ErrNoChain = errors.New("no chain of peers covers the model")

// Link is a stage of a chain and what it is expected to cost.
type Link struct {
	Peer    host.ID       `json:"peer"`
	Name    string        `json:"name,omitempty"`
	Range   wire.Range    `json:"range"`
	Prompt  time.Duration `json:"prompt_ns"`  // to compute the prompt
	Compute time.Duration `json:"compute_ns"` // to compute a token of the answer
	Queue   time.Duration `json:"queue_ns"`   // before each step, as is RTT
	RTT     time.Duration `json:"rtt_ns"`     // from the stage before, there and back

	// Path is the way from the stage before: direct, relayed or, if neither side has measured it,
	// untried. Via is the relay, if that is known. Within a peer there is none.
	Path host.PathState `json:"path,omitempty"`
	Via  host.ID        `json:"via,omitempty"`

	addrs     []wire.Addr
	token     time.Duration // to compute a token of a long prompt
	seq       uint64        // of the advert that this is from
	tells     bool          // its progress, when asked to
	demerits  int           // what speaks against the peer, see blame.go
	suspected int           // how much of that is not known yet
}

// Chain is a way through a model and how long a request is expected to take on it.
type Chain struct {
	Model cid.Cid       `json:"model"`
	Links []Link        `json:"links"`
	First time.Duration `json:"first_ns"` // to the first token, or to the only result
	Token time.Duration `json:"token_ns"` // for each token after it
	Total time.Duration `json:"total_ns"`

	demerits int
}

// String names the peers and ranges of a chain, for logs.
func (c *Chain) String() string {
	var parts []string
	for _, l := range c.Links {
		parts = append(parts, fmt.Sprintf("%s[%d:%d]", l.Peer, l.Range.First, l.Range.Last))
	}
	return strings.Join(parts, " > ")
}

// Left is a stage that the choice did not consider, and why.
type Left struct {
	Peer   host.ID    `json:"peer"`
	Range  wire.Range `json:"range"`
	Reason string     `json:"reason"`

	lost bool // the peer, a moment ago
}

// Choice is a plan with what speaks for and against it.
type Choice struct {
	Chain   *Chain `json:"chain,omitempty"`
	Stages  int    `json:"stages"` // considered
	LeftOut []Left `json:"left_out,omitempty"`
	// Doubtful means that the chain has peers that failed a moment ago: there is no other.
	Doubtful bool   `json:"doubtful,omitempty"`
	Missing  string `json:"missing,omitempty"` // what nobody serves, if there is no chain
	// Lost means that there is no chain, and peers that serve some of the model were lost a moment
	// ago: they are being dialled, and may be back.
	Lost bool `json:"lost,omitempty"`
	// Alone means that there is no chain, and this peer would answer with the whole model, which it
	// has but did not load. The router does not know; who asks it does.
	Alone bool `json:"alone,omitempty"`
}

// candidate is a stage that may become part of a chain.
type candidate struct {
	link    Link
	ways    map[host.ID]hop // that its peer tells of
	reached bool            // there is a chain up to and with it
	best    cost            // of the best one
	prev    *candidate
	apart   *candidate // one that would come before it, but is known not to reach it
}

// cost is what chains are chosen by: what speaks against their peers first, then their time.
type cost struct {
	demerits int
	time     time.Duration
}

func (c cost) less(d cost) bool {
	return c.demerits < d.demerits || c.demerits == d.demerits && c.time < d.time
}

// view is how a session sees the peers, beyond what the router knows of them.
type view struct {
	demerits func(a *wire.Advert) int // nil: none
	without  func(p host.ID) string   // why a peer is out of question, "" if it is not; nil: none is
}

// Plan chooses the chain with the least expected time for a request, from the adverts known
// now. Peers that failed a moment ago are part of it only if there is no chain without. If
// there is none at all, the choice says what is missing and the error is ErrNoChain.
func (r *Router) Plan(req Request) (*Choice, error) { return r.plan(req, view{}) }

// Await is Plan, but where there is no chain because a peer was lost a moment ago it waits until that
// one is back or gone, at most for the time of Patience.
func (r *Router) Await(ctx context.Context, req Request) (*Choice, error) {
	end := r.cfg.Now().Add(r.cfg.Patience)
	for {
		choice, err := r.Plan(req)
		if !choice.Lost || !r.cfg.Now().Before(end) || !pause(ctx, lookLost) {
			return choice, err
		}
	}
}

func (r *Router) plan(req Request, v view) (*Choice, error) {
	work := workOf(req)
	all, left := r.candidates(req, work, v)
	choice := &Choice{Stages: len(all)}
	// Stages in the order in which a token can pass them: a stage only follows one that
	// ends where it begins, so all its predecessors come first.
	slices.SortFunc(all, func(a, b *candidate) int {
		x, y := a.link.Range, b.link.Range
		return cmp.Or(cmp.Compare(x.First, y.First), boolCompare(y.Embed, x.Embed), cmp.Compare(x.Last, y.Last), cmp.Compare(a.link.Peer, b.link.Peer))
	})
	var best *candidate
	for i, c := range all {
		if c.link.Range.Embed {
			c.arrive(nil, r.hop(nil, c), work)
		} else {
			for _, p := range all[:i] {
				if p.reached && !p.link.Range.Head && p.link.Range.Last == c.link.Range.First {
					c.arrive(p, r.hop(p, c), work)
				}
			}
		}
		if !c.reached && c.apart != nil {
			left = append(left, Left{Peer: c.link.Peer, Range: c.link.Range, Reason: fmt.Sprintf("%s does not reach it", c.apart.link.Peer)})
		}
		if c.reached && c.link.Range.Head && int(c.link.Range.Last) == req.Blocks && (best == nil || c.best.less(best.best)) {
			best = c
		}
	}
	choice.LeftOut = left
	if best == nil {
		choice.Missing = missing(all, req.Blocks) + leftOut(left)
		choice.Lost = slices.ContainsFunc(left, func(l Left) bool { return l.lost })
		return choice, fmt.Errorf("%w: %s", ErrNoChain, choice.Missing)
	}
	chain := &Chain{Model: req.Model, demerits: best.best.demerits}
	used := map[host.ID]bool{}
	for c := best; c != nil; c = c.prev {
		used[c.link.Peer] = true
		chain.Links = append(chain.Links, c.link)
		chain.First = sum(chain.First, work.first(&c.link))
		chain.Token = sum(chain.Token, c.link.step())
	}
	slices.Reverse(chain.Links)
	chain.Total = sum(chain.First, times(chain.Token, work.steps))
	choice.Chain, choice.Doubtful = chain, chain.demerits > 0
	for _, c := range all {
		if c.link.demerits > 0 && !used[c.link.Peer] {
			reason := "failed a moment ago"
			if c.link.demerits == c.link.suspected {
				reason = "may be at fault, which is being found out"
			}
			choice.LeftOut = append(choice.LeftOut, Left{Peer: c.link.Peer, Range: c.link.Range, Reason: reason})
		}
	}
	return choice, nil
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// arrive takes p as the predecessor of c if that is cheaper than what is known.
func (c *candidate) arrive(p *candidate, h hop, work work) {
	if h.state == host.PathUnreachable {
		c.apart = p
		return
	}
	l := c.link
	l.RTT, l.Path, l.Via = h.rtt, h.state, h.via
	total := cost{l.demerits, sum(work.first(&l), times(l.step(), work.steps), times(h.toll(), len(work.chunks)+work.steps))}
	if p != nil {
		total = cost{total.demerits + p.best.demerits, sum(total.time, p.best.time)}
	}
	if !c.reached || total.less(c.best) {
		c.reached, c.best, c.prev, c.link = true, total, p, l
	}
}

// candidates lists the stages of a model that could take a session.
func (r *Router) candidates(req Request, work work, v view) (all []*candidate, left []Left) {
	for _, a := range r.cfg.Adverts() {
		demerits, suspected := r.demerits(a, req.Model)
		if v.demerits != nil {
			demerits += v.demerits(a)
		}
		away, lost := "", false
		if a.Peer != r.cfg.Self {
			switch p := r.cfg.Path(a.Peer); p.State {
			case host.PathUnreachable:
				away = "unreachable: " + p.Reason
			case host.PathLost:
				away, lost = fmt.Sprintf("lost %.1f s ago, being dialled again", r.cfg.Now().Sub(p.Since).Seconds()), true
			}
		}
		for _, m := range a.Models {
			if m.Model != req.Model {
				continue
			}
			ways, own := waysOf(a), len(all)
			for _, s := range m.Served {
				if slices.ContainsFunc(all[own:], func(c *candidate) bool { return c.link.Range == s.Range }) {
					continue // each stage after it would look at it again
				}
				reason := unfit(s, req.tokens())
				if away != "" {
					reason = away
				}
				if v.without != nil && reason == "" {
					reason = v.without(a.Peer)
				}
				if reason != "" {
					left = append(left, Left{Peer: a.Peer, Range: s.Range, Reason: reason, lost: lost})
					continue
				}
				step, token := ofBlocks(s.Range, s.StepNs), ofBlocks(s.Range, s.PrefillNs)
				all = append(all, &candidate{ways: ways, link: Link{
					Peer: a.Peer, Name: a.Name, Range: s.Range, addrs: a.Addrs,
					Prompt: work.prompt(step, token), Compute: step, Queue: times(step, int(s.Queue)),
					token: token, seq: a.Seq, tells: a.Peer == r.cfg.Self || a.Capability >= protocol.ProgressCapability,
					demerits: demerits, suspected: suspected,
				}})
			}
		}
	}
	return all, left
}

func unfit(s wire.Served, maxTokens int) string {
	switch {
	case s.FreeSessions == 0:
		return "no session free"
	case s.FreeTokens < uint64(maxTokens):
		return fmt.Sprintf("memory for %d tokens, the request needs %d", s.FreeTokens, maxTokens)
	}
	return ""
}

// shownLeft bounds the stages that an error names.
const shownLeft = 3

// leftOut says why stages did not count, for an error.
func leftOut(left []Left) string {
	if len(left) == 0 {
		return ""
	}
	var parts []string
	for _, l := range left[:min(len(left), shownLeft)] {
		parts = append(parts, fmt.Sprintf("[%d:%d] at %s (%s)", l.Range.First, l.Range.Last, l.Peer, l.Reason))
	}
	if n := len(left) - shownLeft; n > 0 {
		parts = append(parts, fmt.Sprintf("%d more", n))
	}
	return "; left out: " + strings.Join(parts, ", ")
}

// missing says which piece of a model no stage covers.
func missing(all []*candidate, blocks int) string {
	if len(all) == 0 {
		return "no peer serves any of it now"
	}
	var embed, head bool
	served := make([]bool, blocks)
	for _, c := range all {
		r := c.link.Range
		embed, head = embed || r.Embed, head || r.Head
		for b := r.First; b < r.Last && int(b) < blocks; b++ {
			served[b] = true
		}
	}
	var gaps []string
	if !embed {
		gaps = append(gaps, "the embedding")
	}
	for b := 0; b < blocks; b++ {
		if served[b] {
			continue
		}
		first := b
		for b+1 < blocks && !served[b+1] {
			b++
		}
		gaps = append(gaps, fmt.Sprintf("blocks %d-%d", first, b))
	}
	if !head {
		gaps = append(gaps, "the head")
	}
	if len(gaps) == 0 && slices.ContainsFunc(all, func(c *candidate) bool { return !c.reached && c.apart != nil }) {
		return "peers that serve it do not reach each other"
	}
	if len(gaps) == 0 {
		return "the ranges that are served do not fit together"
	}
	return "nobody serves " + strings.Join(gaps, ", ")
}
