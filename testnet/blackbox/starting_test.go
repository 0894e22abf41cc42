package blackbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	nodehost "github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/testnet/runner"
)

// TestEmptyKey starts a node whose key was left empty, with and without a membership, does what it
// says, and starts it again.
func TestEmptyKey(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{Nodes: nodes("one")})
	if err := s.Node("one").Stop(); err != nil {
		t.Fatal(err)
	}
	member, fresh := s.Node("one").Dir(), t.TempDir()
	for _, tc := range []struct {
		dir, key, want string
		remove         []string
	}{
		{fresh, "identity.key", "if there is none, remove it: the next start makes a new one", []string{"identity.key"}},
		{member, "swarm.key", "remove it: this peer stays a member of its swarm, and can invite nobody", []string{"swarm.key"}},
		{member, "identity.key", "remove it and membership.cbor beside it", []string{"identity.key", "membership.cbor"}},
	} {
		key := filepath.Join(tc.dir, tc.key)
		if err := os.WriteFile(key, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, messages, code := covey(t, tc.dir, "", "up", "--api", "127.0.0.1:0"); code != 1 || !strings.Contains(messages, "covey: ") || !strings.Contains(messages, strconv.Quote(key)+" is empty: ") || !strings.Contains(messages, tc.want) {
			t.Errorf("empty %s: exit code %d, %q, %q, want %q", tc.key, code, out, messages, tc.want)
		}
		for _, name := range tc.remove {
			if err := os.Remove(filepath.Join(tc.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := nodehost.OpenCredentials(tc.dir, nil, time.Now()); err != nil {
			t.Errorf("without %v: %v", tc.remove, err)
		}
	}
}

// readmeSwarm is the README's session of two peers on one machine.
func readmeSwarm(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(text), "\n\n") {
		if strings.HasPrefix(block, "    covey up &\n") && strings.Contains(block, "/tmp/peer2") {
			return strings.Split(block, "\n")
		}
	}
	t.Fatal("the README has no block that starts with covey up &")
	return nil
}

// TestReadmeSwarm pastes the README's session into a shell. Only the second data directory
// and the ports are others, as tests run beside each other.
func TestReadmeSwarm(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	lines := readmeSwarm(t)
	for _, try := range []string{"first try", "second try", "third try"} {
		t.Run(try, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			one, two := filepath.Join(dir, "one"), filepath.Join(dir, "peer2")
			script := "set -m\n"
			for _, l := range lines {
				if strings.Contains(l, "kill %1") {
					script += "covey status --json >status; covey status --json --data " + two + " >status2; covey route demo --json --data " + two + " >route2; covey model show demo --json --data " + two + " >model2\n"
				}
				script += strings.ReplaceAll(strings.ReplaceAll(l, "/tmp/peer2", two), "127.0.0.1:8421", "127.0.0.1:0") + "\n"
			}
			session := filepath.Join(dir, "session")
			if err := os.WriteFile(session, []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "bash", session) // its input is not the session: covey run would read it
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"), "COVEY_DATA="+one, "COVEY_API=127.0.0.1:0")
			out, err := os.Create(filepath.Join(dir, "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			cmd.Stdout, cmd.Stderr = out, out
			runErr := cmd.Run()
			shown, err := os.ReadFile(out.Name())
			if err != nil {
				t.Fatal(err)
			}
			if runErr != nil || strings.Count(string(shown), "covey is up") != 2 || !strings.Contains(string(shown), "Contains reports") || strings.Contains(string(shown), "in this process") {
				t.Errorf("the session ended with %v:\n%s", runErr, shown)
			}
			var first, second api.Status
			var route router.Choice
			var model api.Model
			for name, v := range map[string]any{"status": &first, "status2": &second, "route2": &route, "model2": &model} {
				data, err := os.ReadFile(filepath.Join(dir, name))
				if err == nil {
					err = json.Unmarshal(data, v)
				}
				if err != nil {
					t.Fatalf("%s: %v\n%s", name, err, shown)
				}
			}
			if route.Chain == nil || len(route.Chain.Links) != 1 || route.Chain.Links[0].Peer != first.Peer {
				t.Errorf("the answer came over %+v, want peer %s", route.Chain, first.Peer)
			}
			if len(second.Hosted) != 0 || model.BytesHere != 0 {
				t.Errorf("the second peer serves %+v and holds %d bytes", second.Hosted, model.BytesHere)
			}
		})
	}
}

// holdData starts a chat that uses a data directory without a node, and returns what ends it.
func holdData(t *testing.T, dir string) (end func()) {
	t.Helper()
	chat := command(t, dir, "run", "demo", "--chat")
	in, err := chat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := chat.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(bytes.Repeat([]byte(" \n"), 200_000)); err != nil { // until it reads
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if code := exitOf(t, chat.Wait()); code != 0 {
			t.Errorf("the chat ended with exit code %d", code)
		}
	}
}

// TestDataDirInUse has a command that needs a data directory on which another one works
// without a node: it waits, and gives up after a while.
func TestDataDirInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	end := holdData(t, dir)
	_, messages, code := covey(t, dir, "", "model", "ls")
	if code != 4 || !strings.Contains(messages, "waiting for another covey process") || !strings.Contains(messages, "another covey process uses it now") || strings.Contains(messages, "adger") {
		t.Errorf("exit code %d, %s", code, messages)
	}
	next := background(t, command(t, dir, "model", "ls", "--json"))
	next.see("waiting for another covey process that uses " + dir)
	end()
	next.see("\"demo\"")
}

// TestUpOutlastsCommands starts a node while a command uses the data directory, and asks the
// node before it runs.
func TestUpOutlastsCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	end := holdData(t, dir)
	n := up(t, dir)
	n.see("waiting for another covey process that uses " + dir)
	invite := background(t, command(t, dir, "invite"))
	invite.see("waiting for the node that starts on " + dir)
	end()
	n.see("covey is up")
	invite.see("covey1")
	if out, messages, code := covey(t, dir, "", "run", "demo", "hi", "--max-tokens", "1"); code != 0 || strings.Contains(messages, "in this process") {
		t.Errorf("with a node: %d, %q, %s", code, out, messages)
	}
	n.stop()
	if n.err != nil {
		t.Errorf("the node ended with %v", n.err)
	}
	start := time.Now()
	if _, messages, code := covey(t, dir, "", "invite"); code != 4 || !strings.Contains(messages, "start one with covey up") || time.Since(start) > 10*time.Second {
		t.Errorf("without a node: %d after %s, %s", code, time.Since(start), messages)
	}
	if _, messages, code := covey(t, dir, "", "run", "demo", "hi", "--max-tokens", "1"); code != 0 || messages != "no node runs on "+dir+": answering in this process\n" {
		t.Errorf("without a node: %d, %s", code, messages)
	}
}

// TestUpAfterUp starts a node on the data directory of one that is ending.
func TestUpAfterUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := up(t, dir)
	first.see("covey is up")
	if err := first.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	waitStopping(t, dir)
	up(t, dir).see("covey is up")
}

