package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// membershipText tells a membership in a line.
func membershipText(m *api.Membership, now time.Time) string {
	text := m.State
	if m.State == "revoked" {
		return text
	}
	switch {
	case m.GrantedBy != "" && m.GranterName != "":
		text += fmt.Sprintf(", granted by deputy %s (%s)", m.GranterName, m.GrantedBy)
	case m.GrantedBy != "":
		text += fmt.Sprintf(", granted by deputy %s", m.GrantedBy)
	case m.State != "founder":
		text += ", granted by the founder"
	}
	text += ", may " + strings.Join(m.Scopes, ", ")
	if m.State == "founder" {
		return text
	}
	verb := "ends"
	if !m.Expires.After(now) {
		verb = "ended"
	}
	text += fmt.Sprintf("; %s %s", verb, m.Expires.Local().Format(time.DateTime))
	if m.Expires.After(now) {
		when := "now, at the founder's or a deputy's"
		if m.RenewsAt.After(now) {
			when = "from " + m.RenewsAt.Local().Format(time.DateOnly) + " on"
		}
		text += ", renews " + when
	}
	return text
}

func peersCommand(o *options) *cobra.Command {
	var revoked, back []string
	c := &cobra.Command{
		Use: "peers", Short: "List the peers of the swarm and what they serve, or take peers off",
		Long: "List the peers of the swarm that this node knows, and the path to each: direct; relayed via the peer that\ncarries the connection; lost a moment ago and being dialled again; unreachable, with what the last try found;\nuntried. With --revoke the founder takes peers off the swarm, by\ntheir names or identities, for good: all members hear of it and cut them off. A token that they joined\nwith lets them come back as another peer, until it expires or is revoked too (covey invite --revoke). With\n--unrevoke the founder takes that back for an identity: the machine is let in again when it next tries.",
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := o.needRunning(c.Context())
			if err != nil {
				return err
			}
			if len(back) > 0 {
				return o.readmitPeers(c, client, back)
			}
			query := url.Values{"all": {"true"}}
			if len(revoked) > 0 { // of two machines of one name the connected one is meant
				query = nil
			}
			var peers []api.Peer
			if err := client.Get(c.Context(), "/covey/v1/peers", query, &peers); err != nil {
				return err
			}
			if len(revoked) > 0 {
				return o.revokePeers(c, client, peers, revoked)
			}
			if o.json {
				return printJSON(c.OutOrStdout(), peers)
			}
			for _, p := range peers {
				if p.Clock.Abs() > api.ClockFar {
					fmt.Fprintf(c.ErrOrStderr(), "the clocks of this machine and of %s are %s apart: covey status%s tells more\n", cmp.Or(p.Name, p.ID.String()), p.Clock.Abs().Round(time.Second), o.dataFlag())
				}
			}
			away := false
			rows := [][]string{{"PEER", "NAME", "RTT", "CORES", "MEMORY FREE", "SERVES", "PATH"}}
			for _, p := range peers {
				var serves []string
				for _, m := range p.Models {
					for _, s := range m.Served {
						serves = append(serves, m.Name+" "+rangeText(s.Range))
					}
				}
				away = away || p.Path.Reason != ""
				rows = append(rows, []string{p.ID.String(), p.Name, rttText(&p), fmt.Sprint(p.Cores), store.BytesText(int64(p.Memory.Free)), strings.Join(serves, "; "), pathText(&p.Path)})
			}
			if err := table(c.OutOrStdout(), rows); err != nil || !away {
				return err
			}
			fmt.Fprintf(c.ErrOrStderr(), "covey doctor%s looks closer at peers that are unreachable\n", o.dataFlag())
			return nil
		},
	}
	c.Flags().StringSliceVar(&revoked, "revoke", nil, "take these peers off the swarm")
	c.Flags().StringSliceVar(&back, "unrevoke", nil, "let these peers in again, given by their identities")
	c.MarkFlagsMutuallyExclusive("revoke", "unrevoke")
	return c
}

