package harm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/hostile"
	"github.com/covey-network/covey/testnet/runner"
)

const (
	strangerStreams = 20
	// strangerSlack is how much longer than the protocol says a stranger may be there: it
	// takes time to arrive.
	strangerSlack = 3 * time.Second
	// settleMemory is how long a process gets to give memory back.
	settleMemory = 20 * time.Second
	// keptMiB is what may stay of a flood: buffers that the next peers use.
	keptMiB = 64
)

// Floods sends all that is no conversation: silent streams, strangers, and garbage as
// gossip, frames and blocks. After each the peer answers as before.
func Floods(ctx context.Context, l *Lab) (out []Figure, err error) {
	s, err := l.startServed(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if !l.Short {
		if err := rested(ctx, s, "one", asking); err != nil {
			return nil, err
		}
	}
	q := &asker{model: "demo", tokens: tokensPerAnswer}
	want, err := q.settled(ctx, s, asking)
	if err != nil {
		return nil, err
	}
	var st api.Status
	if err := s.Node("one").API().Get(ctx, "/covey/v1/status", nil, &st); err != nil {
		return nil, err
	}
	f := &flooded{l: l, s: s, victim: st, at: st.Addrs[0]}
	for _, step := range []struct {
		name string
		run  func(ctx context.Context) ([]Figure, error)
	}{
		{"silent streams", f.streams},
		{"frames of garbage", f.frames},
		{"gossip of garbage", f.gossip},
		{"wrong blocks", f.blocks},
		{"strangers", f.strangers},
	} {
		figures, err := step.run(ctx)
		if err != nil {
			return out, fmt.Errorf("%s: %w", step.name, err)
		}
		bad := 0.0
		if a := q.ask(ctx, s.Node(asking).API(), nil); a.err != nil || a.text != want {
			l.say("after %s: %q, %v", step.name, a.text, a.err)
			bad = 1
		}
		out = append(append(out, figures...), Figure{step.name + ": answers wrong or failed after them", bad, 0, "answers"})
	}
	return out, nil
}

// rejectedAdverts is the metric of what a node was told and no honest peer tells.
const rejectedAdverts = `host_adverts_total\{verdict="reject"\}`

// flooded is the swarm that is flooded.
type flooded struct {
	l      *Lab
	s      *runner.Swarm
	victim api.Status
	at     wire.Addr
}

// with runs a hostile member while f runs.
func (fl *flooded) with(ctx context.Context, claim *hostile.Claim, f func(a *attacker) error) error {
	a, err := fl.l.attack(ctx, fl.s, "one", claim)
	if err != nil {
		return err
	}
	return errors.Join(f(a), a.stop())
}

func (fl *flooded) streams(ctx context.Context) ([]Figure, error) {
	n := fl.l.size(70_000, 3000)
	return nil, fl.with(ctx, nil, func(a *attacker) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		got := a.Streams(ctx, fl.victim.Peer, n)
		fl.l.say("%d of %d silent streams were let in", got, n)
		return happened(got, "silent streams were let in")
	})
}

func (fl *flooded) frames(ctx context.Context) ([]Figure, error) {
	return nil, fl.with(ctx, nil, func(a *attacker) error {
		n, err := a.Frames(ctx, fl.victim.Peer, fl.l.size(20, 1))
		fl.l.say("%d streams of garbage", n)
		return errors.Join(err, happened(n, "streams of garbage were let in"))
	})
}

func (fl *flooded) gossip(ctx context.Context) ([]Figure, error) {
	cfg, err := fl.l.invited(ctx, fl.s, "one")
	if err != nil {
		return nil, err
	}
	before, _, err := metric(ctx, fl.s.Node("one"), rejectedAdverts)
	if err != nil {
		return nil, err
	}
	if err := hostile.Gossip(ctx, cfg, fl.at, fl.l.size(10_000, 500)); err != nil {
		return nil, err
	}
	return nil, fl.s.Wait(ctx, "garbage to arrive as gossip", func(ctx context.Context) (bool, error) {
		after, _, err := metric(ctx, fl.s.Node("one"), rejectedAdverts)
		return after > before, err
	})
}

// blocks lets a newcomer fetch the model while a peer offers wrong blocks of it.
func (fl *flooded) blocks(ctx context.Context) ([]Figure, error) {
	return nil, fl.with(ctx, &hostile.Claim{Model: "demo", Mode: wrongBlocks}, func(a *attacker) error {
		if err := fl.s.Join(ctx, nodes("newcomer")[0]); err != nil {
			return err
		}
		if err := fl.s.Hear(ctx, "newcomer", "demo"); err != nil {
			return err
		}
		p := fl.s.Node("newcomer").API()
		// It must know the peer that lies, or that one is not asked.
		err := fl.s.Wait(ctx, "the newcomer to meet the liar", func(ctx context.Context) (bool, error) {
			var peers []api.Peer
			err := p.Get(ctx, "/covey/v1/peers", nil, &peers)
			for _, v := range peers {
				if v.ID == a.ID() && v.Expected {
					return true, nil
				}
			}
			return false, err
		})
		if err != nil {
			return err
		}
		if _, err := p.Watch(ctx, "/covey/v1/models/pull", api.PullRequest{Model: "demo"}, func(api.Event) {}); err != nil {
			return fmt.Errorf("pull past wrong blocks: %w", err)
		}
		fl.l.say("the liar was asked over %d streams and served %d wrong blocks", a.Asked(), a.Harm())
		if a.Harm() == 0 {
			return errors.New("nobody asked the peer with wrong blocks")
		}
		return nil
	})
}

// strangers come without a token and are silent.
func (fl *flooded) strangers(ctx context.Context) ([]Figure, error) {
	before, err := memory(fl.s.Node("one"), "VmRSS")
	if err != nil {
		return nil, err
	}
	n := fl.l.size(600, 20)
	stay, err := hostile.Strangers(ctx, fl.at, n, strangerStreams, protocol.HelloTimeout+10*strangerSlack)
	if err != nil {
		return nil, err
	}
	fl.l.say("%d strangers had %d streams; the last of them was cut off after %v", n, stay.Streams, stay.Longest)
	if err := happened(stay.Streams, "streams of strangers were let in"); err != nil {
		return nil, err
	}
	out := []Figure{{"strangers: longest stay", stay.Longest.Seconds(), (protocol.HelloTimeout + strangerSlack).Seconds(), "s"}}
	if fl.l.Short {
		return out, nil
	}
	if err := hostile.Pause(ctx, settleMemory); err != nil {
		return nil, err
	}
	after, err := memory(fl.s.Node("one"), "VmRSS")
	return append(out, Figure{"600 strangers: memory that stays", after - before, keptMiB, "MiB"}), err
}
