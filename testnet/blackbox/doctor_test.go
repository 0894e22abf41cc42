package blackbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/node/api"
	nodehost "github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// doctor runs covey doctor until a check is in a state, and returns what that finding says and
// what else fails. The exit code must be that of the help.
func doctor(t *testing.T, dir, check, state string, args ...string) (said string, others []string) {
	t.Helper()
	anyPort(t, dir)
	args = append([]string{"doctor", "--json"}, args...)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(40 * time.Second); ; {
		out, messages, code := covey(t, dir, "", args...)
		var d api.Diagnosis
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatalf("doctor: %d, %s%s: %v", code, out, messages, err)
		}
		if failed := len(d.Failed()); (failed > 0) != (code == 1) || code > 1 || failed > 0 && !strings.Contains(messages, "check") {
			t.Errorf("%d checks fail: exit code %d, %s", failed, code, messages)
		}
		others = nil
		for _, f := range d.Findings {
			switch {
			case f.Check == check && f.State == state:
				said = f.What + " → " + f.Do
			case f.State == api.FindingFail:
				others = append(others, f.Check+": "+f.What)
			}
		}
		if said != "" {
			return said, others
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s never is %s:\n%s", check, state, out)
		}
	}
}

// anyPort has a node that is not given its API's port take any, as there may be another node on this
// machine.
func anyPort(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, "config.toml")
	if _, err := os.Stat(name); err == nil {
		return
	}
	if err := os.WriteFile(name, []byte("version = 1\n[api]\naddr = '127.0.0.1:0'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fails runs covey doctor until a check fails, and looks that it says a text and nothing else fails.
func fails(t *testing.T, dir, check, text string, args ...string) {
	t.Helper()
	said, others := doctor(t, dir, check, api.FindingFail, args...)
	if !strings.Contains(said, text) {
		t.Errorf("%s says %q, want %q", check, said, text)
	}
	if len(others) > 0 {
		t.Errorf("besides %s: %q", check, others)
	}
}

// invitation makes a token of the node on a data directory.
func invitation(t *testing.T, dir string) string {
	t.Helper()
	token, messages, code := covey(t, dir, "", "invite")
	if code != 0 {
		t.Fatalf("invite: %d, %s", code, messages)
	}
	return strings.TrimSpace(token)
}

// TestDoctorOfAHealthySwarm has nothing to find fault with: two nodes, a machine before it joins, and
// each after its node has ended, of which the founder still knows who has joined.
func TestDoctorOfAHealthySwarm(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	founder := up(t, one, "--name", "attic")
	founder.see("covey is up")
	token := invitation(t, one)
	if _, others := doctor(t, t.TempDir(), "reach", api.FindingOK, "--join", token); len(others) > 0 {
		t.Errorf("before the start fails %q", others)
	}
	member := up(t, two, "--join", token)
	member.see("peer joined")
	for _, dir := range []string{one, two} {
		if _, others := doctor(t, dir, "path", api.FindingOK, "--speed"); len(others) > 0 {
			t.Errorf("in %s fails %q", dir, others)
		}
	}
	founder.stop()
	if said, others := doctor(t, one, "reach", api.FindingOK); len(others) > 0 || !strings.Contains(said, "1 of 1 known peer connected") {
		t.Errorf("without its node the founder says %q, and fails %q", said, others)
	}
	founder = up(t, one, "--name", "attic")
	founder.see("covey is up")
	member.see("peer joined")
	member.stop()
	if said, others := doctor(t, two, "data", api.FindingWarn); len(others) > 0 || !strings.Contains(said, "no node runs on "+two) || !strings.HasSuffix(said, " → start it with covey up --data "+two) {
		t.Errorf("without its node it says %q, and fails %q", said, others)
	}
	out, messages, code := covey(t, two, "", "doctor")
	if code != 0 || !strings.Contains(out, "warn  data        no node runs on "+two) || !strings.HasSuffix(out, "nothing fails\n") || messages != "" {
		t.Errorf("doctor: %d, %s%s", code, out, messages)
	}
}

// TestDoctorNamesADeadFounder kills the founder, before and after a member has joined.
func TestDoctorNamesADeadFounder(t *testing.T) {
	t.Parallel()
	one, two, three := t.TempDir(), t.TempDir(), t.TempDir()
	founder := up(t, one)
	founder.see("covey is up")
	token := invitation(t, one)
	up(t, two, "--join", token).see("peer joined")
	founder.stop()
	const text = "dead: its machine refuses the connection to TCP 127.0.0.1:"
	fails(t, two, "reach", text)
	fails(t, three, "reach", text, "--join", token)
	up(t, three, "--join", token).see("no peer of the swarm is reached")
	out, messages, code := covey(t, three, "", "doctor")
	if first, _, _ := strings.Cut(out, "\n"); code != 1 || !strings.HasPrefix(first, "FAIL  reach") || !strings.Contains(first, text) || !strings.Contains(messages, "1 check failed: reach") {
		t.Errorf("doctor: %d, %s%s", code, out, messages)
	}
}

// TestDoctorWithoutABook has a file of peers that cannot be read: all else is told nevertheless.
func TestDoctorWithoutABook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := up(t, dir)
	n.see("covey is up")
	n.stop()
	if err := os.WriteFile(filepath.Join(dir, "peers.json"), []byte("no JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, messages, _ := covey(t, dir, "", "doctor")
	if !strings.Contains(out, "the peers that were met are not known") || !strings.Contains(out, "membership") {
		t.Errorf("doctor: %s%s", out, messages)
	}
}

// TestDoctorNamesAWrongPort joins with a token that leads to another program.
func TestDoctorNamesAWrongPort(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	founder, err := nodehost.OpenCredentials(t.TempDir(), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	port := web.Listener.Addr().(*net.TCPAddr).Port
	token := tokenTo(t, founder, time.Now(), fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port))
	dir := t.TempDir()
	text := fmt.Sprintf("wrong port: another program than covey answers at TCP 127.0.0.1:%d: it says %q", port, "HTTP/1.1 400 Bad Req")
	fails(t, dir, "reach", text, "--join", token)
	up(t, dir, "--join", token).see("covey is up")
	fails(t, dir, "reach", text)
}

// tokenTo makes a token that leads to an address of a founder.
func tokenTo(t *testing.T, founder *nodehost.Credentials, now time.Time, addr string) string {
	t.Helper()
	token, err := founder.Invite(nodehost.Invitation{TTL: time.Hour, Addrs: []wire.Addr{wire.Addr(addr + "/p2p/" + founder.ID.String())}}, now)
	if err != nil {
		t.Fatal(err)
	}
	text, err := token.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestDoctorNamesAWrongClock joins a founder whose clock is five minutes ahead.
func TestDoctorNamesAWrongClock(t *testing.T) {
	t.Parallel()
	const ahead = 5 * time.Minute
	founder, err := nodehost.OpenCredentials(t.TempDir(), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cfg := nodehost.Default()
	cfg.Credentials, cfg.Listen, cfg.MDNS, cfg.DHT, cfg.NAT = founder, []string{"/ip4/127.0.0.1/tcp/0"}, false, false, false
	cfg.Now = func() time.Time { return time.Now().Add(ahead) }
	h, err := nodehost.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-h.Ready()
	addr, _, _ := strings.Cut(string(h.Addrs()[0]), "/p2p/")
	token := tokenTo(t, founder, time.Now(), addr)
	dir := t.TempDir()
	fails(t, dir, "clock", "is 5m fast: one of them is wrong", "--join", token)
	up(t, dir, "--join", token).see("peer joined")
	fails(t, dir, "clock", "is 5m fast: one of them is wrong")
}

// TestDoctorNamesAFullDisk lends less disk than the store has.
func TestDoctorNamesAFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := up(t, dir)
	n.see("covey is up")
	if _, messages, code := covey(t, dir, "", "model", "import", "demo"); code != 0 {
		t.Fatal(messages)
	}
	n.stop()
	up(t, dir, "--disk", "1MiB").see("covey is up")
	fails(t, dir, "disk", "the disk limit of 1 MiB is used up")
}

// TestDoctorNamesMemberships ends memberships: by time, unused and used, and by revocation.
func TestDoctorNamesMemberships(t *testing.T) {
	t.Parallel()
	past := time.Now().Add(-48 * time.Hour)
	founder, err := nodehost.OpenCredentials(t.TempDir(), nil, past)
	if err != nil {
		t.Fatal(err)
	}
	old := tokenTo(t, founder, past, "/ip4/127.0.0.1/tcp/1")
	dir := t.TempDir()
	if said, _ := doctor(t, dir, "membership", api.FindingFail, "--join", old); !strings.Contains(said, "the token expired on ") || !strings.Contains(said, " ago, before a peer of the swarm accepted it") {
		t.Errorf("an old token: %q", said)
	}
	token, err := wire.ParseToken(old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nodehost.OpenCredentials(dir, token, past); err != nil {
		t.Fatal(err)
	}
	if said, _ := doctor(t, dir, "membership", api.FindingFail); !strings.Contains(said, "the membership expired on ") {
		t.Errorf("an old membership: %q", said)
	}

	one, two := t.TempDir(), t.TempDir()
	first := up(t, one)
	first.see("covey is up")
	member := up(t, two, "--join", invitation(t, one))
	_, rest, _ := strings.Cut(first.see("peer joined"), "peer=")
	id, _, _ := strings.Cut(rest, " ")
	member.see("membership renewed")
	if out, messages, code := covey(t, one, "", "peers", "--revoke", id); code != 0 {
		t.Fatalf("revoke: %d, %s%s", code, out, messages)
	}
	member.see("level=WARN")
	if said, _ := doctor(t, two, "membership", api.FindingFail); !strings.Contains(said, "the membership was revoked") || !strings.Contains(said, "--unrevoke") {
		t.Errorf("a revoked member: %q", said)
	}
	member.stop()
	if said, _ := doctor(t, two, "membership", api.FindingFail); !strings.Contains(said, "the membership was revoked") {
		t.Errorf("a revoked member whose node has ended: %q", said)
	}
}

// TestDoctorNamesASecondNode starts a second node on a data directory, beside one that runs and
// beside one that does not answer.
func TestDoctorNamesASecondNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := up(t, dir)
	n.see("covey is up")
	second := command(t, dir, "up", "--api", "127.0.0.1:0")
	out, err := second.CombinedOutput()
	if code := exitOf(t, err); code != 1 || !strings.Contains(string(out), "a node already runs on ") {
		t.Fatalf("a second node: %d, %s", code, out)
	}
	fails(t, dir, "data", fmt.Sprintf("a second node (process %d) was started on %s", second.Process.Pid, dir))
	if err := os.Remove(dir + "/api.json"); err != nil {
		t.Fatal(err)
	}
	fails(t, dir, "data", "another node holds "+dir+" and does not answer")
}

// TestDoctorNamesATakenPort has another program at the port of the API.
func TestDoctorNamesATakenPort(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	at := web.Listener.Addr().String()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/config.toml", []byte("version = 1\n[api]\naddr = "+strconv.Quote(at)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, dir, "ports", "tcp "+at+" for API is taken by another program")
}
