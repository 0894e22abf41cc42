package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	cid "github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/covey-network/covey/engine/chat"
	"github.com/covey-network/covey/engine/token"
	"github.com/covey-network/covey/node/router"
)

// Limits of requests.
const (
	maxHeader      = 16 << 10
	maxConcurrent  = 64 // requests to models at once; more wait
	maxWaiting     = 64 // more are answered 429
	headerTimeout  = 5 * time.Second
	idleTimeout    = 60 * time.Second
	writeTimeout   = 30 * time.Second // of one event or answer
	requestTimeout = 30 * time.Minute // of one generation
	drainTimeout   = 10 * time.Second // running answers may finish
	cutTimeout     = 2 * time.Second  // and then say that they do not
	heartbeat      = 15 * time.Second // comments that keep a quiet stream open
)

// DefaultAddr is where a gateway listens unless told otherwise.
const DefaultAddr = "127.0.0.1:8420"

// Tasks of models, as manifests name them.
const (
	TaskGenerate      = "generate"
	taskEmbed         = "embed"
	taskClassify      = "classify"
	taskClassifyImage = "classify-image"
	taskClassifyTable = "classify-table"
	taskRegressTable  = "regress-table"
)

// Model is what the gateway needs to know of a model to answer for it.
type Model struct {
	ID        cid.Cid
	Name      string
	Task      string
	Created   int64 // Unix seconds
	Blocks    int
	Context   int // longest sequence in tokens
	Shape     router.Shape
	BOS, EOS  string
	EOSIDs    []int32
	Tokenizer *token.Tokenizer // nil for a model of images or tables
	Template  *chat.Template   // nil: no chat
	Labels    []string         // of a classifier
	Pictures  Pictures         // of an image model, else nil
	Rows      Rows             // of a model of tables, else nil
	Target    string           // of a model of tables: the name of the column that it predicts; "" if it is not known
}

// Pictures turns image files into the input of a model.
type Pictures interface {
	Shape() []int // channels, height, width
	Pixels(ctx context.Context, file []byte) ([]float32, error)
}

// Rows turns the rows of a table into the input of a model.
type Rows interface {
	Names() []string    // of the columns
	Numeric(i int) bool // column i has numbers, else categories
	Width() int         // numbers that a row becomes
	// Written tells how the file was written that the model learned from: what separates
	// fields, its encoding, and what stands before decimals and between thousands. Each may be empty.
	Written() (encoding, separator, decimal, thousands string)
	// Missing are words that stand for missing values in such a file, beside the usual ones.
	Missing() []string
	// Inputs writes the Width numbers of a row to dst; fields are its values as text of such
	// a file, empty for a missing one, or numbers with a decimal point where plain is true. Other
	// numbers have decimal before their decimals and thousands between groups of digits, if
	// decimal is not empty.
	Inputs(dst []float32, fields []string, plain []bool, decimal, thousands string) error
	// Unknown tells whether a value of column i is a category that the model was not trained
	// with. A model that fills in what is missing takes it for missing.
	Unknown(i int, field string) bool
	// Far returns the columns whose numbers are far from those of training, of what Inputs wrote;
	// Moments the mean and standard deviation of these.
	Far(inputs []float32) (columns []int)
	Moments(i int) (mean, std float64)
	// Categories are the values of column i, none of one with numbers.
	Categories(i int) []string
}

// Entry is a model in a list.
type Entry struct {
	ID      cid.Cid
	Name    string
	Created int64
	Owner   string
}

// Models finds models by name or CID.
type Models interface {
	List(ctx context.Context) ([]Entry, error)
	// Open returns a model that this node has or some peer serves. ErrNotFound is what it
	// wraps if there is none.
	Open(ctx context.Context, name string) (*Model, error)
	// Serve makes sure, if this node can, that some chain of peers covers the model.
	Serve(ctx context.Context, m *Model) error
}

// ErrNotFound means that no peer knows a model.
var ErrNotFound = errors.New("model not found")