// pathText tells the way to a peer.
func pathText(p *api.Path) string {
	switch {
	case p.Via != "":
		return fmt.Sprintf("%s via %s", p.State, cmp.Or(p.ViaName, p.Via.String()))
	case p.Reason != "":
		return p.State + ": " + p.Reason
	case p.State == "lost":
		return fmt.Sprintf("lost %.0f s ago, being dialled again", time.Since(p.Since).Seconds())
	}
	return p.State
}

// rttText is the round trip to a connected peer.
func rttText(p *api.Peer) string {
	if p.RTT == 0 || !p.Path.Connected() {
		return "-"
	}
	return p.RTT.Round(10 * time.Microsecond).String()
}

// readmitPeers lets peers in again that were taken off, which are named by their identities:
// nobody keeps the names of who is gone.
func (o *options) readmitPeers(c *cobra.Command, client *api.Client, names []string) error {
	var req api.RevokeRequest
	for _, name := range names {
		id, err := wire.ParsePeerID(name)
		if err != nil {
			return usageError{fmt.Errorf("--unrevoke %s is no peer's identity: covey status on that machine tells it", name)}
		}
		req.Readmit = append(req.Readmit, id)
	}
	if err := client.Post(c.Context(), "/covey/v1/revoke", req, nil); err != nil {
		return err
	}
	if o.json {
		return printJSON(c.OutOrStdout(), req)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s may come back\n", countText(len(req.Readmit), "peer"))
	return nil
}

// revokePeers takes peers off the swarm, which are named by what the list of peers shows.
func (o *options) revokePeers(c *cobra.Command, client *api.Client, peers []api.Peer, names []string) error {
	var req api.RevokeRequest
	var came []string // the invitations that the peers came with
	for _, name := range names {
		found := slices.DeleteFunc(slices.Clone(peers), func(p api.Peer) bool { return p.Name != name && p.ID.String() != name })
		if len(found) > 1 {
			return usageError{fmt.Errorf("%d peers have the name %q: give the identity", len(found), name)}
		}
		if len(found) == 1 {
			req.Peers = append(req.Peers, found[0].ID)
			came = append(came, found[0].Invitation)
			continue
		}
		id, err := wire.ParsePeerID(name)
		if err != nil {
			return usageError{fmt.Errorf("--revoke %s: no connected peer has this name, and it is no peer's identity; see covey peers%s", name, o.dataFlag())}
		}
		req.Peers = append(req.Peers, id)
	}
	if err := client.Post(c.Context(), "/covey/v1/revoke", req, nil); err != nil {
		return err
	}
	if o.json {
		return printJSON(c.OutOrStdout(), req)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s off the swarm\n", countText(len(req.Peers), "peer"))
	for _, id := range req.Peers {
		fmt.Fprintf(c.ErrOrStderr(), "to take that back: covey peers --unrevoke %s%s\n", id, o.dataFlag())
	}
	slices.Sort(came)
	for _, id := range slices.Compact(came) {
		fmt.Fprintf(c.ErrOrStderr(), "a peer came with invitation %s; covey invite --revoke %s%s ends that and all who came with it\n", id, id, o.dataFlag())
	}
	return nil
}

func inviteCommand(o *options) *cobra.Command {
	ttl := duration(host.DefaultInvitation)
	var life duration
	var scopes, addrs, revoked []string
	c := &cobra.Command{
		Use: "invite", Short: "Print a token with which another machine joins this swarm, or end one",
		Long: `Print a join token: where to find this node, and the swarm's signed permission to join until it
expires. Whoever has the token can join; who has joined stays, as memberships renew themselves at the
node that founded the swarm or at a deputy's. A deputy is a node that joined with --scope
use,serve,publish,admit: it renews memberships and invites when the founder's node is gone. With
--revoke the founder ends an invitation, by its token or the ID that was told with it, and with it the
memberships of all who came with it.`,
		Example: "  covey invite --ttl 2w\n  covey invite --scope use,serve,publish,admit\n  covey invite --revoke 0a1b2c…",
		Args:    args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if len(revoked) > 0 {
				return o.revokeInvitations(c, revoked)
			}
			for _, f := range []struct {
				flag  string
				d     duration
				least duration
			}{{"ttl", ttl, 1}, {"renewal", life, 0}} {
				if f.d < f.least || f.d > duration(protocol.MaxGrant) {
					return usageError{fmt.Errorf("--%s is %s, want a time such as 12h, 7d or 2w, at most %d days", f.flag, f.d.String(), protocol.MaxGrant/(24*time.Hour))}
				}
			}
			for _, s := range scopes {
				if !slices.Contains(wire.AllScopes(), s) {
					return usageError{fmt.Errorf("unknown scope %q, there are %s", s, strings.Join(wire.AllScopes(), ", "))}
				}
			}
			client, err := o.needRunning(c.Context())
			if err != nil {
				return err
			}
			req := api.InviteRequest{TTL: time.Duration(ttl), Life: time.Duration(life), Scopes: scopes}
			for _, a := range addrs {
				req.Addrs = append(req.Addrs, wire.Addr(a))
			}
			var in api.Invite
			if err := client.Post(c.Context(), "/covey/v1/invite", req, &in); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), in)
			}
			fmt.Fprintln(c.OutOrStdout(), in.Token)
			fmt.Fprintf(c.ErrOrStderr(), "new machines can join until %s, with: covey up --join TOKEN\nif the token is lost: covey invite --revoke %s%s\n", in.Expires.Local().Format(time.DateTime), in.ID, o.dataFlag())
			return nil
		},
	}
	c.Flags().Var(&ttl, "ttl", "how long new machines can join with the token: 12h, 7d, 2w")
	c.Flags().Var(&life, "renewal", "how long a renewed membership lasts at most: 30d (default 90d)")
	c.Flags().StringSliceVar(&scopes, "scope", nil, "what the peer may do: use, serve, publish, admit (default all but admit)")
	c.Flags().StringSliceVar(&addrs, "addr", nil, "further multiaddrs under which this node can be reached, such as /ip4/203.0.113.7/tcp/24001")
	c.Flags().StringSliceVar(&revoked, "revoke", nil, "end these invitations, given as tokens or IDs, and the memberships that came of them")
	return c
}

