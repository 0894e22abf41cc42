package doctor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/doctor"
)

const gib = 1 << 30

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// healthy is a member with two public peers behind an ordinary router.
func healthy() *doctor.Facts {
	return &doctor.Facts{
		Running: true, Now: now, Data: doctor.Data{Dir: "/d", PID: 7},
		Membership: &api.Membership{State: "member", Expires: now.Add(80 * 24 * time.Hour)},
		Disk:       &doctor.Disk{Free: 40 * gib, Total: 100 * gib, Margin: 5 * gib},
		Memory:     &doctor.Memory{Total: 16 * gib, Lent: 8 * gib, Free: 8 * gib, Available: 12 * gib},
		CPU:        doctor.CPU{Arch: "amd64", Set: "avx2", Best: "avx2"},
		Ports:      []doctor.Port{{Addr: "tcp 0.0.0.0:24001", For: "peers", Open: true}},
		Network: doctor.Network{
			NAT: true, Addrs4: []string{"192.168.1.2"}, Relays: []string{"attic"}, RelayOffered: 2,
			Seen: []doctor.Seen{seen("attic", "11.0.0.1", "11.0.0.9:24001"), seen("cellar", "11.0.0.2", "11.0.0.9:24001")},
		},
		Peers: []doctor.Peer{
			{Name: "attic", First: true, State: doctor.Direct, RTT: time.Millisecond, Timed: true, QUIC: true, Probes: []doctor.Probe{udp("11.0.0.1", doctor.Answers)}},
			{Name: "cellar", State: doctor.Direct, RTT: time.Millisecond, Timed: true, Probes: []doctor.Probe{tcp("11.0.0.2", 24001, doctor.Answers)}},
		},
	}
}

func seen(peer, at, as string) doctor.Seen {
	return doctor.Seen{Proto: "tcp", Local: "192.168.1.2:24001", As: as, Public: true, Peer: peer, At: at}
}

func tcp(host string, port int, r doctor.Result) doctor.Probe {
	return doctor.Probe{Target: doctor.Target{Proto: "tcp", Host: host, Port: port}, Result: r}
}

func udp(host string, r doctor.Result) doctor.Probe {
	return doctor.Probe{Target: doctor.Target{Proto: "udp", Host: host, Port: 24001}, Result: r, MTU: map[doctor.Result]int{doctor.Answers: 1500}[r]}
}

func guess(host string, port int, r doctor.Result) doctor.Probe {
	p := tcp(host, port, r)
	p.Guess = true
	return p
}

// away makes a peer unreachable, with what probes found.
func away(p *doctor.Peer, probes ...doctor.Probe) {
	p.State, p.QUIC, p.Timed, p.Probes = doctor.Unreachable, false, false, probes
}

// trouble is one with a membership. No finding depends on its words.
func trouble(code, what string) *api.Trouble { return &api.Trouble{Code: code, What: what, Do: "do"} }

// silent is what probes of a machine find from which nothing comes back.
func silent(host string) []doctor.Probe {
	return []doctor.Probe{tcp(host, 24001, doctor.Silent), udp(host, doctor.Silent), guess(host, 443, doctor.Silent)}
}

