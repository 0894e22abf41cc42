package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/gateway"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/hosting"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/node/trainer"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// answerTimeout is how long a client may take to read an answer, or an event of one.
const answerTimeout = 30 * time.Second

// controlRoutes are the routes that the command line uses: patterns of http.ServeMux and what
// answers them.
var controlRoutes = []struct {
	pattern string
	answer  func(r *running, w http.ResponseWriter, req *http.Request) error
}{
	{"GET /covey/v1/status", (*running).getStatus},
	{"GET /covey/v1/peers", (*running).getPeers},
	{"GET /covey/v1/models", (*running).getModels},
	{"GET /covey/v1/models/{name}", (*running).getModel},
	{"DELETE /covey/v1/models/{name}", (*running).deleteModel},
	{"POST /covey/v1/models/import", (*running).postImport},
	{"POST /covey/v1/models/pull", (*running).postPull},
	{"POST /covey/v1/models/pin", (*running).postPin},
	{"POST /covey/v1/models/bench", (*running).postBench},
	{"POST /covey/v1/host", (*running).postHost},
	{"DELETE /covey/v1/host/{name}", (*running).deleteHost},
	{"GET /covey/v1/jobs", (*running).getJobs},
	{"POST /covey/v1/jobs", (*running).postJob},
	{"GET /covey/v1/swarm/jobs", (*running).getSwarmJobs},
	{"DELETE /covey/v1/swarm/jobs/{name}", (*running).deleteSwarmJob},
	{"GET /covey/v1/jobs/{id}", (*running).getJob},
	{"GET /covey/v1/jobs/{id}/events", (*running).getJobEvents},
	{"DELETE /covey/v1/jobs/{id}", (*running).deleteJob},
	{"GET /covey/v1/route", (*running).getRoute},
	{"POST /covey/v1/invite", (*running).postInvite},
	{"POST /covey/v1/revoke", (*running).postRevoke},
	{"POST /covey/v1/gc", (*running).postGC},
	{"GET /covey/v1/doctor", (*running).getDoctor},
	{"POST /covey/v1/doctor/second", (*running).postSecond},
}

// ControlRoutes returns the patterns of the routes that only the owner's key opens.
func ControlRoutes() (out []string) {
	for _, c := range controlRoutes {
		out = append(out, c.pattern)
	}
	return out
}

// control serves the control routes.
func (r *running) control() http.Handler {
	mux := http.NewServeMux()
	for _, c := range controlRoutes {
		mux.HandleFunc(c.pattern, func(w http.ResponseWriter, req *http.Request) {
			if err := because(req, c.answer(r, w, req)); err != nil {
				gateway.WriteError(w, statusOf(err), err)
			}
		})
	}
	mux.HandleFunc("/", gateway.NoRoute(mux))
	return mux
}

// because returns the reason of a failure of a request: what it was at fails with it when the
// node ends.
func because(req *http.Request, err error) error {
	if err != nil && errors.Is(context.Cause(req.Context()), gateway.ErrStopping) {
		return gateway.ErrStopping
	}
	return err
}

// statusError is an error with the HTTP status it is to be answered with.
type statusError struct {
	status int
	error
}

// statusOf returns the HTTP status for an error.
func statusOf(err error) int {
	var known statusError
	var long *http.MaxBytesError
	var full *store.SpaceError
	var missing *exchange.MissingError
	switch {
	case errors.As(err, &long):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, gateway.ErrSlow):
		return http.StatusRequestTimeout
	case errors.As(err, &known):
		return known.status
	case errors.Is(err, hosting.ErrRange), errors.Is(err, trainer.ErrUsage):
		return http.StatusBadRequest
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	case errors.Is(err, gateway.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, trainer.ErrNoRun):
		return http.StatusNotFound
	case errors.Is(err, gateway.ErrStopping), errors.Is(err, trainer.ErrEnded), errors.Is(err, trainer.ErrFull), errors.Is(err, router.ErrNoChain), errors.Is(err, worker.ErrNoMemory), errors.Is(err, hosting.ErrNoRoom),
		errors.Is(err, catalog.ErrNotHere), errors.As(err, &missing):
		return http.StatusServiceUnavailable
	case errors.Is(err, catalog.ErrNameTaken):
		return http.StatusConflict
	case errors.As(err, &full):
		return http.StatusInsufficientStorage
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// setDeadline lets a client take answerTimeout to read what is written now.
func setDeadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout)) // errors show at the write
}

