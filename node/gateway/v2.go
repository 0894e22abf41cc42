package gateway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The routes of the Open Inference Protocol, version 2, as KServe and others speak it
// (https://github.com/kserve/open-inference-protocol). Models that classify are asked
// through it: images by their file or by prepared values, texts by themselves, rows of tables by
// the values of their columns. So are models that predict a number for a row.

func isV2(r *http.Request) bool { return r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/") }

// in returns the error in the shape of the API that a request is for.
func (e *apiError) in(r *http.Request) *apiError {
	shaped := *e
	shaped.v2 = isV2(r)
	return &shaped
}

func (g *Gateway) routesV2(mux *routes) {
	mux.HandleFunc("GET /v2", g.serverV2)
	mux.HandleFunc("GET /v2/health/live", g.healthV2("live"))
	mux.HandleFunc("GET /v2/health/ready", g.healthV2("ready"))
	mux.Handle("GET /v2/models/{name}", g.limited(g.metadataV2))
	mux.Handle("GET /v2/models/{name}/ready", g.limited(g.readyV2))
	mux.Handle("POST /v2/models/{name}/infer", g.limited(g.inferV2))
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, (&apiError{status: http.StatusNotFound, Message: fmt.Sprintf("no route %.20s %.200s", r.Method, r.URL.Path)}).in(r))
	})
}

func (g *Gateway) serverV2(w http.ResponseWriter, r *http.Request) {
	if err := writeJSON(w, map[string]any{"name": "covey", "version": g.cfg.Version, "extensions": []string{}}); err != nil {
		writeError(w, asAPIError(r.Context(), err).in(r))
	}
}

// healthV2 answers that the server lives and takes requests: it would not answer otherwise.
func (g *Gateway) healthV2(what string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := writeJSON(w, map[string]bool{what: true}); err != nil {
			writeError(w, asAPIError(r.Context(), err).in(r))
		}
	}
}

// tensorV2 describes an input or an output. -1 stands for a length that the request chooses.
type tensorV2 struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

// describedV2 is an input or an output and more of it.
type describedV2 struct {
	tensorV2
	Parameters map[string][]string `json:"parameters,omitempty"` // of a column of categories: those of training
}

// categoriesV2 are the parameters of a column of categories.
func categoriesV2(list []string) map[string][]string { return map[string][]string{"categories": list} }

// metadataV2 tells what a model takes and gives. The inputs of an image model are
// alternatives; a model of tables wants all of them.
func (g *Gateway) metadataV2(w http.ResponseWriter, r *http.Request, _ *body) error {
	m, err := g.open(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	inputs, outputs := []describedV2{}, []describedV2{}
	switch m.Task {
	case taskClassifyImage:
		inputs = append(inputs, describedV2{tensorV2: tensorV2{inputImage, typeBytes, []int{-1}}}, describedV2{tensorV2: tensorV2{inputPixels, typeFP32, append([]int{-1}, m.Pictures.Shape()...)}})
	case taskClassify:
		inputs = append(inputs, describedV2{tensorV2: tensorV2{inputText, typeBytes, []int{-1}}})
	case taskClassifyTable, taskRegressTable:
		for i, name := range m.Rows.Names() {
			in := describedV2{tensorV2: tensorV2{name, typeFP64, []int{-1}}}
			if !m.Rows.Numeric(i) {
				in.Datatype, in.Parameters = typeBytes, categoriesV2(m.Rows.Categories(i))
			}
			inputs = append(inputs, in)
		}
	}
	switch {
	case m.Task == taskRegressTable:
		outputs = append(outputs, describedV2{tensorV2: tensorV2{outputPrediction, typeFP32, []int{-1, 1}}})
	case len(inputs) > 0:
		shape := []int{-1, len(m.Labels)}
		labels := describedV2{tensorV2: tensorV2{outputLabels, typeBytes, shape}}
		if m.Rows != nil {
			labels.Parameters = categoriesV2(m.Labels)
		}
		outputs = append(outputs, describedV2{tensorV2: tensorV2{outputLogits, typeFP32, shape}}, describedV2{tensorV2: tensorV2{outputProbabilities, typeFP32, shape}}, labels)
	}
	answer := map[string]any{"name": m.Name, "versions": []string{versionV2}, "platform": "covey", "inputs": inputs, "outputs": outputs}
	if m.Rows != nil {
		answer["parameters"] = m.written()
	}
	return writeJSON(w, answer)
}

// written tells how files are written that a model of tables reads, and what it predicts.
func (m *Model) written() map[string]any {
	encoding, separator, decimal, thousands := m.Rows.Written()
	told := map[string]any{"encoding": encoding, "separator": separator, "decimal": decimal, "thousands": thousands, "target": m.Target}
	if words := m.Rows.Missing(); len(words) > 0 {
		told["missing_values"] = words
	}
	return told
}

// readyV2 answers when a chain of peers covers the model; one that is here whole is loaded
// for that, as for a request.
func (g *Gateway) readyV2(w http.ResponseWriter, r *http.Request, _ *body) error {
	m, err := g.open(r.Context(), r.PathValue("name"))
	if err == nil {
		err = g.cfg.Models.Serve(r.Context(), m)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"name": m.Name, "ready": true})
}

// openV2 opens a model that these routes are for.
func (g *Gateway) openV2(ctx context.Context, name string) (*Model, error) {
	m, err := g.open(ctx, name)
	if err != nil {
		return nil, err
	}
	if tasks := []string{taskClassify, taskClassifyImage, taskClassifyTable, taskRegressTable}; !slices.Contains(tasks, m.Task) {
		return nil, badRequest("model", "model %s is for the task %q, which is asked through /v1; this route needs one of %q", m.Name, m.Task, tasks)
	}
	return m, nil
}
