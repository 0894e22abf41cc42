package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/covey-network/covey/protocol/wire"
)

// portFile keeps the port that this peer listens on, so that others and old join tokens
// find it after a restart.
const portFile = "port"

// Ports are chosen where no system takes those of outgoing connections from.
const (
	firstPort = 20_000
	lastPort  = 29_999
	portTries = 100
)

// listenAt returns the addresses to listen on. Port 0 in the configuration is the port that
// this peer keeps, the same for TCP and QUIC; without a directory the system chooses.
func (r *running) listenAt() ([]wire.Addr, error) {
	var open []listenAddr
	for _, text := range r.cfg.Listen {
		if a, ok := parseOpen(text); ok {
			open = append(open, a)
		}
	}
	if len(open) == 0 || r.cfg.Dir == "" {
		return textAddrs(r.cfg.Listen), nil
	}
	port, err := r.keptPort(open)
	if err != nil {
		return nil, err
	}
	out := make([]wire.Addr, len(r.cfg.Listen))
	for i, text := range r.cfg.Listen {
		out[i] = wire.Addr(text)
		if a, ok := parseOpen(text); ok {
			out[i] = a.at(port)
		}
	}
	return out, nil
}

// keptPort returns the port in the directory if it is free, else another, which is kept then.
func (r *running) keptPort(open []listenAddr) (int, error) {
	path := filepath.Join(r.cfg.Dir, portFile)
	kept, err := readPort(r.cfg.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("kept port not read, choosing another", "path", path, "err", err)
	}
	if kept != 0 && r.portFree(open, kept) {
		return kept, nil
	}
	port, err := r.choosePort(open)
	if err != nil {
		return 0, err
	}
	if kept != 0 {
		r.taken = kept
		r.log.Warn("the kept port is taken, listening on another from now on: join tokens made before do not lead here", "taken", kept, "port", port)
	}
	if err := writeFile(path, []byte(strconv.Itoa(port)+"\n")); err != nil {
		r.log.Warn("port not kept, the next start chooses another", "err", err)
	}
	return port, nil
}

// readPort returns the port in a directory, or 0 and why there is none.
func readPort(dir string) (int, error) {
	data, err := readFile(filepath.Join(dir, portFile))
	if err != nil {
		return 0, err
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err == nil && (port < 1 || port > 65535) {
		err = fmt.Errorf("port %d", port)
	}
	if err != nil {
		return 0, err
	}
	return port, nil
}

func (r *running) choosePort(open []listenAddr) (int, error) {
	k := r.ID().PublicKey()
	rng := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(k), binary.LittleEndian.Uint64(k[8:])))
	for range portTries {
		if port := firstPort + rng.IntN(lastPort+1-firstPort); r.portFree(open, port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d after %d tries", firstPort, lastPort, portTries)
}

// portFree reports whether all addresses can be listened on at a port. Those that cannot be
// at any, such as IPv6 where there is none, do not count.
func (r *running) portFree(open []listenAddr, port int) bool {
	for _, a := range open {
		if a.bind(r.ctx, port) != nil && a.bind(r.ctx, 0) == nil {
			return false
		}
	}
	return true
}

// listenAddr is a multiaddr to listen on: /ip4/HOST/tcp/PORT or /ip6/HOST/udp/PORT/quic-v1.
type listenAddr struct{ fields []string }

func parseListen(text string) (listenAddr, bool) {
	f := strings.Split(text, "/")
	ok := len(f) >= 5 && (f[1] == "ip4" || f[1] == "ip6") && (f[3] == "tcp" || f[3] == "udp")
	return listenAddr{f}, ok
}

// parseOpen parses a multiaddr of port 0.
func parseOpen(text string) (listenAddr, bool) {
	a, ok := parseListen(text)
	return a, ok && a.port() == 0
}

// Listenable tries to listen at a multiaddr, at a port if the multiaddr leaves that open. It
// returns the address as PROTOCOL HOST:PORT, and a multiaddr that it does not know as it is.
func Listenable(ctx context.Context, text string, port int) (at string, err error) {
	a, ok := parseListen(text)
	if !ok {
		return text, nil
	}
	if p := a.port(); p != 0 {
		port = p
	}
	return a.fields[3] + " " + net.JoinHostPort(a.host(), strconv.Itoa(port)), a.bind(ctx, port)
}

// network is the name that package net has for it, such as tcp4.
func (a listenAddr) network() string { return a.fields[3] + a.fields[1][2:] }

func (a listenAddr) host() string { return a.fields[2] }

// port returns the port, or -1 if it is none.
func (a listenAddr) port() int {
	n, err := strconv.Atoi(a.fields[4])
	if err != nil {
		return -1
	}
	return n
}

func (a listenAddr) at(port int) wire.Addr {
	f := append([]string{}, a.fields...)
	f[4] = strconv.Itoa(port)
	return wire.Addr(strings.Join(f, "/"))
}

// bind tries to listen. Unlike the library it does not share the port with another process.
func (a listenAddr) bind(ctx context.Context, port int) error {
	var c net.ListenConfig
	network, addr := a.network(), net.JoinHostPort(a.fields[2], strconv.Itoa(port))
	if a.fields[3] == "tcp" {
		l, err := c.Listen(ctx, network, addr)
		if err != nil {
			return err
		}
		return l.Close()
	}
	l, err := c.ListenPacket(ctx, network, addr)
	if err != nil {
		return err
	}
	return l.Close()
}
