package node_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/engine/token"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/testnet/demo"
)

// withEmbedder starts a node with the model that writeEmbedder writes.
func withEmbedder(t *testing.T) (c *api.Client, texts [][]int, want [][]float64) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bert")
	texts, want = writeEmbedder(t, dir)
	c = start(t, t.TempDir(), nil)
	if _, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Path: dir}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	return c, texts, want
}

// writeEmbedder writes engine/model's tiny BERT as a model of embeddings to a folder, and
// returns texts as token ids and what transformers makes of them: the mean of the last
// hidden states, brought to length 1.
func writeEmbedder(t *testing.T, dir string) (texts [][]int, want [][]float64) {
	t.Helper()
	unzip(t, "../engine/model/testdata/bert.zip", dir)
	read := func(name string, v any) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(data, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var ref struct {
		Texts [][]int
		Mean  [][]float64 `json:"mean_hidden"`
	}
	read("reference.json", &ref)
	config := object{}
	read("config.json", &config)
	config["architectures"], config["id2label"] = []string{"BertForPreTraining"}, nil
	delete(config, "label2id")
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "config.json"), string(text))
	weights, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	end := 8 + binary.LittleEndian.Uint64(weights)
	header := strings.ReplaceAll(string(weights[8:end]), `"classifier.`, `"cls.seq_relationship.`)
	writeFile(t, filepath.Join(dir, "model.safetensors"), string(binary.LittleEndian.AppendUint64(nil, uint64(len(header))))+header+string(weights[end:]))
	for _, m := range ref.Mean {
		sum := 0.0
		for _, v := range m {
			sum += v * v
		}
		for i := range m {
			m[i] /= math.Sqrt(sum)
		}
	}
	return ref.Texts, ref.Mean
}

type vectors struct {
	Data  []struct{ Embedding []float64 }
	Usage struct {
		Prompt int `json:"prompt_tokens"`
		Total  int `json:"total_tokens"`
	}
}

// TestEmbeddingOfTokens gives ids to a model of embeddings, alone and in lists, and compares
// with what transformers makes of the same ids.
func TestEmbeddingOfTokens(t *testing.T) {
	t.Parallel()
	c, texts, want := withEmbedder(t)
	ask := func(input any, want ...[]float64) (tokens int) {
		var got vectors
		if err := c.Post(t.Context(), "/v1/embeddings", object{"model": "bert", "input": input}, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Data) != len(want) {
			t.Fatalf("%d vectors for %d inputs", len(got.Data), len(want))
		}
		for i, w := range want {
			for k := range w {
				if !(math.Abs(got.Data[i].Embedding[k]-w[k]) <= 1e-3) {
					t.Fatalf("number %d of vector %d is %g, transformers has %g", k, i, got.Data[i].Embedding[k], w[k])
				}
			}
		}
		if got.Usage.Prompt != got.Usage.Total {
			t.Errorf("usage %+v", got.Usage)
		}
		return got.Usage.Total
	}
	sum := 0
	for i, ids := range texts {
		if n := ask(ids, want[i]); n != len(ids) {
			t.Errorf("%d tokens counted of %d", n, len(ids))
		}
		sum += len(ids)
	}
	if n := ask(texts, want...); n != sum {
		t.Errorf("%d tokens counted of %d", n, sum)
	}
	var two vectors
	if err := c.Post(t.Context(), "/v1/embeddings", object{"model": "bert", "input": []string{"a", "b"}}, &two); err != nil || len(two.Data) != 2 {
		t.Errorf("two texts: %d vectors, %v", len(two.Data), err)
	}
}

