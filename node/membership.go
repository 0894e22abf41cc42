package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// membershipWarning is how long before its end a membership that nobody renews is a
	// problem to tell.
	membershipWarning = 7 * 24 * time.Hour
	// problemsLook is how often the log is told of a new problem.
	problemsLook = time.Minute
	// endLook is how often it is told of the end of the membership.
	endLook = 2 * time.Second
)

// ErrTokenOver means that a new peer cannot join with a token any more.
var ErrTokenOver = errors.New("the token has expired before a peer of the swarm accepted it from this machine; make a new one with covey invite and start with covey up --join")

// membership describes by what right this peer is in its swarm.
func (r *running) membership() api.Membership {
	m := r.hostMembership()
	out := api.Membership{
		State: "member", Scopes: m.Grant.Scopes, Expires: m.Grant.ExpiresAt(), RenewsAt: m.RenewsAt,
		Invitation: hex.EncodeToString(m.Grant.Invitation()), Reached: m.Reached,
	}
	out.Trouble = membershipTrouble(&m, time.Now())
	out.Problem = out.Trouble.String()
	if m.Grant.Issuer != nil {
		out.GrantedBy = m.Grant.Issuer.Peer
		out.GranterName = r.host.Name(out.GrantedBy)
	}
	switch {
	case errors.Is(m.Over, wire.ErrRevoked), errors.Is(m.Refused, wire.ErrRevoked):
		out.State = "revoked"
	case m.Over != nil:
		out.State = "over"
	case m.Founder:
		out.State = "founder"
	case m.Grant.Admits():
		out.State = "deputy"
	case m.Grant.Peer == "":
		out.State = "joining"
	}
	return out
}

// hostMembership is the host's membership. That a peer turned this one away says nothing
// while others let it in.
func (r *running) hostMembership() host.Membership {
	m := r.host.Membership()
	if m.Refused != nil && len(r.host.Peers()) > 0 {
		m.Refused = nil
	}
	return m
}

// What to do about a membership that does not count, and what comes of it.
const (
	answersOwner = "other peers do not talk to this node, it answers its owner alone"
	joinAnew     = "start it with covey up --join and a token of covey invite from the founder or a deputy"
)

// revokedTrouble tells what to do after a revocation: which is why.
func revokedTrouble(why error) *api.Trouble {
	if errors.Is(why, wire.ErrPeerRevoked) {
		return &api.Trouble{
			Code: api.TroublePeerRevoked,
			What: "the founder has taken this machine off the swarm, and a new token does not change that: " + answersOwner,
			Do:   "the founder can take it back with covey peers --unrevoke and this peer's identity, or join as a new peer: covey up with another --data and a token",
		}
	}
	return &api.Trouble{
		Code: api.TroubleRevoked,
		What: "the founder has taken the membership back: " + answersOwner,
		Do: "start it with covey up --join and a token of another invitation; if that is refused too, this machine was taken off by its identity: " +
			"it needs another --data, or covey peers --unrevoke at the founder's",
	}
}

// membershipTrouble returns what is wrong with a membership and what to do, nil if nothing is.
func membershipTrouble(m *host.Membership, now time.Time) *api.Trouble {
	end := m.Grant.ExpiresAt().Local().Format(time.DateTime)
	var refused *wire.Error
	switch left := m.Grant.ExpiresAt().Sub(now); {
	case errors.Is(m.Over, wire.ErrRevoked):
		return revokedTrouble(m.Over)
	case errors.Is(m.Over, wire.ErrNotYet):
		return &api.Trouble{Code: api.TroubleNotBegun, What: "the membership has not begun by this machine's clock, which says " + now.Format(time.DateTime), Do: "set the clock"}
	case m.Over != nil:
		return &api.Trouble{Code: api.TroubleEnded, What: fmt.Sprintf("the membership ended on %s: %s", end, answersOwner), Do: joinAnew}
	case errors.Is(m.Refused, wire.ErrRevoked):
		return revokedTrouble(m.Refused)
	case errors.As(m.Refused, &refused) && (refused.Code == wire.CodeRefused || refused.Code == wire.CodeExpired):
		t := &api.Trouble{Code: api.TroubleTurnedAway, What: "a peer turned this node away: " + refused.Message, Do: "if that is not a matter of clocks, " + joinAnew}
		if ahead, apart := host.ClocksApart(refused); apart {
			t.Code, t.Clock = api.TroubleClock, ahead
		}
		return t
	case !m.Founder && left < membershipWarning && (m.Reached.IsZero() || m.Err != nil):
		why := "no peer that renews it was reached"
		if m.Err != nil && !m.Reached.IsZero() {
			why = m.Err.Error()
			if m.Next.After(now) {
				why += ", tried again at " + m.Next.Local().Format(time.TimeOnly)
			}
		}
		return &api.Trouble{
			Code: api.TroubleNotRenewed, What: fmt.Sprintf("the membership ends on %s and is not renewed: %s", end, why),
			Do: "let the founder's node or a deputy's run",
		}
	}
	return nil
}

// watchProblems logs each new problem of the membership and of clocks. A node that has just
// started may still reach who renews it.
func (r *running) watchProblems(ctx context.Context) error {
	var last [2]string
	next := time.Now().Add(problemsLook)
	for first := true; ; first = false {
		m := r.membership()
		now := last
		if m.Ended() {
			now[0] = m.Problem
		}
		if first || !time.Now().Before(next) {
			now[1] = clockProblem(r.host.Peers())
		}
		if !first && !time.Now().Before(next) {
			now[0], next = m.Problem, time.Now().Add(problemsLook)
		}
		for i, p := range now {
			if p != last[i] && p != "" {
				r.log.Warn(p)
			}
		}
		last = now
		if !sleep(ctx, endLook) {
			return nil
		}
	}
}

// postRevoke takes back invitations and memberships.
func (r *running) postRevoke(w http.ResponseWriter, req *http.Request) error {
	var in api.RevokeRequest
	if err := read(req, &in); err != nil {
		return err
	}
	var ids [][]byte
	for _, text := range in.Invitations {
		id, err := hex.DecodeString(text)
		if err != nil || len(id) != wire.GrantIDSize {
			return statusError{http.StatusBadRequest, fmt.Errorf("invitation %.40q: want the %d hex digits that covey invite tells", text, 2*wire.GrantIDSize)}
		}
		ids = append(ids, id)
	}
	if len(in.Readmit) > 0 && len(ids)+len(in.Peers) > 0 {
		return statusError{http.StatusBadRequest, errors.New("revoke and readmit are two requests")}
	}
	if len(ids)+len(in.Peers)+len(in.Readmit) == 0 {
		return statusError{http.StatusBadRequest, errors.New("nothing to revoke: name an invitation or a peer")}
	}
	out := api.Revoked{RevokeRequest: in}
	for i, id := range ids {
		known, err := r.host.Invited(id)
		if err != nil {
			return err
		}
		if !known {
			out.Unknown = append(out.Unknown, in.Invitations[i])
		}
	}
	var err error
	if len(in.Readmit) > 0 {
		err = r.host.Readmit(in.Readmit)
	} else {
		err = r.host.RevokeMore(ids, in.Peers)
	}
	if errors.Is(err, host.ErrNotRevoked) {
		err = statusError{http.StatusNotFound, err}
	}
	if errors.Is(err, host.ErrNotOwner) {
		err = statusError{http.StatusForbidden, errors.New("only the node that founded the swarm can revoke")}
	}
	if err != nil {
		return err
	}
	return answer(w, out)
}