// broken are nodes that are not healthy.
var broken = []struct {
	name  string
	spoil func(f *doctor.Facts)
	want  []string // CHECK STATE CODE TEXT, CODE only if there is one, of all findings that are not ok, in order
}{
	{"healthy", func(*doctor.Facts) {}, nil},
	{"dead founder", func(f *doctor.Facts) {
		f.Peers = f.Peers[:1]
		away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.Refused), udp("11.0.0.1", doctor.Refused))
		f.Network.Seen, f.Network.Relays = nil, nil
	}, []string{"clock unknown", "reach fail attic (that the token or the owner names): dead: its machine refuses the connection to TCP 11.0.0.1:24001", "udp unknown", "nat unknown", "mtu unknown", "relay unknown"}},
	{"wrong port, another program", func(f *doctor.Facts) {
		p := tcp("11.0.0.1", 22, doctor.Other)
		p.Says = "SSH-2.0-OpenSSH"
		away(&f.Peers[0], p)
	}, []string{`reach fail attic (that the token or the owner names): wrong port: another program than covey answers at TCP 11.0.0.1:22: it says "SSH-2.0-OpenSSH"`, "udp unknown", "mtu unknown"}},
	{
		"wrong port, a mute program", func(f *doctor.Facts) { away(&f.Peers[0], tcp("11.0.0.1", 22, doctor.Other)) },
		[]string{"reach fail attic (that the token or the owner names): wrong port: another program than covey answers at TCP 11.0.0.1:22: it accepts", "udp unknown", "mtu unknown"},
	},
	{"wrong port, the right one is known too", func(f *doctor.Facts) {
		f.Peers[0].First = true
		away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.Refused), guess("11.0.0.1", 443, doctor.Answers))
	}, []string{"reach fail attic (that the token or the owner names): wrong port: a covey node answers at TCP 11.0.0.1:443", "udp unknown", "mtu unknown"}},
	{"another node", func(f *doctor.Facts) {
		away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.Answers))
		f.Peers[0].Reason = "another peer answers at its address"
	}, []string{"reach fail attic (that the token or the owner names): a covey node answers at TCP 11.0.0.1:24001, but no connection stands: another peer answers", "udp unknown", "mtu unknown"}},
	{
		"firewall before the founder", func(f *doctor.Facts) { away(&f.Peers[0], silent("11.0.0.1")...) },
		[]string{"reach fail attic (that the token or the owner names): no packet comes back from TCP 11.0.0.1:24001 in 3s, while 1 other peer answers: a firewall drops", "udp unknown", "mtu unknown"},
	},
	{"firewall that lets some ports pass", func(f *doctor.Facts) {
		f.Peers = f.Peers[:1]
		away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.Silent), guess("11.0.0.1", 443, doctor.Refused))
		f.Network.Seen, f.Network.Relays = nil, nil
	}, []string{"clock unknown", "reach fail attic (that the token or the owner names): a firewall drops connections to TCP 11.0.0.1:24001: no answer in 3s, while its machine answers at other ports (TCP 11.0.0.1:443 refused)", "udp unknown", "nat unknown", "mtu unknown", "relay unknown"}},
	{"black hole", func(f *doctor.Facts) {
		away(&f.Peers[0], silent("11.0.0.1")...)
		away(&f.Peers[1], silent("11.0.0.2")...)
		f.Network.Seen, f.Network.Relays = nil, nil
	}, []string{"clock unknown", "reach fail black hole: no packet comes back from anywhere: 4 addresses of 2 peers tried for 3s each, and not one answers or refuses, nor do the ports 443 80 22", "udp unknown no answer over UDP", "nat unknown", "mtu unknown", "relay unknown"}},
	{"black hole or a machine that is off", func(f *doctor.Facts) {
		f.Peers = f.Peers[:1]
		away(&f.Peers[0], silent("11.0.0.1")...)
		f.Network.Seen, f.Network.Relays = nil, nil
	}, []string{"clock unknown", "reach fail no packet comes back: 2 addresses of 1 peer tried", "udp unknown", "nat unknown", "mtu unknown", "relay unknown"}},
	{"offline", func(f *doctor.Facts) {
		away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.NoRoute))
		away(&f.Peers[1], tcp("11.0.0.2", 24001, doctor.NoRoute))
		f.Network.Seen, f.Network.Relays, f.Network.Addrs4 = nil, nil, nil
	}, []string{"clock unknown", "reach fail this machine is offline", "udp unknown", "ipv4 warn no address but loopback", "nat unknown", "mtu unknown", "relay unknown"}},
	{"UDP blocked", func(f *doctor.Facts) {
		f.Peers[0].QUIC = false
		f.Peers[0].Probes = []doctor.Probe{udp("11.0.0.1", doctor.Silent)}
		f.Peers[1].Probes = append(f.Peers[1].Probes, udp("11.0.0.2", doctor.Silent))
	}, []string{"udp fail UDP is blocked: no answer over QUIC from attic, cellar", "mtu unknown"}},
	{
		"UDP blocked at one peer", func(f *doctor.Facts) { f.Peers[1].Probes = append(f.Peers[1].Probes, udp("11.0.0.2", doctor.Silent)) },
		[]string{"udp warn UDP (QUIC) passes to attic, but not to cellar, which answers over TCP"},
	},
	{"symmetric NAT without any relay", func(f *doctor.Facts) {
		f.Network.Seen[1].As = "11.0.0.9:31002"
		f.Network.Relays, f.Network.RelayOffered = nil, 0
	}, []string{"nat warn symmetric", "relay fail symmetric NAT without any relay: the TCP socket 192.168.1.2:24001 is 11.0.0.9:24001 to attic and 11.0.0.9:31002 to cellar, and of 2 peers connected none relays"}},
	{"symmetric NAT with one", func(f *doctor.Facts) { f.Network.Seen[1].As = "11.0.0.9:31002" }, []string{"nat warn symmetric"}},
	{"an ordinary NAT without a relay", func(f *doctor.Facts) { f.Network.Relays, f.Network.RelayOffered = nil, 0 }, []string{"relay warn a router is before this machine (endpoint-independent NAT)"}},
	{"an unknown NAT without a relay, and a peer away", func(f *doctor.Facts) {
		f.Network.Relays, f.Network.RelayOffered, f.Network.Seen = nil, 0, f.Network.Seen[:1]
		away(&f.Peers[1], tcp("192.168.9.2", 24001, doctor.Silent))
		f.Peers[1].Inside = true
	}, []string{"reach warn cellar: it is behind a router: it tells addresses within its own network alone, as 192.168.9.2", "nat unknown", "relay fail a router is before this machine (a NAT of unknown kind)"}},
	{"clock wrong by minutes, one peer to ask", func(f *doctor.Facts) {
		f.Peers[0].Clock = 5 * time.Minute
		f.Peers[1].Timed = false
	}, []string{"clock fail this machine's clock says"}},
	{"clock wrong by minutes, by three", func(f *doctor.Facts) {
		f.Peers = append(f.Peers, doctor.Peer{Name: "x", State: doctor.Direct, Timed: true})
		for i := range f.Peers {
			f.Peers[i].Clock = -5 * time.Minute
		}
	}, []string{"clock fail this machine's clock is wrong: it is 5m fast by those of 3 of 3 peers"}},
	{"another clock wrong", func(f *doctor.Facts) {
		f.Peers = append(f.Peers, doctor.Peer{Name: "x", State: doctor.Direct, Timed: true, Clock: time.Hour})
	}, []string{"clock warn the clocks of 1 peer are wrong"}},
	{"full disk", func(f *doctor.Facts) {
		f.Disk.Full, f.Disk.Mend = "the disk has 1024 MiB free, and 5120 MiB must stay free", "remove at least 4097 MiB"
	}, []string{"disk fail /d has no room for models, and the node is read-only: the disk has 1024 MiB"}},
	{"full disk without a limit", func(f *doctor.Facts) { f.Disk.Full, f.Disk.Limit = "it has none free", 0 }, []string{"disk fail /d has no room for models"}},
	{"nearly full disk with a limit", func(f *doctor.Facts) { f.Disk.Free, f.Disk.Limit = 9*gib, 20*gib }, []string{"disk warn 9.0 GiB of 100.0 GiB free"}},
	{"nearly full disk", func(f *doctor.Facts) { f.Disk.Free = 9 * gib }, []string{"disk warn 9.0 GiB of 100.0 GiB free"}},
	{"nearly full disk without a model", func(f *doctor.Facts) { f.Disk.Free, f.Disk.Room, f.Disk.Used = 9*gib, 3*gib, 1<<20 }, []string{"disk warn 9.0 GiB of 100.0 GiB free, of which 5.0 GiB must stay free; models can use 3.0 GiB, none is here, no limit"}},
	{"nearly full disk with models", func(f *doctor.Facts) { f.Disk.Free, f.Disk.Room, f.Disk.Used, f.Disk.Models = 9*gib, 3*gib, 2*gib, 2 }, []string{"disk warn 9.0 GiB of 100.0 GiB free, of which 5.0 GiB must stay free; models use 2.0 GiB and can use 3.0 GiB more, no limit"}},
	{"damaged blocks", func(f *doctor.Facts) { f.Disk.Damaged = 2 }, []string{"disk warn 2 damaged blocks"}},
	{"expired membership", func(f *doctor.Facts) {
		f.Membership = &api.Membership{State: "over", Expires: now.Add(-50 * time.Hour)}
	}, []string{"membership fail ended the membership expired on"}},
	{"turned away for its membership", func(f *doctor.Facts) {
		f.Membership.State = "revoked"
		away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.Answers))
	}, []string{"membership fail", "reach warn attic (that the token or the owner names): a covey node answers at TCP 11.0.0.1:24001, but", "udp unknown", "mtu unknown"}},
	{"membership of the future", func(f *doctor.Facts) {
		f.Membership = &api.Membership{State: "over", Expires: now.Add(time.Hour)}
	}, []string{"membership fail not_begun the membership has not begun"}},
	{"revoked membership", func(f *doctor.Facts) { f.Membership.State = "revoked" }, []string{"membership fail revoked the membership was revoked"}},
	{"revoked peer", func(f *doctor.Facts) {
		f.Membership.State, f.Membership.Trouble = "revoked", trouble(api.TroublePeerRevoked, "its words")
	}, []string{"membership fail peer_revoked the membership was revoked: the founder has taken this machine off the swarm; other peers do not talk to it, and a new token does not change that"}},
	{"expired token", func(f *doctor.Facts) {
		f.Membership.State, f.Token = "joining", &doctor.Token{Expires: now.Add(-time.Hour), Addrs: 1}
	}, []string{"membership fail token_ended the token expired on"}},
	{"token of another swarm", func(f *doctor.Facts) { f.Token = &doctor.Token{Expires: now.Add(time.Hour), Other: true} }, []string{"membership fail token_other the token is of another swarm"}},
	{"turned away", func(f *doctor.Facts) { f.Membership.Trouble = trouble(api.TroubleTurnedAway, "its words") }, []string{"membership fail turned_away its words"}},
	{"turned away for its clock", func(f *doctor.Facts) {
		f.Membership = &api.Membership{State: "joining", Expires: now.Add(time.Hour), Trouble: trouble(api.TroubleClock, "its words")}
		f.Membership.Trouble.Clock = 3 * time.Hour
		f.Peers = f.Peers[:1]
		away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.Answers))
		f.Network.Seen, f.Network.Relays = nil, nil
	}, []string{
		"membership warn clock its words", "clock fail clock this machine's clock says 2026-11-29 12:00:00, and beside it that of a peer is 3h fast",
		"reach fail attic", "udp unknown", "nat unknown", "mtu unknown", "relay unknown no peer is connected",
	}},
	{"a peer that it turned away for its clock", func(f *doctor.Facts) {
		f.Membership = &api.Membership{State: "joining", Expires: now.Add(time.Hour), Trouble: trouble(api.TroubleNotRenewed, "its words")}
		f.Peers = f.Peers[:1]
		away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.Answers))
		f.Peers[0].Refused = -2 * time.Hour
		f.Network.Seen, f.Network.Relays = nil, nil
	}, []string{
		"membership warn not_renewed its words", "clock fail clock this machine's clock says 2026-11-29 12:00:00, and beside it that of attic is 2h slow",
		"reach fail attic", "udp unknown", "nat unknown", "mtu unknown", "relay unknown no peer is connected",
	}},
	{"not let in yet", func(f *doctor.Facts) {
		f.Membership = &api.Membership{State: "joining", Expires: now.Add(time.Hour), Trouble: trouble(api.TroubleNotRenewed, "its words")}
		f.Peers = f.Peers[:1]
		away(&f.Peers[0], silent("11.0.0.1")...)
		f.Network.Seen, f.Network.Relays = nil, nil
	}, []string{"membership warn not_joined no peer has let this machine in yet", "clock unknown", "reach fail no packet comes back", "udp unknown", "nat unknown", "mtu unknown", "relay unknown"}},
	{"membership ends soon", func(f *doctor.Facts) {
		f.Membership.Trouble, f.Membership.Expires = trouble(api.TroubleNotRenewed, "its words"), now.Add(time.Hour)
	}, []string{"membership warn not_renewed its words"}},
	{"second node on one data directory", func(f *doctor.Facts) { f.Data.Second, f.Data.SecondAgo = 9, time.Minute }, []string{"data fail a second node (process 9) was started on /d 1m ago and refused, as a data directory is one node's; the first (process 7) runs on unharmed"}},
	{
		"another process on the data directory", func(f *doctor.Facts) { f.Running, f.Data.Held, f.Data.Claimed = false, true, true },
		[]string{"data fail another node holds /d and does not answer", "mapping unknown", "relay unknown"},
	},
	{
		"a command on the data directory", func(f *doctor.Facts) { f.Running, f.Data.Held = false, true },
		[]string{"data warn another covey command uses /d", "mapping unknown", "relay unknown"},
	},
	{"taken port", func(f *doctor.Facts) { f.Ports = []doctor.Port{{Addr: "tcp 127.0.0.1:8420", For: "API", Taken: true}} }, []string{"ports fail tcp 127.0.0.1:8420 for API is taken by another program"}},
	{"taken kept port", func(f *doctor.Facts) {
		f.Ports[0] = doctor.Port{Addr: "port 24001", For: "peers", Instead: "tcp 0.0.0.0:25000"}
	}, []string{"ports warn port 24001 for peers is taken"}},
	{"narrow path", func(f *doctor.Facts) { f.Peers[0].Probes[0].MTU = 1280 }, []string{"mtu warn packets of 1280 bytes pass to attic"}},
	{"a path that swallows large packets", func(f *doctor.Facts) {
		f.Peers = f.Peers[:1]
		p := tcp("11.0.0.1", 24001, doctor.Answers)
		p.Narrow = true
		away(&f.Peers[0], p, udp("11.0.0.1", doctor.Silent))
		f.Network.Seen, f.Network.Relays = nil, nil
	}, []string{
		"clock unknown", "reach fail attic (that the token or the owner names): a covey node answers at TCP 11.0.0.1:24001, but only what fits into small packets",
		"udp unknown no answer over UDP from attic, where large packets vanish over TCP too", "nat unknown",
		"mtu fail black hole for large packets: attic answers small ones at TCP 11.0.0.1:24001, and none of 1400 bytes", "relay unknown",
	}},
	{"relayed", func(f *doctor.Facts) {
		f.Peers[1].State, f.Peers[1].Via = doctor.Relayed, "attic"
	}, []string{"path warn cellar: over the relay attic, 1ms"}},
	{"slow kernels", func(f *doctor.Facts) { f.CPU.Set = "generic" }, []string{"kernels warn generic is in use"}},
	{"scarce memory", func(f *doctor.Facts) { f.Memory.Available = gib }, []string{"memory warn 8.0 GiB lent"}},
	{
		"no address", func(f *doctor.Facts) { f.Peers, f.Network.Seen, f.Network.Relays = nil, nil, nil },
		[]string{"clock unknown", "reach fail no address of any peer is known", "udp unknown", "nat unknown", "mtu unknown", "relay unknown"},
	},
}