// Config is what a Gateway needs.
type Config struct {
	Addr     string              // DefaultAddr if empty
	Hosts    []string            // further names the gateway may be asked for, without port
	Keys     [][sha256.Size]byte // hashes of the clients' keys; none: models take no key
	Owner    [sha256.Size]byte   // hash of the key that Control takes; required with it
	Origins  []string            // sites whose pages may ask models, besides those of this machine
	Insecure bool                // allows an address beyond loopback without TLS
	Models   Models
	Router   *router.Router
	Version  string                // of the program
	Control  http.Handler          // under /covey/v1/, for the owner
	Metrics  http.Handler          // under /metrics
	Registry prometheus.Registerer // gets this package's metrics; nil: none
	Hurry    <-chan struct{}       // closed: at the end running answers are cut off at once; may be nil
	Log      *slog.Logger
	Now      func() time.Time
}

// ErrStopping is why the context of a request ends when the gateway does, and what is
// answered then.
var ErrStopping = errors.New("this node is being stopped, and the answer did not finish in time: ask again, or another node")

// Gateway serves HTTP.
type Gateway struct {
	cfg     Config
	metrics *metrics
	named   []string // routes, for the index
	server  *http.Server
	slots   chan struct{}       // maxConcurrent: requests that run
	waiting chan struct{}       // maxConcurrent+maxWaiting: requests that run or wait
	bodies  budget              // of the large bodies that are here
	worked  *semaphore.Weighted // bytes of these that are decoded and made tokens of
	conns   conns
	fresh   freshConns
	loading waits
	ready   chan struct{}
	addr    net.Addr // set before ready is closed

	running sync.RWMutex // held for reading by each request
	ended   bool         // set under running: no request begins any more
}

// New checks the configuration. It starts nothing.
func New(cfg Config) (*Gateway, error) {
	if cfg.Models == nil || cfg.Router == nil || cfg.Log == nil || cfg.Now == nil {
		return nil, errors.New("new gateway: models, router, log and clock are required")
	}
	if cfg.Control != nil && cfg.Owner == [sha256.Size]byte{} {
		return nil, errors.New("new gateway: the control API needs the owner's key")
	}
	if cfg.Addr == "" {
		cfg.Addr = DefaultAddr
	}
	if err := CheckAddr(cfg.Addr, len(cfg.Keys), cfg.Insecure); err != nil {
		return nil, fmt.Errorf("new gateway: %w", err)
	}
	m, err := newMetrics(cfg.Registry)
	if err != nil {
		return nil, fmt.Errorf("new gateway: %w", err)
	}
	g := &Gateway{
		cfg: cfg, metrics: m, slots: make(chan struct{}, maxConcurrent), waiting: make(chan struct{}, maxConcurrent+maxWaiting),
		bodies: budget{free: maxBodies}, worked: semaphore.NewWeighted(maxWorked), conns: conns{groups: map[string]*group{}}, loading: waits{by: map[string]int{}}, ready: make(chan struct{}),
	}
	g.server = &http.Server{
		Handler: g.awaited(g.guard(g.routes())), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug), ConnContext: withConn,
		ConnState: g.fresh.note,
	}
	return g, nil
}

// CheckAddr tells what is wrong with an address to listen on, given a number of API keys and
// whether it may be reached from other machines without TLS.
func CheckAddr(addr string, keys int, insecure bool) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address of the API %q: want host:port, such as %s", addr, DefaultAddr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("address of the API %q: port %q is not a number from 0 to 65535", addr, port)
	}
	switch {
	case isLoopback(host):
		return nil
	case keys == 0:
		return fmt.Errorf("%s is reachable from other machines, so an API key is required: put the SHA-256 of one into api.keys (printf %%s KEY | sha256sum), or listen on 127.0.0.1", addr)
	case !insecure:
		return fmt.Errorf("%s is reachable from other machines and keys would cross the network in the clear: put a TLS proxy in front and listen on 127.0.0.1, or set api.insecure = true", addr)
	}
	return nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Ready is closed when the gateway listens; Addr is valid from then on.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// Addr returns the address at which programs of this machine reach the gateway.
func (g *Gateway) Addr() net.Addr { return local(g.addr) }

// local puts 127.0.0.1 in the place of an address that stands for all of a machine's: those
// are to listen on, not to ask, and as a host name they are refused.
func local(a net.Addr) net.Addr {
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: t.Port}
	}
	return a
}

