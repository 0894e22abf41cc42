package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/node/api"
)

// Sick is a set-up that does not work, whose cause covey doctor is to name on the host a: a home, in
// a swarm of two public nodes, pub and pub2, that do not relay.
type Sick struct {
	Name    string
	Kind    Kind     // of a
	Other   Kind     // of a host b, if there is one
	Drops   []string // what the router of a drops once a has joined, in nft's words
	Founder bool     // a knows pub alone, and is started when the router drops already

	Check, Says string // the finding that is to fail, and what it is to say
}

// Patients are the set-ups that need a network of their own; the others that covey doctor knows are
// in testnet/blackbox.
func Patients() []Sick {
	const pub = public4 + "10" // the first host
	return []Sick{
		{Name: "firewall before the founder", Kind: Endpoint, Drops: []string{"ip daddr " + pub}, Check: "reach", Says: "a firewall drops the connections"},
		{Name: "firewall that lets only some ports pass", Kind: Endpoint, Drops: []string{"iifname home tcp dport != { 80, 443 }", "meta l4proto udp"}, Founder: true, Check: "reach", Says: "a firewall drops connections to"},
		{Name: "black hole", Kind: Endpoint, Drops: []string{"meta l4proto { tcp, udp, icmp }"}, Check: "reach", Says: "black hole"},
		{Name: "symmetric NAT without a relay", Kind: Symmetric, Other: Symmetric, Check: "relay", Says: "symmetric NAT without any relay"},
		{Name: "UDP blocked", Kind: NoUDP, Check: "udp", Says: "UDP is blocked"},
	}
}

// doctorLimit is how long a finding may take: what was connected is lost after some pings.
const doctorLimit = 60 * time.Second

// Seen is what covey doctor says of a patient.
type Seen struct {
	Text  string        // as people see it
	After time.Duration // since the fault was there
	Err   error         // why it does not name the cause; nil: it does
}

// Doctor sets a patient up and lets covey doctor look at it, until it names the cause.
func (r *Reach) Doctor(ctx context.Context, s *Sick) (_ *Seen, err error) {
	spec := Spec{Hosts: []Host{{Name: "pub", Kind: Public}, {Name: "pub2", Kind: Public}, {Name: "a", Kind: s.Kind}}}
	if s.Other != "" {
		spec.Hosts = append(spec.Hosts, Host{Name: "b", Kind: s.Other})
	}
	n, err := r.build(ctx, spec, strings.ReplaceAll(s.Name, " ", "-"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.fall(s); err != nil {
		return nil, err
	}
	return n.examine(n.ctx, s), nil
}

// fall starts the nodes and then puts the router's rules into force.
func (n *nodes) fall(s *Sick) error {
	if err := n.start("pub", "--relay", "off"); err != nil {
		return err
	}
	var in api.Invite
	if err := n.ask(n.ctx, startLimit, "pub", &in, "invite"); err != nil {
		return err
	}
	if s.Founder {
		if err := n.drop(n.ctx, s.Drops); err != nil {
			return err
		}
		return n.start("a", "--join", in.Token, "--relay", "off")
	}
	hosts := []string{"pub2", "a"}
	if s.Other != "" {
		hosts = append(hosts, "b")
	}
	for _, h := range hosts {
		if err := n.start(h, "--join", in.Token, "--relay", "off"); err != nil {
			return err
		}
	}
	for _, h := range hosts {
		for _, other := range []string{"pub", "pub2"} {
			if h == other {
				continue
			}
			if _, err := n.knows(n.ctx, time.Now(), joinLimit, h, other); err != nil {
				return err
			}
		}
	}
	return n.drop(n.ctx, s.Drops)
}

// drop has the router of a drop more, also of connections that stand.
func (n *nodes) drop(ctx context.Context, what []string) error {
	for _, d := range what {
		args := append([]string{"nft", "insert", "rule", "inet", "filter", "forward"}, strings.Fields(d)...)
		if out, err := n.lab.Exec(ctx, routerOf("a"), append(args, "drop")...).CombinedOutput(); err != nil {
			return fmt.Errorf("drop %s: %w: %s", d, err, out)
		}
	}
	return nil
}

// examine runs covey doctor on a until it names the cause.
func (n *nodes) examine(ctx context.Context, s *Sick) *Seen {
	seen, since := new(Seen), time.Now()
	seen.Err = wait(ctx, doctorLimit, "covey doctor to name the cause", func(ctx context.Context) error {
		out, failed := n.covey(ctx, askLimit, "a", "doctor", "--json")
		var d api.Diagnosis
		if err := json.Unmarshal(out, &d); err != nil {
			return errors.Join(err, failed)
		}
		if !slices.ContainsFunc(d.Failed(), func(f api.Finding) bool { return f.Check == s.Check && strings.Contains(f.What, s.Says) }) {
			return fmt.Errorf("what fails is %+v, not %s: %s", d.Failed(), s.Check, s.Says)
		}
		return nil
	})
	seen.After = time.Since(since)
	out, err := n.covey(ctx, askLimit, "a", "doctor") // its exit code says that something fails
	if seen.Text = string(out); len(out) == 0 {
		seen.Err = errors.Join(seen.Err, err)
	}
	return seen
}
