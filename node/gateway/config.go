package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	cid "github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"github.com/covey-network/covey/engine/chat"
	"github.com/covey-network/covey/engine/token"
	"github.com/covey-network/covey/node/router"
)

// Limits of requests.
const (
	maxHeader      = 16 << 10
	maxConns       = 1024
	maxBody        = 4 << 20 // a prompt of 128k tokens and its JSON escapes
	maxConcurrent  = 64      // requests to models at once; more wait
	maxWaiting     = 64      // more are answered 429
	headerTimeout  = 5 * time.Second
	bodyTimeout    = 30 * time.Second
	idleTimeout    = 60 * time.Second
	writeTimeout   = 30 * time.Second // of one event or answer
	requestTimeout = 30 * time.Minute // of one generation
	drainTimeout   = 10 * time.Second
	heartbeat      = 15 * time.Second // comments that keep a quiet stream open
)

// DefaultAddr is where a gateway listens unless told otherwise.
const DefaultAddr = "127.0.0.1:8420"

// Tasks of models, as manifests name them.
const (
	taskGenerate      = "generate"
	taskEmbed         = "embed"
	taskClassify      = "classify"
	taskClassifyImage = "classify-image"
)

// Model is what the gateway needs to know of a model to answer for it.
type Model struct {
	ID        cid.Cid
	Name      string
	Task      string
	Created   int64 // Unix seconds
	Blocks    int
	Context   int // longest sequence in tokens
	BOS, EOS  string
	EOSIDs    []int32
	Tokenizer *token.Tokenizer // nil for an image model
	Template  *chat.Template   // nil: no chat
	Labels    []string         // of a classifier
	Pictures  Pictures         // of an image model, else nil
}

// Pictures turns image files into the input of a model.
type Pictures interface {
	Shape() []int // channels, height, width
	Pixels(ctx context.Context, file []byte) ([]float32, error)
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
	Addr     string   // DefaultAddr if empty
	Hosts    []string // further names the gateway may be asked for, without port
	Keys     [][sha256.Size]byte
	Insecure bool // allows an address beyond loopback without TLS
	Models   Models
	Router   *router.Router
	Version  string                // of the program
	Control  http.Handler          // under /covey/v1/
	Metrics  http.Handler          // under /metrics
	Registry prometheus.Registerer // gets this package's metrics; nil: none
	Log      *slog.Logger
	Now      func() time.Time
}

// Gateway serves HTTP.
type Gateway struct {
	cfg     Config
	metrics *metrics
	server  *http.Server
	slots   chan struct{} // maxConcurrent: requests that run
	waiting chan struct{} // maxConcurrent+maxWaiting: requests that run or wait
	ready   chan struct{}
	addr    net.Addr // set before ready is closed
}

// New checks the configuration. It starts nothing.
func New(cfg Config) (*Gateway, error) {
	if cfg.Models == nil || cfg.Router == nil || cfg.Log == nil || cfg.Now == nil {
		return nil, errors.New("new gateway: models, router, log and clock are required")
	}
	if cfg.Addr == "" {
		cfg.Addr = DefaultAddr
	}
	host, _, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("new gateway: address %q: %w", cfg.Addr, err)
	}
	if !isLoopback(host) {
		if len(cfg.Keys) == 0 {
			return nil, fmt.Errorf("new gateway: %s is reachable from other machines, so an API key is required: set api.keys, or listen on 127.0.0.1", cfg.Addr)
		}
		if !cfg.Insecure {
			return nil, fmt.Errorf("new gateway: %s is reachable from other machines and keys would cross the network in the clear: put a TLS proxy in front and set api.insecure, or listen on 127.0.0.1", cfg.Addr)
		}
	}
	m, err := newMetrics(cfg.Registry)
	if err != nil {
		return nil, fmt.Errorf("new gateway: %w", err)
	}
	g := &Gateway{cfg: cfg, metrics: m, slots: make(chan struct{}, maxConcurrent), waiting: make(chan struct{}, maxConcurrent+maxWaiting), ready: make(chan struct{})}
	g.server = &http.Server{
		Handler: g.guard(g.routes()), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return g, nil
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

// Addr returns the address the gateway listens on.
func (g *Gateway) Addr() net.Addr { return g.addr }

// Run serves until ctx ends, then gives running answers a moment to finish.
func (g *Gateway) Run(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen for the API: %w (is another node running? choose a port with --api)", err)
	}
	g.addr = l.Addr()
	l = netutil.LimitListener(l, maxConns)
	close(g.ready)
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g.server.BaseContext = func(net.Listener) context.Context { return base }
	served := make(chan error, 1)
	go func() { served <- g.server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	drain, stop := context.WithTimeout(base, drainTimeout)
	defer stop()
	err = g.server.Shutdown(drain)
	cancel()
	if err != nil {
		err = g.server.Close()
	}
	<-served
	return err
}

func (g *Gateway) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /v1/models", g.listModels)
	mux.HandleFunc("GET /v1/models/{name...}", g.getModel)
	mux.Handle("POST /v1/chat/completions", g.limited(g.chatCompletions))
	mux.Handle("POST /v1/completions", g.limited(g.completions))
	mux.Handle("POST /v1/embeddings", g.limited(g.embeddings))
	g.routesV2(mux)
	if g.cfg.Control != nil {
		mux.Handle("/covey/v1/", g.cfg.Control)
	}
	if g.cfg.Metrics != nil {
		mux.Handle("GET /metrics", g.cfg.Metrics)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &apiError{status: http.StatusNotFound, Type: "invalid_request_error", Message: fmt.Sprintf("no route %s %s", r.Method, r.URL.Path)})
	})
	return g.metrics.counted(mux, g.cfg.Now)
}