// TestEmbeddingOfLongTexts tells which texts are cut, as sentence-transformers cuts them.
func TestEmbeddingOfLongTexts(t *testing.T) {
	t.Parallel()
	c, _, _ := withEmbedder(t)
	var got struct {
		Usage struct {
			Total int `json:"total_tokens"`
		}
		Truncated struct {
			Inputs []int
			Most   int `json:"max_tokens"`
		}
	}
	ask := func(input any) {
		t.Helper()
		got.Truncated.Inputs, got.Truncated.Most = nil, 0
		if err := c.Post(t.Context(), "/v1/embeddings", object{"model": "bert", "input": input}, &got); err != nil {
			t.Fatal(err)
		}
	}
	ask([]string{"a", strings.Repeat("a ", 5000), "b"})
	if at := got.Truncated.Inputs; len(at) != 1 || at[0] != 1 || got.Truncated.Most < 2 || got.Usage.Total >= 5000 {
		t.Errorf("a long text: %+v", got)
	}
	if ask("a"); got.Truncated.Inputs != nil {
		t.Errorf("a short text: %+v", got)
	}
}

// withPositions gives the BERT of writeEmbedder so many positions. Those beyond its own have the
// vectors of its last one.
func withPositions(t *testing.T, dir string, n int) {
	t.Helper()
	path := filepath.Join(dir, "model.safetensors")
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []safetensors.Tensor
	for i, info := range f.Tensors {
		raw, err := io.ReadAll(f.Section(i))
		if err != nil {
			t.Fatal(err)
		}
		x, shape := make([]float32, len(raw)/2), slices.Clone(info.Shape)
		for k := range x {
			x[k] = tensor.F16ToF32(binary.LittleEndian.Uint16(raw[2*k:]))
		}
		if strings.HasSuffix(info.Name, "position_embeddings.weight") {
			for ; shape[0] < n; shape[0]++ {
				x = append(x, x[len(x)-shape[1]:]...)
			}
		}
		all = append(all, safetensors.Tensor{Name: info.Name, Shape: shape, Data: x})
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, nil, all); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, b.String())
	config := object{}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	config["max_position_embeddings"] = n
	if data, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "config.json"), string(data))
}

// TestTextLongerThanAStep gives an encoder of 8192 positions on a peer a text of 5000 tokens. It
// is cut to what a step takes, and the peer is not blamed: its other model is used as before.
func TestTextLongerThanAStep(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "bert")
	writeEmbedder(t, dir)
	withPositions(t, dir, 8192)
	owner := start(t, t.TempDir(), online(""))
	importAs(t, owner, "demo", "")
	if _, err := owner.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Path: dir}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bert", "demo"} {
		if _, err := owner.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: name, Blocks: "all"}, func(api.Event) {}); err != nil {
			t.Fatal(err)
		}
	}
	c := start(t, t.TempDir(), online(invite(t, owner)))
	until(t, "the peer hears of both", func() bool { m := known(t, c); return m["bert"].Serving == 1 && m["demo"].Serving == 1 })
	var got struct {
		Usage struct {
			Total int `json:"total_tokens"`
		}
		Truncated struct {
			Most int `json:"max_tokens"`
		}
	}
	if err := c.Post(t.Context(), "/v1/embeddings", object{"model": "bert", "input": strings.Repeat("a ", 5000)}, &got); err != nil || got.Usage.Total != protocol.MaxStepTokens || got.Truncated.Most != protocol.MaxStepTokens {
		t.Errorf("a text of 5000 tokens: %+v, %v", got, err)
	}
	var choice router.Choice
	if err := c.Get(t.Context(), "/covey/v1/route", url.Values{"model": {"demo"}}, &choice); err != nil || choice.Chain == nil || choice.Doubtful {
		t.Errorf("route of the peer's other model: %+v, %v", choice, err)
	}
}

