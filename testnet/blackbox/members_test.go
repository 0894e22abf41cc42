package blackbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	nodehost "github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// TestEmptyTokens gives covey up a token that is none: it never founds a swarm then.
func TestEmptyTokens(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, env, want string
		code            int
		args            []string
	}{
		{"flag", "", "--join is empty", 2, []string{"--join", ""}},
		{"spaces", "", "--join is empty", 2, []string{"--join", "  "}},
		{"file", "", empty + " is empty", 2, []string{"--join-file", empty}},
		{"file by an at sign", "", empty + " is empty", 2, []string{"--join", "@" + empty}},
		{"standard input", "", "standard input is empty", 2, []string{"--join", "-"}},
		{"environment", "COVEY_JOIN=", "COVEY_JOIN is empty", 2, nil},
		{"no file", "", "no such file", 3, []string{"--join-file", empty + ".not"}},
		{"both", "", "leave one out", 2, []string{"--join", "covey1x", "--join-file", empty}},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		cmd := command(t, dir, append([]string{"up", "--api", "127.0.0.1:0"}, c.args...)...)
		if c.env != "" {
			cmd.Env = append(os.Environ(), c.env)
		}
		out, err := cmd.CombinedOutput()
		if code := exitOf(t, err); code != c.code || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: code %d, %s; want %d and %q", c.name, code, out, c.code, c.want)
		}
		if _, err := os.Stat(filepath.Join(dir, "swarm.key")); err == nil {
			t.Errorf("%s: a swarm was founded", c.name)
		}
	}
}

// TestMembers invites by file, environment and standard input, ends an invitation and takes
// a peer off.
func TestMembers(t *testing.T) {
	t.Parallel()
	one := t.TempDir()
	founder := up(t, one, "--name", "attic")
	founder.see("covey is up")
	token, told, code := covey(t, one, "", "invite", "--ttl", "2w")
	if code != 0 || !strings.Contains(told, time.Now().Add(14*24*time.Hour).Format(time.DateOnly)) {
		t.Fatalf("invite: %d, %s", code, told)
	}
	_, id, _ := strings.Cut(told, "--revoke ")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	cellar := up(t, t.TempDir(), "--name", "cellar", "--join-file", file)
	cellar.see("peer joined")
	dir := t.TempDir()
	cmd := command(t, dir, "up", "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0", "--mdns=false", "--nat=false")
	cmd.Env = append(os.Environ(), "COVEY_JOIN="+token)
	member := background(t, cmd)
	member.see("peer joined")
	member.see("membership renewed")
	if out, _, code := covey(t, dir, "", "status"); code != 0 || !strings.Contains(out, "member, granted by the founder, may publish, serve, use; ends ") || !strings.Contains(out, ", renews from ") {
		t.Errorf("status of a member: %d, %s", code, out)
	}
	if out, _, _ := covey(t, one, "", "status"); !strings.Contains(out, "founder, may admit, ") {
		t.Errorf("status of the founder: %s", out)
	}
	if out, messages, code := covey(t, one, "", "peers", "--revoke", "cellar"); code != 0 || !strings.HasPrefix(out, "1 peer off") || !strings.Contains(messages, strings.TrimSpace(id)) {
		t.Errorf("peers --revoke: %d, %s%s", code, out, messages)
	}
	founder.see("peer expelled")
	if line := cellar.see("level=WARN"); !strings.Contains(line, "taken this machine off the swarm") || !strings.Contains(line, "--unrevoke") || !strings.Contains(line, "another --data") {
		t.Errorf("a peer that was taken off says %s", line)
	}
	if out, messages, code := covey(t, one, "", "invite", "--revoke", token); code != 0 || !strings.HasPrefix(out, "1 invitation ended") {
		t.Errorf("invite --revoke: %d, %s%s", code, out, messages)
	}
	founder.see("peer expelled")
	if line := member.see("level=WARN"); !strings.Contains(line, "token of another invitation") {
		t.Errorf("a member of a revoked invitation says %s", line)
	}
	if out, _, _ := covey(t, dir, "", "status"); !strings.Contains(out, "\nmember    revoked\n") {
		t.Errorf("status of a member of a revoked invitation: %s", out)
	}
	_, told, _ = covey(t, one, "", "invite") // nobody uses it
	_, unused, _ := strings.Cut(told, "--revoke ")
	unused, _, _ = strings.Cut(unused, " ")
	wrong := strings.Repeat("deadbeef", 4)
	if out, messages, code := covey(t, one, "", "invite", "--revoke", wrong); code != 3 || out != "" || !strings.Contains(messages, "did not make invitation "+wrong) || !strings.Contains(messages, "check the number") {
		t.Errorf("the end of an invitation that never was: %d, %s%s", code, out, messages)
	}
	if out, messages, code := covey(t, one, "", "invite", "--revoke", unused); code != 0 || !strings.HasPrefix(out, "1 invitation ended") {
		t.Errorf("the end of an invitation that nobody used: %d, %s%s", code, out, messages)
	}
	for _, c := range []struct {
		dir  string
		args []string
		code int
		want string
	}{
		{dir, []string{"invite"}, 1, "founded the swarm"},
		{one, []string{"invite", "--revoke", "nothing"}, 2, "neither a token nor the ID"},
		{one, []string{"peers", "--revoke", "nobody"}, 2, "no connected peer has this name"},
		{one, []string{"invite", "--ttl", "7"}, 2, "12h, 7d or 2w"},
		{one, []string{"invite", "--ttl", "9999w"}, 2, "at most 3650 days"},
		{one, []string{"invite", "--scope", "all"}, 2, "admit, publish, serve, use"},
	} {
		if out, messages, code := covey(t, c.dir, "", c.args...); code != c.code || !strings.Contains(messages, c.want) {
			t.Errorf("%v: %d, %s%s; want %d and %q", c.args, code, out, messages, c.code, c.want)
		}
	}
}

