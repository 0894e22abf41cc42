package blackbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	nodehost "github.com/covey-network/covey/node/host"
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
