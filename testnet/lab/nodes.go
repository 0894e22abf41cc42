package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/node/api"
)

// nodes are the nodes of a lab: a and b, the public ones pub and perhaps pub2.
type nodes struct {
	*Reach
	ctx     context.Context // that they live for
	stop    context.CancelFunc
	lab     *Lab
	dir     string
	since   time.Time            // a and b were started
	proxy   string               // of the node that is started next
	running map[string]*exec.Cmd // by host, and the proxies by their router
}

// open builds a lab of hosts of kinds a and b and the public ones, and starts a node on each.
func (r *Reach) open(ctx context.Context, a, b Kind) (_ *nodes, err error) {
	spec := Spec{Hosts: []Host{{Name: "a", Kind: a}, {Name: "b", Kind: b}, {Name: "pub", Kind: Public}, {Name: "pub2", Kind: Public}}[:2+r.Publics]}
	n, err := r.build(ctx, spec, string(a)+"-"+string(b))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	for i, h := range spec.Hosts {
		if h.Kind == Proxy {
			if err := n.startProxy(h.Name, spec.proxyAddr(i)); err != nil {
				return nil, err
			}
		}
	}
	if err := n.startPublic("pub"); err != nil {
		return nil, err
	}
	var in api.Invite
	if err := n.ask(n.ctx, startLimit, "pub", &in, "invite"); err != nil {
		return nil, err
	}
	if r.Publics > 1 {
		if err := n.startPublic("pub2", "--join", in.Token); err != nil {
			return nil, err
		}
		if _, err := n.knows(n.ctx, time.Now(), joinLimit, "pub2", "pub"); err != nil {
			return nil, err
		}
	}
	n.since = time.Now()
	for i, h := range spec.Hosts[:2] {
		n.proxy = ""
		if h.Kind == Proxy {
			n.proxy = spec.proxyAddr(i)
		}
		if err := n.start(h.Name, "--join", in.Token); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// build builds a lab without nodes, whose data go to a folder of a name.
func (r *Reach) build(ctx context.Context, spec Spec, name string) (*nodes, error) {
	l, err := New(ctx, spec)
	if err != nil {
		return nil, err
	}
	n := &nodes{Reach: r, lab: l, dir: filepath.Join(r.Dir, name), running: map[string]*exec.Cmd{}}
	n.ctx, n.stop = context.WithCancel(ctx)
	return n, nil
}

// close ends the nodes and removes the lab.
func (n *nodes) close() error {
	n.stop()
	for _, c := range n.running {
		_ = c.Wait() // it was told to end
	}
	err := n.lab.Close()
	if !n.Keep {
		err = errors.Join(err, os.RemoveAll(n.dir))
	}
	return err
}

// startPublic starts a node that relays.
func (n *nodes) startPublic(host string, args ...string) error {
	return n.start(host, append([]string{"--relay", "on"}, args...)...)
}

// start starts a node, which ends with n, and waits until it is ready. One that was killed goes on
// with what it had.
func (n *nodes) start(host string, args ...string) error {
	data := filepath.Join(n.dir, host)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	ready := filepath.Join(data, "api.json")
	if err := os.Remove(ready); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log, err := os.OpenFile(data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := n.lab.Exec(n.ctx, host, append([]string{n.Binary, "up", "--data", data, "--name", host, "--api", "127.0.0.1:0", "--cores", "1", "--memory", "256MiB", "--log-level", "debug"}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if n.proxy != "" {
		cmd.Env = append(os.Environ(), "HTTPS_PROXY=http://"+n.proxy)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	n.running[host] = cmd
	return wait(n.ctx, startLimit, "node "+host+" to be ready; its log is "+log.Name(), func(context.Context) error {
		_, err := os.Stat(ready)
		return err
	})
}

// startProxy starts the proxy of a home and waits until it answers the home.
func (n *nodes) startProxy(host, addr string) error {
	cmd, err := n.lab.serveProxy(n.ctx, host, addr)
	if err != nil {
		return err
	}
	n.running[routerOf(host)] = cmd
	return wait(n.ctx, startLimit, "the proxy of "+host, func(ctx context.Context) error {
		ip, port, err := net.SplitHostPort(addr)
		if err != nil {
			return err
		}
		return n.lab.Exec(ctx, host, "bash", "-c", "</dev/tcp/"+ip+"/"+port).Run()
	})
}

// kill ends nodes as a power cut does.
func (n *nodes) kill(hosts ...string) error {
	for _, host := range hosts {
		cmd := n.running[host]
		if err := cmd.Process.Kill(); err != nil {
			return err
		}
		_ = cmd.Wait() // it was killed
		delete(n.running, host)
	}
	return nil
}

// covey runs a command of the program on a host and returns what it prints.
func (n *nodes) covey(ctx context.Context, limit time.Duration, host string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := n.lab.Exec(ctx, host, append([]string{n.Binary, "--data", filepath.Join(n.dir, host)}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("covey %s on %s: %w: %s", strings.Join(args, " "), host, err, bytes.TrimSpace(said.Bytes()))
	}
	return out, err
}

// ask runs a command and reads its JSON.
func (n *nodes) ask(ctx context.Context, limit time.Duration, host string, to any, args ...string) error {
	out, err := n.covey(ctx, limit, host, append([]string{"--json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, to)
}

// peer returns what a host knows of another one that it is connected to.
func (n *nodes) peer(ctx context.Context, host, other string) (*api.Peer, error) {
	var peers []api.Peer
	if err := n.ask(ctx, joinLimit, host, &peers, "peers"); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(peers, func(p api.Peer) bool { return p.Name == other })
	if i < 0 {
		return nil, fmt.Errorf("%s does not know %s", host, other)
	}
	if p := &peers[i]; !p.Path.Connected() {
		return nil, fmt.Errorf("%s does not reach %s: %s %s", host, other, p.Path.State, p.Path.Reason)
	}
	return &peers[i], nil
}

// knows waits until a host reaches another one and returns how long ago since is then.
func (n *nodes) knows(ctx context.Context, since time.Time, limit time.Duration, host, other string) (time.Duration, error) {
	err := wait(ctx, limit, host+" to reach "+other, func(ctx context.Context) error {
		_, err := n.peer(ctx, host, other)
		return err
	})
	return time.Since(since), err
}

// run runs commands on a host, up to the first that fails.
func (n *nodes) run(ctx context.Context, host string, commands ...[]string) error {
	for _, args := range commands {
		if _, err := n.covey(ctx, askLimit, host, args...); err != nil {
			return err
		}
	}
	return nil
}

// prompts are of about 200 and 2,000 tokens.
func prompts() [2]string {
	const line = "Write the result to the file and return an error if it fails. "
	return [2]string{strings.Repeat(line, 13), strings.Repeat(line, 130)}
}

// question is what is asked.
const question = "What does strings.Contains do?"

// answer asks the model for a number of tokens at most, the likeliest each time.
func (n *nodes) answer(ctx context.Context, host, tokens, prompt string) (string, time.Duration, error) {
	begin := time.Now()
	out, err := n.covey(ctx, askLimit, host, "run", model, "--temperature", "0", "--max-tokens", tokens, prompt)
	return string(out), time.Since(begin), err
}

// serve has b serve the model.
func (n *nodes) serve(ctx context.Context) error {
	return n.run(ctx, "b", []string{"model", "import", n.Model, "--name", model}, []string{"host", model})
}

// hears waits until a knows of the model.
func (n *nodes) hears(ctx context.Context) error {
	return wait(ctx, askLimit, "a to hear of the model", func(ctx context.Context) error {
		_, err := n.covey(ctx, askLimit, "a", "model", "show", model)
		return err
	})
}

// wait tries again and again until there is no error, which is the last one then.
func wait(ctx context.Context, limit time.Duration, what string, try func(context.Context) error) error {
	return waitEvery(ctx, lookEvery, limit, what, try)
}

func waitEvery(ctx context.Context, every, limit time.Duration, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := time.NewTicker(every)
	defer t.Stop()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // not that it was broken off
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait %s for %s: %w", limit, what, last)
		case <-t.C:
		}
	}
}
