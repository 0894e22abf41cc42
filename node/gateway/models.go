package gateway

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/covey-network/covey/protocol"
)

type modelEntry struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Owner   string `json:"owned_by"`
}

func entryOf(e Entry) modelEntry {
	return modelEntry{ID: e.Name, Object: "model", Created: e.Created, Owner: e.Owner}
}

func (g *Gateway) listModels(w http.ResponseWriter, r *http.Request) {
	all, err := g.cfg.Models.List(r.Context())
	if err == nil {
		data := []modelEntry{}
		for _, e := range all {
			data = append(data, entryOf(e))
		}
		err = writeJSON(w, map[string]any{"object": "list", "data": data})
	}
	if err != nil {
		writeError(w, asAPIError(r.Context(), err))
	}
}

func (g *Gateway) getModel(w http.ResponseWriter, r *http.Request, _ *body) error {
	m, err := g.open(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return writeJSON(w, entryOf(Entry{ID: m.ID, Name: m.Name, Created: m.Created, Owner: "covey"}))
}

// maxModelName bounds the name that a request may ask for, in bytes: twice a name's limit,
// for what tells models of one name apart.
const maxModelName = 2 * protocol.MaxTextName

// open finds a model.
func (g *Gateway) open(ctx context.Context, name string) (*Model, error) {
	if len(name) > maxModelName {
		return nil, fmt.Errorf("%w: its name has %d bytes, names have %d at most", ErrNotFound, len(name), maxModelName)
	}
	return g.cfg.Models.Open(ctx, name)
}

// openModel finds a model that does a task, and somebody who runs it.
func (g *Gateway) openModel(ctx context.Context, name, task string) (*Model, error) {
	if name == "" {
		return nil, badRequest("model", "model is missing")
	}
	m, err := g.open(ctx, name)
	if err != nil {
		return nil, err
	}
	if m.Task != task {
		return nil, badRequest("model", "model %s is for the task %q, this route needs %q", m.Name, m.Task, task)
	}
	g.loading.add(name, 1)
	defer g.loading.add(name, -1)
	return m, g.cfg.Models.Serve(ctx, m)
}

// Loading returns the models that requests wait for while they are brought into memory, by
// the names that the requests use, sorted.
func (g *Gateway) Loading() []string { return g.loading.names() }

// waits counts requests by the model they wait for.
type waits struct {
	mu sync.Mutex
	by map[string]int
}

func (w *waits) add(name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by[name] += n; w.by[name] == 0 {
		delete(w.by, name)
	}
}

func (w *waits) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.by))
}