// Run serves until ctx ends, then gives running answers a moment to finish, and ends those
// that do not, each with an error. When it returns no request is being handled.
func (g *Gateway) Run(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.cfg.Addr)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w (is another node running?)", err)
		}
		return fmt.Errorf("listen for the API: %w; choose another address with --api", err)
	}
	return g.run(ctx, l)
}

func (g *Gateway) run(ctx context.Context, l net.Listener) error {
	g.addr = l.Addr()
	close(g.ready)
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	g.server.BaseContext = func(net.Listener) context.Context { return base }
	served := make(chan error, 1)
	go func() { served <- g.serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	err := g.drain(base)
	cancel(ErrStopping)
	if err != nil {
		g.cfg.Log.Warn("answers cut off")
		err = g.cut(base)
	}
	<-served
	g.running.Lock() // waits for those that were cut off
	g.ended = true
	g.running.Unlock()
	return err
}

// drain takes no more requests and waits for those that run, for drainTimeout or until it is
// to hurry.
func (g *Gateway) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	var hurry sync.WaitGroup
	defer hurry.Wait()
	done := make(chan struct{})
	defer close(done)
	hurry.Go(func() {
		again := time.NewTicker(freshEvery)
		defer again.Stop()
		for {
			g.fresh.close() // Shutdown waits 5 s for each
			select {
			case <-g.cfg.Hurry:
				cancel()
				return
			case <-done:
				return
			case <-again.C:
			}
		}
	})
	return g.server.Shutdown(ctx)
}

// cut waits for the requests that run to say that they were cut off, and closes connections
// that do not take it.
func (g *Gateway) cut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutTimeout)
	defer cancel()
	if g.server.Shutdown(ctx) == nil {
		return nil
	}
	return g.server.Close()
}

// serve answers on a listener, within the limits of connections.
func (g *Gateway) serve(l net.Listener) error {
	return g.server.Serve(&limitedListener{l, &g.conns})
}

// NoRoute answers requests for which mux has no route, in the shape of all errors. It
// belongs under the pattern "/" of mux.
func NoRoute(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			if _, pattern := mux.Handler(&http.Request{Method: method, Host: r.Host, URL: r.URL}); pattern != "/" {
				allowed = append(allowed, method)
			}
		}
		e := &apiError{status: http.StatusNotFound, Type: "invalid_request_error", Message: fmt.Sprintf("no route %.20s %.200s", r.Method, r.URL.Path)}
		if len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			e.status, e.Message = http.StatusMethodNotAllowed, fmt.Sprintf("%.200s takes %s, not %.20s", r.URL.Path, strings.Join(allowed, " or "), r.Method)
		}
		writeError(w, e)
	}
}

// awaited lets Run wait for h.
func (g *Gateway) awaited(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.running.RLock()
		defer g.running.RUnlock()
		if g.ended {
			writeError(w, asAPIError(r.Context(), ErrStopping).in(r))
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (g *Gateway) routes() http.Handler {
	mux := &routes{ServeMux: http.NewServeMux()}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /{$}", g.index)
	mux.HandleFunc("GET /v1", g.index)
	mux.ServeMux.HandleFunc("GET /v1/{$}", g.index) // the same
	mux.HandleFunc("GET /v1/models", g.listModels)
	mux.Handle("GET /v1/models/{name...}", g.limited(g.getModel))
	mux.Handle("POST /v1/chat/completions", g.limited(g.chatCompletions))
	mux.Handle("POST /v1/completions", g.limited(g.completions))
	mux.Handle("POST /v1/embeddings", g.limited(g.embeddings))
	g.routesV2(mux)
	if g.cfg.Control != nil {
		mux.Handle("/covey/v1/", g.owned(g.cfg.Control))
	}
	if g.cfg.Metrics != nil {
		mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // errors show at the write
			g.cfg.Metrics.ServeHTTP(w, r)
		})
	}
	mux.HandleFunc("/", NoRoute(mux.ServeMux))
	g.named = mux.named
	return g.metrics.counted(mux.ServeMux, g.cfg.Now)
}