// waitStopping waits until no node says that it answers for a data directory.
func waitStopping(t *testing.T, dir string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for {
		if _, err := node.ReadEndpoint(dir); errors.Is(err, node.ErrNotRunning) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the node on %s does not stop", dir)
		}
	}
}

// TestNodeStops asks for a list while the node ends: it is not one that starts.
func TestNodeStops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	claim, err := node.NewClaim(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "api.json"), []byte(`{"url":"http://127.0.0.1:1","stopping":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	list := background(t, command(t, dir, "model", "ls"))
	list.see("waiting for the node that stops on " + dir)
	if err := claim.Release(); err != nil {
		t.Fatal(err)
	}
	list.see("demo") // without a node
}

// TestRestartsFindEachOther ends all nodes of a swarm that has nothing but addresses to find
// each other by, and starts them again; a token from before still leads to its node.
func TestRestartsFindEachOther(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	founder := up(t, one)
	founder.see("covey is up")
	token, messages, code := covey(t, one, "", "invite")
	if code != 0 {
		t.Fatalf("invite: %d, %s", code, messages)
	}
	token = strings.TrimSpace(token)
	peer := up(t, two, "--join", token)
	founder.see("peer joined")
	founder.stop()
	peer.stop()

	peer = up(t, two)
	peer.see("covey is up")
	founder = up(t, one)
	peer.see("peer joined")
	founder.see("peer joined")
	peer.stop()
	up(t, t.TempDir(), "--join", token).see("peer joined")
}

// TestJoinTellsOfSilence joins a swarm of which no peer runs, and starts one then.
func TestJoinTellsOfSilence(t *testing.T) {
	t.Parallel()
	one := t.TempDir()
	founder := up(t, one)
	founder.see("covey is up")
	token, messages, code := covey(t, one, "", "invite")
	if code != 0 {
		t.Fatalf("invite: %d, %s", code, messages)
	}
	founder.stop()
	two := t.TempDir()
	peer := up(t, two, "--join", strings.TrimSpace(token))
	line := peer.see("no peer has let this machine in yet: still trying swarm ")
	if !strings.Contains(line, " at /ip4/127.0.0.1/tcp/") || strings.Contains(line, "/p2p/") {
		t.Errorf("says %q", line)
	}
	if line := peer.see("no peer of the swarm is reached: "); !strings.Contains(line, ": its machine refuses the connection") || !strings.HasSuffix(line, "; covey doctor says what to do") {
		t.Errorf("says %q", line)
	}
	if _, messages, code := covey(t, two, "", "peers"); code != 0 || messages != "covey doctor --data "+two+" looks closer at peers that are unreachable\n" {
		t.Errorf("peers: %d, says %q", code, messages)
	}
	_, messages, code = covey(t, two, "", "run", "demo", "--max-tokens", "1", "hi")
	if code != 0 || !strings.Contains(messages, "no peer of the swarm is reached: ") {
		t.Errorf("run: %d, says %q", code, messages)
	}
	up(t, one)
	peer.see("a peer of the swarm answers")
}

// TestInterruptAtStart ends a node right after its first start, when it measures the machine.
func TestInterruptAtStart(t *testing.T) {
	t.Parallel()
	n := up(t, t.TempDir())
	n.see("covey is up")
	start := time.Now()
	n.stop()
	if took := time.Since(start); n.err != nil || took > 5*time.Second {
		t.Errorf("ended with %v after %s", n.err, took)
	}
	for _, line := range n.before {
		if strings.Contains(line, "stopping") {
			t.Errorf("says %q", line)
		}
	}
}
