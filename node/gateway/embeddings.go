package gateway

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"

	"github.com/covey-network/covey/node/router"
)

// maxInputs is how many texts one request may embed; OpenAI's limit.
const maxInputs = 2048

type embeddingRequest struct {
	Model      string          `json:"model"`
	Input      json.RawMessage `json:"input"`
	Format     string          `json:"encoding_format"`
	Dimensions *int            `json:"dimensions"`
}

type embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // numbers, or base64 of little-endian float32
}

func (g *Gateway) embeddings(w http.ResponseWriter, r *http.Request, b *body) error {
	var req embeddingRequest
	if err := decode(r.Context(), b, &req); err != nil {
		return err
	}
	if req.Format != "" && req.Format != "float" && req.Format != "base64" {
		return badRequest("encoding_format", "encoding_format is %.40q, want float or base64", req.Format)
	}
	if req.Dimensions != nil {
		return badRequest("dimensions", "dimensions is not supported")
	}
	m, err := g.openModel(r.Context(), req.Model, taskEmbed)
	if err != nil {
		return err
	}
	in := inputs{model: m, param: "input", most: maxInputs}
	var lists [][]int32
	err = b.work(r.Context(), func() (err error) {
		lists, err = in.read(req.Input)
		req.Input = nil
		return err
	})
	if err != nil {
		return err
	}
	for i, ids := range lists {
		if len(ids) == 0 {
			return badRequest("input", "input.[%d] gives no tokens", i)
		}
	}
	var cut []int
	for i, ids := range lists {
		if len(ids) > m.Context {
			cut = append(cut, i)
		}
	}
	vectors, tokens, err := g.embed(r.Context(), m, lists)
	if err != nil {
		return err
	}
	data := make([]embedding, len(vectors))
	for i, v := range vectors {
		data[i] = embedding{Object: "embedding", Index: i, Embedding: v}
		if req.Format == "base64" {
			data[i].Embedding = packFloats(v)
		}
	}
	answer := map[string]any{
		"object": "list", "data": data, "model": req.Model,
		"usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens},
	}
	if len(cut) > 0 {
		answer["truncated"] = map[string]any{"inputs": cut, "max_tokens": m.Context}
	}
	return writeJSON(w, answer)
}

// embed runs the texts one after the other through one session.
func (g *Gateway) embed(ctx context.Context, m *Model, inputs [][]int32) (vectors [][]float32, tokens int, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	longest := 1
	for i, ids := range inputs {
		inputs[i] = m.Tokenizer.Cut(ids, m.Context)
		longest = max(longest, len(inputs[i]))
	}
	s, err := g.openSession(ctx, router.Request{Model: m.ID, Name: m.Name, Blocks: m.Blocks, Shape: m.Shape, Prompt: longest, Timeout: requestTimeout})
	if err != nil {
		return nil, 0, err
	}
	defer g.closeSession(s)
	for _, ids := range inputs {
		v, err := s.Pooled(ctx, ids)
		if err != nil {
			return nil, 0, err
		}
		vectors = append(vectors, append([]float32(nil), v...))
		tokens += len(ids)
	}
	return vectors, tokens, nil
}

func packFloats(v []float32) string {
	b := make([]byte, 0, 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return base64.StdEncoding.EncodeToString(b)
}
