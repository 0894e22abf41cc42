package blackbox_test

import (
	"bytes"
	bin "encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/testnet/demo"
	"github.com/covey-network/covey/testnet/runner"
)

// noise returns bytes that mean nothing.
func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// ggufHead is the fixed start of a GGUF file that announces tensors and keys.
func ggufHead(tensors, keys uint64) []byte {
	b := bin.LittleEndian.AppendUint32([]byte("GGUF"), 3)
	return bin.LittleEndian.AppendUint64(bin.LittleEndian.AppendUint64(b, tensors), keys)
}

// ggufKey is a key of type array of texts that announces items and has none.
func ggufKey(name string, items uint64) []byte {
	b := append(bin.LittleEndian.AppendUint64(nil, uint64(len(name))), name...)
	b = bin.LittleEndian.AppendUint32(bin.LittleEndian.AppendUint32(b, 9), 8)
	return bin.LittleEndian.AppendUint64(b, items)
}

// edit replaces a text of a file, which must be there, or all of the file if old is empty.
func edit(t *testing.T, path, old, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if old == "" {
		data = []byte(text)
	} else if !bytes.Contains(data, []byte(old)) {
		t.Fatalf("%s has no %q", path, old)
	} else {
		data = bytes.Replace(data, []byte(old), []byte(text), 1)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestHostileImports gives covey model import files that are cut, garbage or lies. Each
// must be refused in one line that names what is wrong, and the node must live on.
func TestHostileImports(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{Nodes: nodes("one")})
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	run := func(model string) (int, string) {
		cmd := exec.CommandContext(t.Context(), path, "model", "import", model, "--data", s.Node("one").Dir())
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		var exit *exec.ExitError
		if err := cmd.Run(); errors.As(err, &exit) {
			return exit.ExitCode(), stderr.String()
		} else if err != nil {
			t.Fatal(err)
		}
		return 0, stderr.String()
	}
	base := t.TempDir()
	file := func(name string, parts ...[]byte) string {
		p := filepath.Join(base, name)
		if err := os.WriteFile(p, slices.Concat(parts...), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	dir := func(name, file, old, text string) string {
		p := filepath.Join(base, name)
		if err := os.Mkdir(p, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := demo.Write(p); err != nil {
			t.Fatal(err)
		}
		edit(t, filepath.Join(p, file), old, text)
		return p
	}
	shortened := dir("shortened", "config.json", "{", "{")
	if err := os.Truncate(filepath.Join(shortened, "model.safetensors"), 1_000_000); err != nil {
		t.Fatal(err)
	}
	huge := bin.LittleEndian.AppendUint64(nil, math.MaxInt64)
	for _, tc := range []struct{ model, want string }{
		{file("empty.gguf"), "header"},
		{file("text.gguf", []byte("hello")), "not with GGUF"},
		{file("noise.gguf", noise(1<<16)), "not with GGUF"},
		{file("cut.gguf", []byte("GGUF\x03\x00")), "ends within"},
		{file("many.gguf", ggufHead(math.MaxInt64, math.MaxInt64)), "at most"},
		{file("array.gguf", ggufHead(1, 1), ggufKey("tokenizer.ggml.tokens", 1<<40)), "tokenizer.ggml.tokens"},
		{file("tensors.gguf", ggufHead(5, 0), noise(300)), "GGUF"},
		{shortened, "truncated"},
		{dir("nothing", "config.json", "", "{}"), "model_type"},
		{dir("noise", "model.safetensors", "", string(noise(1<<16))), "header"},
		{dir("long", "model.safetensors", "", string(huge)+"{}"), "header"},
		{dir("lies", "model.safetensors", `"data_offsets":[`, `"data_offsets":[9`), "safetensors"},
		{dir("deep", "config.json", "", strings.Repeat("[", 1<<18)), "config.json"},
		{dir("null", "config.json", "", "null"), "config.json"},
		{dir("type", "config.json", "", `{"model_type":"llama","hidden_size":1e300}`), "hidden_size"},
		{dir("layers", "config.json", `"num_hidden_layers": 4`, `"num_hidden_layers": 2000000000`), "2000000000"},
		{dir("minus", "config.json", `"num_hidden_layers": 4`, `"num_hidden_layers": -4`), "-4"},
		{dir("heads", "config.json", `"num_attention_heads": `, `"num_attention_heads": 0, "x": `), "num_attention_heads"},
		{dir("escape", "config.json", `"model_type": "`, `"model_type": "\u001b[2J\n`), "not supported"},
		{dir("vocabulary", "tokenizer.json", "", `{"model":{"type":"BPE","vocab":{"a":99999999999},"merges":["x y z"]}}`), "tokenizer.json"},
	} {
		code, text := run(tc.model)
		name := filepath.Base(tc.model)
		if code != 1 || !strings.Contains(text, tc.want) || !strings.HasPrefix(text, "covey: ") {
			t.Errorf("%s: code %d, %q; want 1 and %q", name, code, text, tc.want)
		}
		if strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\x1b\x00") || len(text) > 600 {
			t.Errorf("%s: not one short line of text: %q", name, text)
		}
		for _, inside := range []string{"panic", "goroutine", ".go:", "Go struct", "nil pointer", "index out of range"} {
			if strings.Contains(text, inside) {
				t.Errorf("%s: the message shows the inside: %q", name, text)
			}
		}
	}
	if code, text := run("demo"); code != 0 {
		t.Errorf("after all these a good import gives code %d, %s", code, text)
	}
}
