package doctor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/covey-network/covey/protocol/wire"
)

// Target is an address to probe.
type Target struct {
	Proto string // tcp, udp
	Host  string
	Port  int
}

// String is TCP or UDP, host and port.
func (t Target) String() string {
	return strings.ToUpper(t.Proto) + " " + net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
}

// ParseTarget returns what to probe for a peer's address. False: there is nothing, such as an
// address over a relay.
func ParseTarget(a wire.Addr) (Target, bool) {
	f := strings.Split(string(a), "/")
	if len(f) < 5 || strings.Contains(string(a), "/p2p-circuit") || f[3] != "tcp" && f[3] != "udp" {
		return Target{}, false
	}
	switch f[1] {
	case "ip4", "ip6", "dns", "dns4", "dns6":
	default:
		return Target{}, false
	}
	port, err := strconv.Atoi(f[4])
	if err != nil || port < 1 || port > 65535 {
		return Target{}, false
	}
	return Target{f[3], f[2], port}, true
}

// How long and how much is probed.
const (
	dialLimit  = 3 * time.Second // two tries of TCP, one second apart
	sayLimit   = time.Second     // for a program that accepted to say what it is
	udpTries   = 3
	sizeLimit  = 300 * time.Millisecond // for an answer to a larger packet, and four round trips
	probesOnce = 64
)

// guesses are ports that are tried to see whether a silent machine is there at all.
var guesses = []int{443, 80, 22}

// packetSizes are tried to find the largest that passes: those of IPv6's least, of common
// tunnels and of Ethernet. The first is QUIC's least.
var packetSizes = []int{1228, 1280, 1400, 1452, 1500}

// Prober tries what answers at addresses. The zero value is ready.
type Prober struct{}

// Probe tries all targets of each peer at once, and where a machine is silent some ports that
// others may listen on. Probes of the i-th peer are in the i-th element.
func (p Prober) Probe(ctx context.Context, peers [][]Target) [][]Probe {
	out := make([][]Probe, len(peers))
	room := make(chan struct{}, probesOnce)
	var wg sync.WaitGroup
	for i, targets := range peers {
		wg.Go(func() { out[i] = p.machine(ctx, room, targets) })
	}
	wg.Wait()
	return out
}

func (p Prober) machine(ctx context.Context, room chan struct{}, targets []Target) []Probe {
	found := p.all(ctx, room, targets, false)
	silent := map[string]bool{}
	for i := range found {
		if s, seen := silent[found[i].Host]; found[i].Proto == "tcp" {
			silent[found[i].Host] = found[i].Result == Silent && (s || !seen)
		}
	}
	var more []Target
	for host, s := range silent {
		for _, port := range guesses {
			if t := (Target{"tcp", host, port}); s && !slices.Contains(targets, t) {
				more = append(more, t)
			}
		}
	}
	return append(found, p.all(ctx, room, more, true)...)
}

func (p Prober) all(ctx context.Context, room chan struct{}, targets []Target, guess bool) []Probe {
	out := make([]Probe, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			if t.Proto == "udp" {
				out[i] = probeUDP(ctx, t)
			} else {
				out[i] = probeTCP(ctx, t)
			}
			out[i].Guess = guess
		})
	}
	wg.Wait()
	return out
}

// hello is what both sides of a connection of the network library say first.
const hello = "\x13/multistream/1.0.0\n"

// probeTCP connects and looks who speaks.
func probeTCP(ctx context.Context, t Target) Probe {
	start := time.Now()
	d := net.Dialer{Timeout: dialLimit}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(t.Host, strconv.Itoa(t.Port)))
	p := Probe{Target: t, After: time.Since(start)}
	if err != nil {
		p.Result, p.Says = resultOf(err)
		return p
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(sayLimit + 4*p.After)) // an error shows at the read
	if _, err := io.WriteString(c, hello); err != nil {
		p.Result = Other // it hung up
		return p
	}
	said := make([]byte, len(hello))
	n, _ := io.ReadFull(c, said) // the rest tells
	p.Result = Other             // also if it says nothing, or hangs up
	if string(said[:n]) == hello {
		p.Result = Answers
		p.Narrow = isNarrow(c, sayLimit+4*p.After)
	} else {
		p.Says = printable(said[:n])
	}
	return p
}