func answer(w http.ResponseWriter, v any) error {
	setDeadline(w)
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

// read decodes a request strictly: these routes have one client, ours.
func read(req *http.Request, v any) error {
	dec := json.NewDecoder(req.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one JSON value")
		}
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("read request: %w", err)
	if statusOf(err) != http.StatusInternalServerError {
		return err
	}
	return statusError{http.StatusBadRequest, err}
}

// events answers long work: progress lines, then the last event.
type events struct {
	w   http.ResponseWriter
	req *http.Request
	rc  *http.ResponseController
}

func newEvents(w http.ResponseWriter, req *http.Request) *events {
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &events{w: w, req: req, rc: http.NewResponseController(w)}
}

func (e *events) send(v api.Event) {
	setDeadline(e.w)
	if json.NewEncoder(e.w).Encode(v) == nil {
		_ = e.rc.Flush() // the request's context ends if the client is gone
	}
}

// finish sends the end of the work.
func (e *events) finish(last api.Event, err error) error {
	if err = because(e.req, err); err != nil {
		last = api.Event{Error: gateway.Clip(err.Error()), Status: statusOf(err)}
	} else {
		last.Done = true
	}
	e.send(last)
	return nil
}

func (r *running) getStatus(w http.ResponseWriter, _ *http.Request) error {
	a := r.advert()
	st := api.Status{
		Version: r.cfg.Version, Name: r.cfg.Name, Peer: r.creds.ID, Swarm: r.creds.Swarm, Owner: r.creds.SwarmKey != nil,
		Capability: protocol.Capability, Addrs: r.host.Addrs(), API: "http://" + r.gateway.Addr().String(), DataDir: r.cfg.DataDir,
		Uptime: time.Since(r.started), CPU: worker.CPU(), Cores: r.cores(), Peers: len(r.host.Peers()), Sessions: r.worker.Sessions(),
		Memory: a.Memory, Disk: a.Disk, Speeds: r.machine(), Damage: api.Damage{Found: int(r.damaged.Load()), Open: r.store.Stat().Quarantined, Moved: r.store.Moved()},
		DiskFull: r.diskFull(),
		Loading:  r.gateway.Loading(), Membership: r.membership(), Clock: clockProblem(r.host.Peers()), Network: r.networkText(), Reach: r.reachProblem(), Paths: r.paths(),
	}
	served := r.worker.Served()
	for _, h := range r.hosting.Hosted() {
		v := api.Hosted{Model: h.Model.String(), Name: h.Name, Range: h.Range, State: h.State}
		if h.Err != nil {
			v.Error = h.Err.Error()
		}
		for _, s := range served[h.Model] {
			if s.Range == h.Range {
				v.Stats = &s
			}
		}
		st.Hosted = append(st.Hosted, v)
	}
	return answer(w, st)
}

// diskFull tells why nothing can be stored now and what to do, "" if something can.
func (r *running) diskFull() string {
	st := r.store.Stat()
	if st.Mend == "" {
		return st.Full
	}
	return st.Full + "; " + st.Mend
}

func (r *running) getRoute(w http.ResponseWriter, req *http.Request) error {
	m, err := r.find(req.Context(), req.URL.Query().Get("model"))
	if err != nil {
		return err
	}
	most := protocol.MaxSessionTokens
	if n := m.Config.ContextLen(); n > 0 {
		most = min(most, n)
	}
	plan := router.Request{Model: m.CID, Blocks: m.Config.Blocks(), Prompt: min(256, most), Answer: 256}
	for _, q := range []struct {
		name string
		n    *int
		most int
		what string // that is
	}{{"prompt", &plan.Prompt, most, "the context of " + m.Name}, {"tokens", &plan.Answer, protocol.MaxSessionTokens, "the most of any session"}} {
		text := req.URL.Query().Get(q.name)
		if text == "" {
			continue
		}
		if *q.n, err = strconv.Atoi(text); err != nil || *q.n < 1 || *q.n > q.most {
			return statusError{http.StatusBadRequest, fmt.Errorf("%s is %.40q, want a number from 1 to %d, %s", q.name, text, q.most, q.what)}
		}
	}
	if m.Config.Task() != gateway.TaskGenerate {
		plan.Answer = 0
	}
	choice, err := r.router.Plan(plan)
	if err != nil && !errors.Is(err, router.ErrNoChain) {
		return err
	}
	choice.Alone = choice.Chain == nil && r.complete(m)
	return answer(w, choice)
}

func (r *running) postInvite(w http.ResponseWriter, req *http.Request) error {
	var in api.InviteRequest
	if err := read(req, &in); err != nil {
		return err
	}
	var addrs []wire.Addr
	for _, a := range in.Addrs {
		if err := host.CheckAddr(string(a)); err != nil {
			return statusError{http.StatusBadRequest, fmt.Errorf("address %q: %w", string(a), err)}
		}
		if _, ok := a.Peer(); !ok {
			a += wire.Addr("/p2p/" + r.creds.ID.String())
		}
		addrs = append(addrs, a)
	}
	if addrs = append(addrs, r.host.Addrs()...); len(addrs) > protocol.MaxAddrs { // those that the owner names come first
		addrs = addrs[:protocol.MaxAddrs]
	}
	token, err := r.host.Invite(host.Invitation{Name: r.creds.Name, Addrs: addrs, Scopes: in.Scopes, TTL: in.TTL, Life: in.Life})
	if errors.Is(err, host.ErrScope) {
		return statusError{http.StatusBadRequest, err}
	}
	if errors.Is(err, host.ErrNotOwner) {
		return statusError{http.StatusForbidden, errors.New("only the node that founded the swarm can invite, and its deputies: nodes that joined with the scope admit")}
	}
	if err != nil {
		return statusError{http.StatusForbidden, err}
	}
	text, err := token.Text()
	if err != nil {
		return err
	}
	g, err := token.Open()
	if err != nil {
		return err
	}
	return answer(w, api.Invite{Token: text, Expires: g.ExpiresAt(), ID: hex.EncodeToString(g.ID)})
}

func (r *running) postGC(w http.ResponseWriter, req *http.Request) error {
	var in api.GCRequest
	if err := read(req, &in); err != nil {
		return err
	}
	if in.AcceptLostPins {
		if err := r.store.AcceptLostPins(); err != nil {
			return err
		}
	}
	done, err := r.collect(context.WithoutCancel(req.Context()))
	if errors.Is(err, store.ErrPinsLost) {
		return statusError{http.StatusConflict, fmt.Errorf("%w: look at covey model ls, pin or import what is to stay, then run covey model gc --accept-lost-pins", err)}
	}
	if err != nil {
		return err
	}
	return answer(w, done)
}