// TestInputsThatAreNone sends what is neither texts nor token ids: an error names the place,
// and nothing is taken for something else.
func TestInputsThatAreNone(t *testing.T) {
	t.Parallel()
	c, _, _ := withEmbedder(t)
	for input, want := range map[string]string{
		`null`: "missing", `7`: "a number", `true`: "true or false", `{"a":1}`: "an object", `""`: "empty text", `[]`: "empty list", `[[]]`: "empty list",
		`[""]`: "empty text", `[null]`: "input.[0] is null", `[1,null]`: "input.[1] is null", `["a",null]`: "input.[1] is null", `["a",1]`: "input.[1] is a number",
		`[1,"a"]`: "input.[1] is a text", `[[1],2]`: "input.[1] is a number", `[[1],["a"]]`: "input.[1].[0] is a text", `[[1],[null]]`: "input.[1].[0] is null",
		`[[[1]]]`: "input.[0].[0] is a list", `[1.5]`: "1.5, want a token id", `[1.0]`: "1.0, want a token id", `[1e1]`: "1e1, want a token id",
		`[1e999]`: "1e999, want a token id", `[-1]`: "token -1, which is not in the vocabulary", `[30]`: "ids from 0 to 29",
		`[99999999999999999999]`: "token 99999999999999999999, which is not", `[{}]`: "input.[0] is an object",
		`[` + strings.Repeat(`"a",`, 2048) + `"a"]`: "more than 2048 inputs",
	} {
		status, body := request(t, c, "POST", "/v1/embeddings", `{"model":"bert","input":`+input+`}`, nil)
		if status != 400 || !strings.Contains(body, want) || !strings.Contains(body, `"param":"input"`) {
			t.Errorf("%.60s: %d %s, want %q", input, status, body, want)
		}
	}
	classifier := filepath.Join(t.TempDir(), "bert-text")
	unzip(t, "../engine/model/testdata/bert.zip", classifier)
	if _, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Path: classifier}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]string{
		`["a",null]`: "element 1 of input \\\"text\\\" is null", `[["a"],[null]]`: "is null", `["a",1]`: "a number", `["a"]`: "1 elements", `["a","a","a"]`: "more elements",
		`"a"`: "not a list", `null`: "not a list",
	} {
		body := `{"inputs":[{"name":"text","datatype":"BYTES","shape":[2],"data":` + data + `}]}`
		if status, body := request(t, c, "POST", "/v2/models/bert-text/infer", body, nil); status != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %q", data, status, body, want)
		}
	}
}