// wideBytes is the size of a packet that all of Ethernet, PPPoE and common tunnels let pass.
const wideBytes = 1400

// refusal is what the network library answers to a protocol that it does not have.
const refusal = "\x03na\n"

// isNarrow reports whether a node that has said hello answers nothing that fills a packet of
// wideBytes within a time. The packet proposes two protocols that no node has.
func isNarrow(c net.Conn, limit time.Duration) bool {
	const each = (wideBytes - 40) / 2 // 40: the headers of IP and TCP
	proposal := binary.AppendUvarint(nil, each-2)
	proposal = append(proposal, "/covey/none/"...)
	for len(proposal) < each-1 {
		proposal = append(proposal, '0')
	}
	proposal = append(proposal, '\n')
	_ = c.SetDeadline(time.Now().Add(limit)) // an error shows at the read
	if _, err := c.Write(slices.Concat(proposal, proposal)); err != nil {
		return false
	}
	said := make([]byte, len(refusal))
	_, err := io.ReadFull(c, said)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// printable is the start of what a program said, for people.
func printable(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, string(line)))
}

// resultOf tells what an error of a connection says.
func resultOf(err error) (Result, string) {
	var timeout net.Error
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		return Broken, "the name " + name.Name + " is not found"
	case isRefused(err):
		return Refused, ""
	case isNoRoute(err):
		return NoRoute, ""
	case errors.Is(err, os.ErrPermission): // a firewall of this machine
		return NoRoute, "this machine does not let it out"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Silent, ""
	}
	return Broken, err.Error()
}

// ipHeader is the bytes of the headers around a packet of UDP.
func ipHeader(host string) int {
	if strings.Contains(host, ":") {
		return 48
	}
	return 28
}

// probeUDP sends packets of a version of QUIC that does not exist, which any server answers with
// those that it speaks, in growing sizes.
func probeUDP(ctx context.Context, t Target) Probe {
	p := Probe{Target: t}
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", net.JoinHostPort(t.Host, strconv.Itoa(t.Port)))
	if err != nil {
		p.Result, p.Says = resultOf(err)
		return p
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) }) // the read below ends then
	defer stop()
	exact := dontFragment(c)
	limit := dialLimit / udpTries
	for i, size := range packetSizes {
		size = max(size-ipHeader(t.Host), packetSizes[0]-28)
		result, says, after := askQUIC(c, size, byte(i), limit)
		if i == 0 {
			p.Result, p.Says, p.After = result, says, after
			limit = min(limit, sizeLimit+4*after)
		}
		if result != Answers || !exact {
			break
		}
		p.MTU = size + ipHeader(t.Host)
	}
	return p
}

// askQUIC sends a packet until something comes back, each time for so long.
func askQUIC(c net.Conn, size int, mark byte, limit time.Duration) (r Result, says string, after time.Duration) {
	packet := make([]byte, size)
	packet[0] = 0xc0                                   // a long header
	binary.BigEndian.PutUint32(packet[1:], 0x1a2a3a4a) // a version that none is, RFC 9000 section 15
	id := []byte{'c', 'o', 'v', 'e', 'y', '?', '?', mark}
	copy(packet[5:], slices.Concat([]byte{byte(len(id))}, id, []byte{byte(len(id))}, id)) // to and from
	in := make([]byte, 2048)
	for range udpTries {
		start := time.Now()
		if _, err := c.Write(packet); isTooLong(err) {
			return Silent, "", 0
		} else if err != nil {
			r, says = resultOf(err)
			return r, says, 0
		}
		_ = c.SetReadDeadline(start.Add(limit)) // an error shows at the read
		for {
			n, err := c.Read(in)
			if err == nil && !isAnswer(in[:n], id) {
				r = Other
				continue
			}
			if err == nil {
				return Answers, "", time.Since(start)
			}
			if found, says := resultOf(err); found != Silent {
				return found, says, time.Since(start)
			}
			break
		}
		if r == Other {
			return r, "", 0
		}
	}
	return Silent, "", 0
}

// isAnswer reports whether a packet tells the versions that a server speaks, to a packet of id.
func isAnswer(b, id []byte) bool {
	return len(b) > 6+len(id) && b[0]&0x80 != 0 && binary.BigEndian.Uint32(b[1:]) == 0 && int(b[5]) == len(id) && bytes.Equal(b[6:6+len(id)], id)
}
