package host

import (
	"strings"

	"github.com/covey-network/covey/protocol/wire"
)

// widePort is the port that the narrowest firewalls and proxies let connections out to.
const widePort = 443

// wide reports whether this peer wants to be joined at port 443, too.
func (r *running) wide() bool {
	return r.cfg.Relay == RelayOn && len(r.cfg.Announce) == 0 // else none would hear of it
}

// listenWide lets a peer that relays for sure be joined at port 443, too, on all addresses
// that it listens on without a host of their own. A web server may have the port, or the
// system may not give it: that is said and no more. Over TCP it takes WebSockets there, too, for
// walls that look into connections.
func (r *running) listenWide() {
	if !r.wide() {
		return
	}
	var at []wire.Addr
	done := map[string]bool{} // by network
	for _, text := range r.cfg.Listen {
		if a, ok := parseListen(text); ok && a.port() == r.cfg.widePort {
			done[a.network()] = true
			if len(a.fields) == 5 && a.fields[3] == "tcp" {
				at = append(at, wire.Addr(text)+overTLS)
			}
		}
	}
	for _, text := range r.cfg.Listen {
		a, ok := parseListen(text)
		if !ok || done[a.network()] || a.host() != "0.0.0.0" && a.host() != "::" {
			continue
		}
		done[a.network()] = true
		if err := a.bind(r.ctx, r.cfg.widePort); err != nil && a.bind(r.ctx, 0) == nil {
			r.log.Info("does not listen on port 443: machines whose firewall lets out nothing else cannot join here", "network", strings.Join(a.fields[1:4], "/"), "err", err)
		} else if err == nil {
			at = append(at, a.at(r.cfg.widePort))
			if a.fields[3] == "tcp" {
				at = append(at, a.at(r.cfg.widePort)+overTLS)
			}
		}
	}
	if err := r.host.Network().Listen(addrsOf(at)...); err != nil && len(at) > 0 {
		r.log.Warn("does not listen on port 443", "err", err)
	}
}
