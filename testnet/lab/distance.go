package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/covey-network/covey/node/api"
)

// Distance is how fast bytes come over a wire, in bytes a second.
type Distance struct {
	Stream float64 // over one QUIC stream, once the handshake is done
	Pull   float64 // of a model that a node pulls, from the command to its end
}

// distanceLimit is how long each of the two may take.
const distanceLimit = 30 * time.Minute

// Distance measures how fast the weights of the model come over a wire: as bytes of one QUIC stream, then
// by covey model pull. Nodes listen at a multiaddr; empty: at all that they do by themselves.
func (r *Reach) Distance(ctx context.Context, w Wire, listen string) (d Distance, err error) {
	weights, err := os.Stat(filepath.Join(r.Model, "model.safetensors"))
	if err != nil {
		return d, err
	}
	size := weights.Size()
	n, err := r.build(ctx, Spec{Hosts: []Host{{Name: "pub", Kind: Public}, {Name: "a", Kind: Public}}, Far: map[string]Wire{"a": w}}, "distance")
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	limited, cancel := context.WithTimeout(n.ctx, distanceLimit)
	defer cancel()
	took, err := n.lab.stream(limited, "pub", "a", publicHost(0), publicHost(1), size)
	if err != nil {
		return d, fmt.Errorf("one stream: %w", err)
	}
	d.Stream = float64(size) / took.Seconds()
	n.Say("one stream brings %.0f KB/s", d.Stream/1000)
	if took, err = n.pull(n.ctx, listen); err != nil {
		return d, err
	}
	d.Pull = float64(size) / took.Seconds()
	n.Say("a pull brings %.0f KB/s", d.Pull/1000)
	return d, nil
}

// pull has pub found a swarm with the model, and measures how long a takes to pull it.
func (n *nodes) pull(ctx context.Context, listen string) (time.Duration, error) {
	args := []string{"--relay", "off"}
	if listen != "" {
		args = append(args, "--listen", listen)
	}
	if err := n.start("pub", args...); err != nil {
		return 0, err
	}
	if err := n.run(ctx, "pub", []string{"model", "import", n.Model, "--name", model}); err != nil {
		return 0, err
	}
	var in api.Invite
	if err := n.ask(ctx, startLimit, "pub", &in, "invite"); err != nil {
		return 0, err
	}
	if err := n.start("a", append(args, "--join", in.Token)...); err != nil {
		return 0, err
	}
	if err := n.hears(ctx); err != nil {
		return 0, err
	}
	begin := time.Now()
	_, err := n.covey(ctx, distanceLimit, "a", "model", "pull", model)
	return time.Since(begin), err
}
