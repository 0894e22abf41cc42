package gateway

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
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

// indexV1 names the routes, for somebody who looks.
func (g *Gateway) indexV1(w http.ResponseWriter, _ *http.Request) {
	err := writeJSON(w, map[string]any{"name": "covey", "version": g.cfg.Version, "routes": []string{
		"GET /v1/models", "GET /v1/models/{name}", "POST /v1/chat/completions", "POST /v1/completions", "POST /v1/embeddings",
	}})
	if err != nil {
		writeError(w, asAPIError(err))
	}
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
		writeError(w, asAPIError(err))
	}
}

func (g *Gateway) getModel(w http.ResponseWriter, r *http.Request) {
	m, err := g.cfg.Models.Open(r.Context(), r.PathValue("name"))
	if err == nil {
		err = writeJSON(w, entryOf(Entry{ID: m.ID, Name: m.Name, Created: m.Created, Owner: "covey"}))
	}
	if err != nil {
		writeError(w, asAPIError(err))
	}
}

// openModel finds a model that does a task, and somebody who runs it.
func (g *Gateway) openModel(ctx context.Context, name, task string) (*Model, error) {
	if name == "" {
		return nil, badRequest("model", "model is missing")
	}
	m, err := g.cfg.Models.Open(ctx, name)
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