// TestReadmit takes a member off the swarm and lets it in again, by what the command said that
// does so, and asks for what cannot be.
func TestReadmit(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	founder := up(t, one)
	founder.see("covey is up")
	token, told, code := covey(t, one, "", "invite")
	if code != 0 {
		t.Fatalf("invite: %d, %s", code, told)
	}
	member := up(t, two, "--name", "cellar", "--join", strings.TrimSpace(token))
	member.see("covey is up")
	founder.see("peer joined")
	var st api.Status
	memberAt := clientOf(t, two)
	if err := memberAt.Get(t.Context(), "/covey/v1/status", nil, &st); err != nil {
		t.Fatal(err)
	}
	if _, messages, code := covey(t, one, "", "peers", "--unrevoke", st.Peer.String()); code != 3 || !strings.Contains(messages, "was not taken off") {
		t.Errorf("a peer that is in comes back: %d, %s; want 3", code, messages)
	}
	_, messages, code := covey(t, one, "", "peers", "--revoke", st.Peer.String())
	_, back, found := strings.Cut(messages, "covey peers --unrevoke ")
	if code != 0 || !found {
		t.Fatalf("peers --revoke: %d, %s", code, messages)
	}
	if !strings.HasPrefix(back, st.Peer.String()+" --data "+one+"\n") {
		t.Errorf("to take it back it says %s", back)
	}
	if _, end, _ := strings.Cut(messages, "covey invite --revoke "); !strings.Contains(end, " --data "+one+" ends that") {
		t.Errorf("to end the invitation it says %s", end)
	}
	founder.see("peer expelled")
	member.see("level=WARN")
	for _, c := range []struct {
		name string
		at   *api.Client
		req  api.RevokeRequest
		want int
		text string
	}{
		{"of nobody", clientOf(t, one), api.RevokeRequest{Readmit: []wire.PeerID{clientStatus(t, one).Peer}}, 404, "was not taken off"},
		{"with a revocation", clientOf(t, one), api.RevokeRequest{Readmit: []wire.PeerID{st.Peer}, Peers: []wire.PeerID{st.Peer}}, 400, "two requests"},
		{"nothing", clientOf(t, one), api.RevokeRequest{}, 400, "nothing to revoke"},
		{"by a member", memberAt, api.RevokeRequest{Readmit: []wire.PeerID{st.Peer}}, 403, "only the node that founded the swarm"},
	} {
		err := c.at.Post(t.Context(), "/covey/v1/revoke", c.req, nil)
		var status *api.StatusError
		if !errors.As(err, &status) || status.Status != c.want || !strings.Contains(status.Message, c.text) {
			t.Errorf("readmission %s: %v, want %d and %q", c.name, err, c.want, c.text)
		}
	}
	if _, messages, code := covey(t, one, "", "peers", "--unrevoke", "cellar"); code != 2 || !strings.Contains(messages, "no peer's identity") {
		t.Errorf("unrevoke by a name: %d, %s; want 2", code, messages)
	}
	if out, messages, code := covey(t, one, "", "peers", "--unrevoke", st.Peer.String()); code != 0 || out != "1 peer may come back\n" {
		t.Errorf("peers --unrevoke: %d, %s%s", code, out, messages)
	}
	member.stop() // it tries again more and more rarely; a start does at once
	again := up(t, two, "--name", "cellar")
	again.see("covey is up")
	founder.see("peer joined")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for st = clientStatus(t, two); st.Membership.State == "revoked" || st.Peers != 1; st = clientStatus(t, two) {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("after it was let in again: %d peers, %+v", st.Peers, st.Membership)
		}
	}
}

// clientOf returns a client of the node that runs on a data directory, with the owner's key.
func clientOf(t *testing.T, dir string) *api.Client {
	t.Helper()
	at, err := node.ReadEndpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &api.Client{Base: at.URL, Key: at.Key}
}

func clientStatus(t *testing.T, dir string) (st api.Status) {
	t.Helper()
	if err := clientOf(t, dir).Get(t.Context(), "/covey/v1/status", nil, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// TestTokensThatDoNotAdmit has a unit file with a token that is over, or of another swarm:
// the exit code tells that it is no use to try again.
func TestTokensThatDoNotAdmit(t *testing.T) {
	t.Parallel()
	past := time.Now().Add(-48 * time.Hour)
	founder, err := nodehost.OpenCredentials(t.TempDir(), nil, past)
	if err != nil {
		t.Fatal(err)
	}
	text := func(ttl time.Duration) string {
		token, err := founder.Invite(nodehost.Invitation{TTL: ttl}, past)
		if err != nil {
			t.Fatal(err)
		}
		s, err := token.Text()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	other := t.TempDir()
	if _, err := nodehost.OpenCredentials(other, nil, past); err != nil {
		t.Fatal(err)
	}
	unused := t.TempDir()
	short, err := founder.Invite(nodehost.Invitation{TTL: time.Hour}, past)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nodehost.OpenCredentials(unused, short, past); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, dir, token, want string }{
		{"over", t.TempDir(), text(time.Hour), "make a new one with covey invite"},
		{"over and never accepted", unused, "", "before a peer of the swarm accepted it"},
		{"of another swarm", other, text(72 * time.Hour), "join with another --data"},
	} {
		args := []string{"up", "--api", "127.0.0.1:0"}
		if c.token != "" {
			args = append(args, "--join", c.token)
		}
		out, err := command(t, c.dir, args...).CombinedOutput()
		if code := exitOf(t, err); code != 5 || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: code %d, %s; want 5 and %q", c.name, code, out, c.want)
		}
	}
}