// TestExamine breaks a healthy node in one way, and looks what the findings that are not ok say.
func TestExamine(t *testing.T) {
	t.Parallel()
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := healthy()
			c.spoil(f)
			var got []string
			for _, x := range doctor.Examine(f) {
				if strings.ContainsAny(x.What+x.Do, "\n") || x.What == "" || x.State == api.FindingFail && x.Do == "" {
					t.Errorf("no two lines: %+v", x)
				}
				if x.Check == "disk" && x.Do != "" && f.Disk.Damaged == 0 && strings.Contains(x.Do, "--disk") != (f.Disk.Limit > 0) {
					t.Errorf("with a limit of %d: %s", f.Disk.Limit, x.Do)
				}
				if x.Check == "disk" && x.Do != "" && f.Disk.Damaged == 0 && strings.Contains(x.Do, "covey model rm") != (f.Disk.Models > 0) {
					t.Errorf("with %d models: %s", f.Disk.Models, x.Do)
				}
				if x.State != api.FindingOK && x.Check != "mapping" || x.Check == "mapping" && !f.Running {
					got = append(got, strings.Join(strings.Fields(x.Check+" "+x.State+" "+x.Code), " ")+" "+x.What)
				}
			}
			for i, g := range got {
				if i >= len(c.want) || !strings.HasPrefix(g, c.want[i]) {
					t.Errorf("%d: %s", i, g)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("%d findings, want %q", len(got), c.want)
			}
		})
	}
}