// demoTokenizer returns the tokenizer of the demo model, without a node.
func demoTokenizer(t *testing.T) *token.Tokenizer {
	t.Helper()
	dir := t.TempDir()
	if err := demo.Write(dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.FromHF(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestPromptsOfTokens gives a prompt as text, as ids, and several at once: each has its
// answer, the same in all of these ways.
func TestPromptsOfTokens(t *testing.T) {
	t.Parallel()
	c := withDemo(t)
	tok := demoTokenizer(t)
	texts := []string{"// Reader implements", "func main() {"}
	var ids [][]int32
	var alone []completion
	for _, text := range texts {
		ids = append(ids, tok.Encode(text, true))
		alone = append(alone, complete(t, c, map[string]any{"prompt": text, "logprobs": 0}))
	}
	if got := complete(t, c, map[string]any{"prompt": ids[0]}); got.Choices[0].Text != alone[0].Choices[0].Text || got.Usage != alone[0].Usage || got.Usage.Prompt != len(ids[0]) {
		t.Errorf("by ids %+v, by text %+v", got, alone[0])
	}
	for name, prompts := range map[string]any{"ids": ids, "texts": texts} {
		got := complete(t, c, map[string]any{"prompt": prompts, "logprobs": 0})
		if len(got.Choices) != 2 || got.Usage.Total != alone[0].Usage.Total+alone[1].Usage.Total {
			t.Fatalf("two prompts as %s: %+v", name, got)
		}
		for i, ch := range got.Choices {
			want := alone[i].Choices[0]
			if ch.Text != want.Text || ch.Index != i || ch.Finish != want.Finish || !slices.Equal(ch.Logprobs.Tokens, want.Logprobs.Tokens) {
				t.Errorf("prompt %d as %s: %+v, alone %+v", i, name, ch, want)
			}
		}
		res, err := c.Do(t.Context(), "POST", "/v1/completions", object{
			"model": "demo", "prompt": prompts, "max_tokens": 12, "temperature": 0, "stream": true, "stream_options": object{"include_usage": true},
		})
		if err != nil {
			t.Fatal(err)
		}
		var streamed, finish [2]string
		used := 0
		err = api.ReadEvents(res.Body, func(data []byte) error {
			var e completion
			err := json.Unmarshal(data, &e)
			for _, ch := range e.Choices {
				streamed[ch.Index] += ch.Text
				finish[ch.Index] += ch.Finish
			}
			used += e.Usage.Total
			return err
		})
		res.Body.Close()
		for i := range alone {
			if want := alone[i].Choices[0]; err != nil || streamed[i] != want.Text || finish[i] != want.Finish || used != got.Usage.Total {
				t.Errorf("prompt %d streamed as %s: %q (%s, %d tokens), %v; want %q", i, name, streamed[i], finish[i], used, err, want.Text)
			}
		}
	}
}

// TestPromptsThatAreNone sends completions prompts that no answer can follow. The error names the field as
// its param, and in its message which of several prompts it is.
func TestPromptsThatAreNone(t *testing.T) {
	t.Parallel()
	c := withDemo(t)
	long := `"` + strings.Repeat("word ", 5000) + `"`
	for prompt, want := range map[string]string{
		`null`: "prompt is missing", `7`: "prompt is a number", `[]`: "prompt is an empty list", `[[]]`: "prompt.[0] is an empty list",
		`["a",1]`: "prompt.[1] is a number", `[[1],["a"]]`: "prompt.[1].[0] is a text", `[[1],[-1]]`: "prompt.[1].[0] is token -1",
		long: `"message":"the prompt has `, `[` + long + `]`: `"message":"the prompt has `, `["a",` + long + `]`: `"message":"prompt.[1]: the prompt has `,
		`[` + strings.Repeat(`"a",`, 64) + `"a"]`: "more than 64 inputs",
	} {
		status, body := request(t, c, "POST", "/v1/completions", `{"model":"demo","prompt":`+prompt+`}`, nil)
		if status != 400 || !strings.Contains(body, want) || !strings.Contains(body, `"param":"prompt"`) {
			t.Errorf("%.60s: %d %s, want %q", prompt, status, body, want)
		}
	}
	// An empty text is what the tokenizer makes of it: a prompt if that is a token, else none.
	tok := demoTokenizer(t)
	begins := len(tok.Encode("", true)) > 0
	for prompt, at := range map[string]string{`""`: "", `[""]`: "", `["a",""]`: "prompt.[1]: "} {
		status, body := request(t, c, "POST", "/v1/completions", `{"model":"demo","max_tokens":1,"prompt":`+prompt+`}`, nil)
		refused := status == 400 && strings.Contains(body, `"message":"`+at+`the prompt is empty"`) && strings.Contains(body, `"param":"prompt"`)
		if begins && status != 200 || !begins && !refused {
			t.Errorf("%s, of which the tokenizer makes a token: %v: %d %s", prompt, begins, status, body)
		}
	}
}

// TestNewerNameOfTheLimit gives both names of the most tokens of an answer: the newer one counts, in
// either order, and an error names it.
func TestNewerNameOfTheLimit(t *testing.T) {
	t.Parallel()
	c := withDemo(t)
	for path, input := range map[string]string{"/v1/completions": `"prompt":"func main() {"`, "/v1/chat/completions": `"messages":[{"role":"user","content":"hi"}]`} {
		for limits, want := range map[string]string{
			`"max_completion_tokens":2,"max_tokens":5`: `"completion_tokens":2`, `"max_tokens":2,"max_completion_tokens":5`: `"completion_tokens":5`,
			`"max_tokens":3`: `"completion_tokens":3`, `"max_completion_tokens":3`: `"completion_tokens":3`, `"max_completion_tokens":null,"max_tokens":3`: `"completion_tokens":3`,
			`"max_completion_tokens":0,"max_tokens":3`: `"param":"max_completion_tokens"`,
		} {
			if _, body := request(t, c, "POST", path, `{"model":"demo","temperature":0,`+input+`,`+limits+`}`, nil); !strings.Contains(body, want) {
				t.Errorf("%s with %s: %s, want %s", path, limits, body, want)
			}
		}
	}
}
