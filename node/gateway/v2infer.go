package gateway

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"

	"github.com/covey-network/covey/engine/token"
	"github.com/covey-network/covey/node/router"
)

// The names of inputs and outputs, and the only version of each model.
const (
	inputImage  = "image"  // image files in base64
	inputPixels = "pixels" // values as the model wants them
	inputText   = "text"

	outputLogits        = "logits"
	outputProbabilities = "probabilities"
	outputLabels        = "labels"
	outputPrediction    = "prediction"
	outputErrors        = "errors" // with the parameter row_errors

	typeFP32  = "FP32"
	typeFP64  = "FP64"
	typeBytes = "BYTES"
	typeBool  = "BOOL"

	versionV2 = "1"
)

// maxScoresV2 bounds the scores of an answer.
const maxScoresV2 = 1 << 20

// outputV2 is a tensor of an answer.
type outputV2 struct {
	tensorV2
	Data any `json:"data"` // []float32 or []string, row-major
}

// inferV2 classifies, or predicts numbers. Outputs have a row for each image, text or row of
// a table: the scores of all labels in the model's order, or with the parameter top_k of the
// likeliest ones, likeliest first; or the number. With the parameter row_errors the output
// errors has why a row of a table cannot be used, or nothing, for each; the other outputs have
// the rest of the rows.
func (g *Gateway) inferV2(w http.ResponseWriter, r *http.Request, b *body) error {
	var req *requestV2
	err := b.work(r.Context(), func() (err error) {
		req, err = decodeV2(b.data)
		b.data = nil // req has what it needs of it
		return err
	})
	if err != nil {
		return err
	}
	m, err := g.openV2(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	if err := b.work(r.Context(), func() error { return req.decodeInputs(m) }); err != nil {
		return err
	}
	top := len(m.Labels)
	if req.top > 0 {
		top = min(top, req.top)
	}
	if req.rows > maxScoresV2/max(1, top) {
		return badRequest("inputs", "%d rows of %d scores: ask for fewer at once, or set top_k", req.rows, top)
	}
	if err := g.cfg.Models.Serve(r.Context(), m); err != nil {
		return err
	}
	logits, err := g.classify(r.Context(), m, req)
	if err != nil {
		return err
	}
	outputs, err := req.outputs(m, logits, top)
	if err != nil {
		return err
	}
	answer := map[string]any{"model_name": m.Name, "model_version": versionV2, "outputs": outputs}
	if req.ID != "" {
		answer["id"] = req.ID
	}
	if notes := req.notes(); len(notes) > 0 {
		answer["parameters"] = notes
	}
	return writeJSON(w, answer)
}

// classify runs the rows of a request through one session: texts and images one after the
// other, rows of a table as many at once as the model takes.
func (g *Gateway) classify(ctx context.Context, m *Model, req *requestV2) ([][]float32, error) {
	in := &req.Inputs[0]
	if m.Task == taskClassify {
		if in.Name != inputText {
			return nil, badRequest("inputs", "input is %.40q, model %s takes %q", in.Name, m.Name, inputText)
		}
		lists := make([][]int32, len(in.texts))
		for i, t := range in.texts {
			// What a text says is text, whatever it says, as it was in training.
			if lists[i] = m.Tokenizer.EncodeOpts(t, token.Options{AddSpecial: true}); len(lists[i]) == 0 {
				return nil, badRequest("inputs", "text %d is empty", i)
			}
			if err := m.knows(lists[i]); err != nil {
				return nil, badRequest("inputs", "text %d: %v", i, err)
			}
		}
		vectors, _, err := g.embed(ctx, m, lists)
		return vectors, err
	}
	if m.Rows != nil {
		return g.runNumbers(ctx, m, (req.rows+m.Context-1)/m.Context, func(_ context.Context, i int) ([]float32, int, error) {
			lo, hi := i*m.Context, min((i+1)*m.Context, req.rows)
			x, err := req.numbers(m, lo, hi)
			return x, hi - lo, err
		})
	}
	images, err := in.images(m)
	if err != nil {
		return nil, err
	}
	return g.runNumbers(ctx, m, len(images), func(ctx context.Context, i int) ([]float32, int, error) {
		x, err := images[i](ctx)
		return x, 1, err
	})
}

// runNumbers runs count steps. input makes what the model takes in one, and tells how many
// images or rows that is; it is called when its turn comes, so that one lies in memory at a
// time. There is a result for each image or row.
func (g *Gateway) runNumbers(ctx context.Context, m *Model, count int, input func(context.Context, int) ([]float32, int, error)) ([][]float32, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var s *router.Session
	var out [][]float32
	for i := range count {
		x, n, err := input(ctx, i)
		if err != nil {
			return nil, err
		}
		if s == nil { // only once there is something to run
			if s, err = g.openSession(ctx, router.Request{Model: m.ID, Name: m.Name, Blocks: m.Blocks, Shape: m.Shape, Prompt: m.Context, Timeout: requestTimeout}); err != nil {
				return nil, err
			}
			defer g.closeSession(s)
		}
		scores, err := s.Numbers(ctx, x, n)
		if err != nil {
			return nil, err
		}
		if len(scores) != n*max(1, len(m.Labels)) {
			return nil, badAnswer("another number of scores than it has labels")
		}
		out = slices.AppendSeq(out, slices.Chunk(slices.Clone(scores), len(scores)/n))
	}
	return out, nil
}

func badAnswer(what string) error {
	return &apiError{status: http.StatusBadGateway, Type: "server_error", Message: "the model gave " + what}
}

// images returns what gives the values of each image.
func (in *inputV2) images(m *Model) ([]func(context.Context) ([]float32, error), error) {
	shape := m.Pictures.Shape()
	size := shape[0] * shape[1] * shape[2]
	var out []func(context.Context) ([]float32, error)
	switch in.Name {
	case inputImage:
		for i, file := range in.files {
			out = append(out, func(ctx context.Context) ([]float32, error) {
				pixels, err := m.Pictures.Pixels(ctx, file)
				if err != nil && ctx.Err() == nil {
					return nil, badRequest("inputs", "image %d: %v", i, err)
				}
				return pixels, err
			})
		}
	case inputPixels:
		if !slices.Equal(in.Shape[1:], []int{shape[0], shape[1], shape[2]}) {
			return nil, badRequest("inputs", "input %q has shape %v, model %s takes %v after the number of images", in.Name, in.Shape, m.Name, shape)
		}
		for i := range in.Shape[0] {
			pixels := in.floats[i*size : (i+1)*size]
			out = append(out, func(context.Context) ([]float32, error) { return pixels, nil })
		}
	default:
		return nil, badRequest("inputs", "input is %.40q, model %s takes %q or %q", in.Name, m.Name, inputImage, inputPixels)
	}
	return out, nil
}

// outputs makes the tensors of an answer, those that the request wants.
func (req *requestV2) outputs(m *Model, results [][]float32, top int) ([]outputV2, error) {
	var all []outputV2
	var err error
	if results = req.without(results); m.Task == taskRegressTable {
		all, err = predictions(results)
	} else {
		all, err = req.scores(m, results, top)
	}
	if err == nil && req.rowErrors {
		all = append(all, outputV2{tensorV2{outputErrors, typeBytes, []int{req.rows}}, req.errors})
	}
	if err != nil || len(req.Outputs) == 0 {
		return all, err
	}
	var names []string
	for _, o := range all {
		names = append(names, o.Name)
	}
	var out []outputV2
	for _, want := range req.Outputs {
		i := slices.Index(names, want)
		if i < 0 {
			return nil, badRequest("outputs", "output %.40q is not one of %q", want, names)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// predictions makes the tensor of the numbers that a model predicts.
func predictions(results [][]float32) ([]outputV2, error) {
	out := make([]float32, 0, len(results))
	for _, r := range results {
		if v := float64(r[0]); math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, badAnswer("a prediction that is not a number")
		}
		out = append(out, r[0])
	}
	return []outputV2{{tensorV2{outputPrediction, typeFP32, []int{len(out), 1}}, out}}, nil
}

// scores makes the tensors of what a model that classifies gives.
func (req *requestV2) scores(m *Model, logits [][]float32, top int) ([]outputV2, error) {
	raw, share, labels := []float32{}, []float32{}, []string{}
	for _, row := range logits {
		if len(row) != len(m.Labels) {
			return nil, badAnswer("another number of scores than it has labels")
		}
		p, ok := softmax(row)
		if !ok {
			return nil, badAnswer("scores that are not numbers")
		}
		for _, i := range best(row, top, req.top > 0) {
			raw, share, labels = append(raw, row[i]), append(share, p[i]), append(labels, m.Labels[i])
		}
	}
	shape := []int{len(logits), top}
	return []outputV2{
		{tensorV2{outputLogits, typeFP32, shape}, raw},
		{tensorV2{outputProbabilities, typeFP32, shape}, share},
		{tensorV2{outputLabels, typeBytes, shape}, labels},
	}, nil
}

// best returns the places of the n largest scores: likeliest first if sorted, equal ones in
// their order; else the first n.
func best(scores []float32, n int, sorted bool) []int {
	at := make([]int, len(scores))
	for i := range at {
		at[i] = i
	}
	if sorted {
		slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	}
	return at[:n]
}

// softmax returns the probabilities of scores, and false if one of them is not finite.
func softmax(scores []float32) ([]float32, bool) {
	largest := float32(math.Inf(-1))
	for _, v := range scores {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, false
		}
		largest = max(largest, v)
	}
	sum := 0.0
	terms := make([]float64, len(scores))
	for i, v := range scores {
		terms[i] = math.Exp(float64(v) - float64(largest))
		sum += terms[i]
	}
	out := make([]float32, len(scores))
	for i, t := range terms {
		out[i] = float32(t / sum)
	}
	return out, true
}