// alone takes away what is known of others, and dead all peers but one, whose machine refuses.
func alone(f *doctor.Facts) { f.Peers, f.Network.Seen, f.Network.Relays = nil, nil, nil }

func dead(f *doctor.Facts) {
	f.Peers = f.Peers[:1]
	away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.Refused))
}

const (
	refuses = "attic (that the token or the owner names): dead: its machine refuses the connection to TCP 11.0.0.1:24001 within 0s: nothing listens at that port, or a firewall there rejects it → start covey up on that machine; if it runs there, "
	narrow  = "packets of 1280 bytes pass to attic, larger ones of those tried (1400, 1452, 1500) vanish: a tunnel or VPN on the way is narrow → "
)

// told are the sentences of findings of facts that differ from healthy ones in one thing.
var told = []struct {
	name, check string
	spoil       func(f *doctor.Facts)
	want        string // WHAT → DO
}{
	{
		"no node", "data",
		func(f *doctor.Facts) { f.Running = false },
		"no node runs on /d: what follows was found from outside → start it with covey up --data /d",
	},
	{
		"no directory", "data",
		func(f *doctor.Facts) { f.Running, f.Data.Missing = false, true },
		"/d is not there yet, and no node runs on it → start one with covey up --data /d, and --join TOKEN to join a swarm; or name another directory with --data",
	},
	{
		"no swarm", "membership",
		func(f *doctor.Facts) { f.Running, f.Membership = false, nil },
		"this machine is of no swarm yet: covey up --data /d founds one, covey up --data /d --join TOKEN joins one → ",
	},
	{
		"an old token", "membership",
		func(f *doctor.Facts) { f.Membership, f.Token = nil, &doctor.Token{Expires: now.Add(-time.Hour)} },
		"the token expired on " + now.Add(-time.Hour).Local().Format(time.DateTime) + ", 1h ago, before a peer of the swarm accepted it from this machine → ask the founder or a deputy for a token of covey invite, and start with covey up --data /d --join TOKEN",
	},
	{
		"a founder alone", "reach",
		func(f *doctor.Facts) { alone(f); f.Membership.State = "founder" },
		"no other peer has joined yet: covey invite --data /d makes a token, covey up --join TOKEN joins with it on another machine → ",
	},
	{
		"a founder alone", "udp",
		alone,
		"no other peer is known to try it with → ",
	},
	{
		"peers that tell no UDP address", "udp",
		func(f *doctor.Facts) {
			f.Peers = f.Peers[1:]
			f.Peers[0].Probes = nil
		},
		"no UDP address of cellar is known to try → ",
	},
	{
		"a peer that refuses", "udp",
		func(f *doctor.Facts) {
			f.Peers = f.Peers[:1]
			away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.Refused), udp("11.0.0.1", doctor.Refused))
		},
		"no answer over UDP from attic: see reach → ",
	},
	{
		"called by peers alone", "nat",
		func(f *doctor.Facts) { f.Network.Seen = nil },
		"whether a router is before this machine is not known: the other side made all connections, and only peers that this node connects to tell how they see it → ",
	},
	{
		"no node", "nat",
		func(f *doctor.Facts) { f.Running, f.Network.Seen = false, nil },
		"whether a router is before this machine is not known: peers tell that to a node that runs → ",
	},
	{
		"a full disk", "disk",
		func(f *doctor.Facts) { f.Disk.Full, f.Disk.Models = "it has none free", 1 },
		"/d has no room for models, and the node is read-only: it has none free (models use 0 B and can use 0 B more) → make room: covey model rm MODEL --data /d works on a full disk too; or delete other files of this disk",
	},
	{
		"a full disk without a model", "disk",
		func(f *doctor.Facts) { f.Disk.Full, f.Disk.Mend = "it has 2 GiB free", "remove at least 3073 MiB" },
		"/d has no room for models, and the node is read-only: it has 2 GiB free (models can use 0 B, none is here) → remove at least 3073 MiB",
	},
	{
		"a dead peer that had let this machine in", "reach",
		func(f *doctor.Facts) { dead(f); f.Membership.State = "member" },
		refuses + "let port 24001, TCP and UDP, pass in its firewall",
	},
	{
		"a dead peer that never let this machine in", "reach",
		func(f *doctor.Facts) { dead(f); f.Membership.State = "joining" },
		refuses + "let port 24001, TCP and UDP, pass in its firewall; if that does not help, the port is wrong: make a new token",
	},
	{
		"a clock that is wrong", "reach",
		func(f *doctor.Facts) {
			f.Peers = f.Peers[:1]
			away(&f.Peers[0], tcp("11.0.0.1", 24001, doctor.Answers))
			f.Peers[0].Refused, f.Peers[0].Reason = time.Hour, "its clock"
		},
		"attic (that the token or the owner names): a covey node answers at TCP 11.0.0.1:24001, but no connection stands: its clock → see clock",
	},
	{
		"blocked", "udp",
		func(f *doctor.Facts) {
			f.Peers = f.Peers[1:]
			f.Peers[0].Probes = append(f.Peers[0].Probes, udp("11.0.0.2", doctor.Silent))
		},
		"UDP is blocked: no answer over QUIC from cellar, which answers over TCP: a firewall or router drops UDP → let UDP to port 24001 out (and answers in) in the firewall of this machine and its router; without it TCP is used, holes are punched less often, and a relay is needed more often",
	},
	{
		"a narrow path with QUIC", "mtu",
		func(f *doctor.Facts) { f.Peers[0].Probes[0].MTU = 1280 },
		narrow + "covey copes with it over QUIC, which is in use; if TCP stalls, lower the MTU of this machine's interface to 1280",
	},
	{
		"a narrow path with TCP", "mtu",
		func(f *doctor.Facts) { f.Peers[0].Probes[0].MTU, f.Peers[0].QUIC = 1280, false },
		narrow + "if TCP stalls, lower the MTU of this machine's interface to 1280",
	},
	{
		"a local address, nobody connected", "ipv4",
		alone,
		"192.168.1.2 (of the local network); no peer is connected that could tell whether others reach this machine from outside → ",
	},
	{
		"a local address behind a router", "ipv4",
		func(*doctor.Facts) {},
		"192.168.1.2 (of the local network), 11.0.0.9 to peers outside; no peer has told yet whether others reach this machine from outside → ",
	},
	{
		"an address of examples, as of containers", "nat",
		func(f *doctor.Facts) {
			f.Network.Addrs4, f.Network.Seen = []string{"192.0.2.2"}, []doctor.Seen{{Proto: "tcp", Local: "192.0.2.2:24001", As: "192.0.2.2:24001", Peer: "attic", At: "192.0.2.3"}}
		},
		"none between this machine and its peers → ",
	},
	{
		"on one network with its peers", "relay",
		func(f *doctor.Facts) { f.Network.Seen, f.Network.Relays = nil, nil },
		"none needed for the connected peers: no router between them and this machine is known of; it relays for no others → ",
	},
	{
		"a public address", "relay",
		func(f *doctor.Facts) {
			alone(f)
			f.Network.Addrs4, f.Network.Public4 = []string{"11.0.0.9"}, "11.0.0.9"
		},
		"none needed: 11.0.0.9 of this machine is a public address; it relays for no others → ",
	},
	{
		"reached", "relay",
		func(f *doctor.Facts) {
			f.Network.Relays, f.Network.Reachable, f.Network.Relaying = nil, []string{"tcp 11.0.0.9:24001"}, true
		},
		"none needed: others reach this machine at tcp 11.0.0.9:24001; it relays for others → ",
	},
}

// TestExamineTells spoils a node that is named with --data, and looks what a finding says and advises.
func TestExamineTells(t *testing.T) {
	t.Parallel()
	for _, c := range told {
		t.Run(c.name+", "+c.check, func(t *testing.T) {
			t.Parallel()
			f := healthy()
			f.Data.Flag = " --data /d"
			c.spoil(f)
			for _, x := range doctor.Examine(f) {
				if x.Check == c.check {
					if got := x.What + " → " + x.Do; got != c.want {
						t.Errorf("got  %s\nwant %s", got, c.want)
					}
					return
				}
			}
			t.Errorf("nothing is said of %s", c.check)
		})
	}
}