// revokeInvitations ends invitations, which are named by their tokens or ids.
func (o *options) revokeInvitations(c *cobra.Command, names []string) error {
	var req api.RevokeRequest
	for _, name := range names {
		id := strings.ToLower(strings.TrimSpace(name))
		if token, err := wire.ParseToken(name); err == nil {
			g, err := token.Open()
			if err != nil {
				return usageError{fmt.Errorf("--revoke: %w", err)}
			}
			id = hex.EncodeToString(g.ID)
		} else if b, err := hex.DecodeString(id); err != nil || len(b) != wire.GrantIDSize {
			return usageError{fmt.Errorf("--revoke %.16q is neither a token nor the ID of one (%d hex digits)", name, 2*wire.GrantIDSize)}
		}
		req.Invitations = append(req.Invitations, id)
	}
	client, err := o.needRunning(c.Context())
	if err != nil {
		return err
	}
	var done api.Revoked
	if err := client.Post(c.Context(), "/covey/v1/revoke", req, &done); err != nil {
		return err
	}
	if o.json {
		err = printJSON(c.OutOrStdout(), done)
	} else if known := len(req.Invitations) - len(done.Unknown); known > 0 {
		fmt.Fprintf(c.OutOrStdout(), "%s ended, and the memberships that came of them\n", countText(known, "invitation"))
	}
	if err != nil || len(done.Unknown) == 0 {
		return err
	}
	return &api.StatusError{Status: http.StatusNotFound, Message: fmt.Sprintf("this node did not make invitation %s, and knows no member that came by it: check the number; it cannot be used now, but if it is mistyped, the token that you mean still works", strings.Join(done.Unknown, ", "))}
}
