package blackbox_test

import (
	"bytes"
	"crypto/sha256"
	bin "encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/testnet/demo"
)

// importModel runs covey model import without a node, and returns what it writes.
func importModel(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"model", "import", "--data", t.TempDir()}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("import %v: %v\n%s", args, err, errOut.String())
	}
	return out.String(), errOut.String()
}

// poison makes the first values of a tensor of a safetensors file NaN.
func poison(t *testing.T, path, tensor string, values int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head := 8 + int(bin.LittleEndian.Uint64(data))
	var header map[string]struct {
		DType   string `json:"dtype"`
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:head], &header); err != nil {
		t.Fatal(err)
	}
	x, ok := header[tensor]
	if !ok || x.DType != "F16" {
		t.Fatalf("tensor %s is %+v, want F16", tensor, x)
	}
	for i := range values {
		bin.LittleEndian.PutUint16(data[head+x.Offsets[0]+2*i:], 0x7e00)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestImportWarns imports a model with values that are not finite and a chat template that
// cannot be parsed: both are told, to people and to programs, and the model is there.
func TestImportWarns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := demo.Write(dir); err != nil {
		t.Fatal(err)
	}
	if _, stderr := importModel(t, dir); strings.Contains(stderr, "warning") {
		t.Errorf("a sound model: %s", stderr)
	}
	const first, second = "model.layers.1.mlp.up_proj.weight", "model.layers.2.self_attn.q_proj.weight"
	weights := filepath.Join(dir, "model.safetensors")
	poison(t, weights, first, 1)
	poison(t, weights, second, 3)
	if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte("{% if %}"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := importModel(t, dir, "--name", "sick")
	for _, want := range []string{`warning: values that are NaN or infinite: 1 in "` + first + `", 3 in "` + second + `"; requests that need them fail`, "warning: the chat template cannot be used: "} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr is %q, want %q in it", stderr, want)
		}
	}
	if !strings.HasPrefix(stdout, "imported sick: ") {
		t.Errorf("stdout is %q", stdout)
	}
	stdout, _ = importModel(t, dir, "--json")
	var e api.Event
	if err := json.Unmarshal([]byte(stdout), &e); err != nil {
		t.Fatal(err)
	}
	if len(e.Warnings) != 2 || len(e.NotFinite) != 2 || e.NotFinite[0] != (api.NotFinite{Tensor: first, Values: 1}) || e.NotFinite[1] != (api.NotFinite{Tensor: second, Values: 3}) {
		t.Errorf("warnings %q, tensors %+v", e.Warnings, e.NotFinite)
	}
}

// TestImportSnapshotOfACache imports a model as huggingface_hub keeps it: links to blobs.
func TestImportSnapshotOfACache(t *testing.T) {
	t.Parallel()
	repository, snapshot := cachedDemo(t, t.TempDir(), "abc")
	for _, path := range []string{snapshot, repository} {
		if stdout, _ := importModel(t, path); !strings.HasPrefix(stdout, "imported Demo-1M: ") {
			t.Errorf("stdout is %q", stdout)
		}
	}
}

// cachedDemo puts the demo model covey/Demo-1M into a cache of Hugging Face as a revision.
func cachedDemo(t *testing.T, cache, revision string) (repository, snapshot string) {
	t.Helper()
	repository = filepath.Join(cache, "models--covey--Demo-1M")
	snapshot = filepath.Join(repository, "snapshots", revision)
	blobs := filepath.Join(repository, "blobs")
	for _, dir := range []string{blobs, snapshot} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	plain := t.TempDir()
	if err := demo.Write(plain); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		hash := fmt.Sprintf("%x", sha256.Sum256([]byte(f.Name())))
		if err := os.Rename(filepath.Join(plain, f.Name()), filepath.Join(blobs, hash)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..", "..", "blobs", hash), filepath.Join(snapshot, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return repository, snapshot
}

// TestImportFromACacheByName names a model of Hugging Face: it is found in the cache, and what was
// taken of it is told, with what else there is; a name that is in none says where was looked.
func TestImportFromACacheByName(t *testing.T) {
	t.Parallel()
	hub := t.TempDir()
	_, first := cachedDemo(t, hub, "abc")
	repository, _ := cachedDemo(t, hub, "cut")
	if err := os.Remove(filepath.Join(repository, "snapshots", "cut", "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), path, append(args, "--data", data)...)
		cmd.Env = append(os.Environ(), "HF_HUB_CACHE="+hub)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out)
	}
	check := func(out string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("got %q, want %q in it", out, w)
			}
		}
	}
	check(run("run", "covey/Demo-1M", "hi"), "covey model import covey/Demo-1M, then covey run Demo-1M")
	check(run("model", "import", "covey/Demo-1M"), "importing "+first+" of the cache of Hugging Face", "imported Demo-1M: ")
	if out := run("model", "import", "covey/Demo-1M"); strings.Contains(out, filepath.Join("snapshots", "cut")) {
		t.Errorf("a snapshot that is not complete is offered: %q", out)
	}
	check(run("run", "covey/Demo-1M", "hi"), "did you mean Demo-1M?")
	for _, args := range [][]string{{"model", "import", "covey/other"}, {"run", "covey/other"}, {"model", "import", "https://huggingface.co/covey/other"}} {
		check(run(args...), "looked in "+hub, "hf download covey/other, then covey model import covey/other")
	}
	if err := os.MkdirAll(filepath.Join(repository, "refs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(repository, "refs", "main"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(run("model", "import", repository), first+" of the cache of Hugging Face, its revision main")
	const download = "hf download covey/Demo-1M --cache-dir "
	if err := os.WriteFile(filepath.Join(repository, "refs", "main"), []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(run("model", "import", "covey/Demo-1M"), first+" of the cache of Hugging Face, as that of main is not complete: complete it with "+download+hub, "huggingface-cli download covey/Demo-1M")
	cut := filepath.Join(repository, "snapshots", "cut")
	if err := os.Symlink(filepath.Join("..", "..", "blobs", "gone"), filepath.Join(cut, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	check(run("model", "import", cut), "which is not there: the download is not complete, complete it with "+download+hub, "huggingface-cli download covey/Demo-1M")
	if err := os.WriteFile(filepath.Join(repository, "refs", "main"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	blob, err := filepath.EvalSymlinks(filepath.Join(first, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	check(run("model", "import", blob), "the file abc/config.json of a model", "import the model, \""+repository)
	check(run("model", "import", filepath.Join(repository, "blobs")), "import that: \""+repository)
	check(run("model", "import", filepath.Join(first, "config.json")), "import its folder, \""+first)
	if err := os.Remove(filepath.Join(first, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	check(run("model", "import", first), "hf download covey/Demo-1M tokenizer.json --cache-dir "+hub+";", "sys.argv[1] + \"/tokenizer.json\")' "+first)
}

// TestRemoveSaysWhatStays removes one of two models of the same weights, then the other: the bytes
// that are told are those that went, those of the other stay, and both are the model.
func TestRemoveSaysWhatStays(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), t.TempDir()
	if err := demo.Write(dir); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := command(t, data, args...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return string(out)
	}
	run("model", "import", dir, "--name", "one")
	run("model", "import", dir, "--name", "two")
	var m api.Model
	if err := json.Unmarshal([]byte(run("model", "show", "one", "--json")), &m); err != nil {
		t.Fatal(err)
	}
	var first, second api.Collected
	if err := json.Unmarshal([]byte(run("model", "rm", "one", "--json")), &first); err != nil {
		t.Fatal(err)
	}
	if first.Stay != m.Bytes || first.Blocks != 1 || first.Bytes > 1<<16 { // its manifest went
		t.Errorf("the first: %+v, want %d bytes that stay", first, m.Bytes)
	}
	run("model", "import", dir, "--name", "one")
	if text := run("model", "rm", "one"); !strings.HasPrefix(text, "removed one: 1 block of ") || !strings.Contains(text, fmt.Sprintf("\n%s of it stay: they are in two, too\nmodels can take ", store.BytesText(m.Bytes))) {
		t.Errorf("the first again: %q", text)
	}
	if err := json.Unmarshal([]byte(run("model", "rm", "two", "--json")), &second); err != nil {
		t.Fatal(err)
	}
	if second.Stay != 0 || second.Bytes < m.Bytes {
		t.Errorf("the second: %+v, want all of %d bytes removed", second, m.Bytes)
	}
	if text := run("model", "gc"); !strings.HasPrefix(text, "removed 0 blocks of 0 B, the disk got 0 B back\nmodels can take ") {
		t.Errorf("nothing more: %q", text)
	}
}

// TestCollectingNamesModels takes the pin of a model back: gc removes it and says so, and its name is
// free for another one. So does rm of another model.
func TestCollectingNamesModels(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), t.TempDir()
	if err := demo.Write(dir); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := command(t, data, args...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return string(out)
	}
	for _, remove := range [][]string{{"model", "gc"}, {"model", "rm", "other"}} {
		run("model", "import", dir, "--name", "loose")
		run("model", "import", dir, "--name", "other", "--quantize", "q8_0")
		var m api.Model
		if err := json.Unmarshal([]byte(run("model", "show", "loose", "--json")), &m); err != nil {
			t.Fatal(err)
		}
		size := store.BytesText(m.Bytes)
		if text := run("model", "unpin", "loose"); !strings.HasPrefix(text, "loose is not pinned: it goes ("+size+") with the next covey model gc") {
			t.Errorf("unpin: %q", text)
		}
		if text := run(remove...); !strings.Contains(text, "\nremoved as well, as it was not pinned: loose ("+size+")\nmodels can take ") {
			t.Errorf("%v: %q", remove, text)
		}
		if text := run("model", "ls"); strings.Contains(text, "loose") {
			t.Errorf("after %v: %s", remove, text)
		}
		run("model", "import", dir, "--name", "loose", "--quantize", "q4_0") // another model
		run("model", "rm", "loose")
	}
}

// TestImportSaysWhichFolder names what is near a model and not one: the error says what to import,
// or how to get it.
func TestImportSaysWhichFolder(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	plain, hub := filepath.Join(top, "plain"), filepath.Join(top, "hub")
	one := filepath.Join(top, "one", "models--covey--Demo-1M")
	first, second := filepath.Join(one, "snapshots", "abc"), filepath.Join(one, "snapshots", "def")
	for _, dir := range []string{plain, first, second, filepath.Join(one, "blobs"), filepath.Join(hub, "models--a--b", "snapshots"), filepath.Join(hub, "models--c--d", "snapshots"), filepath.Join(top, "ggufs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{plain, first, second} {
		if err := demo.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a.gguf", "b.gguf", "c.gguf"} {
		if err := os.WriteFile(filepath.Join(top, "ggufs", name), []byte("GGUF"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path string
		want []string
	}{
		{filepath.Join(plain, "model.safetensors"), []string{"import its folder, ", plain}},
		{hub, []string{"import one of the 2 models in it: ", filepath.Join(hub, "models--a--b"), filepath.Join(hub, "models--c--d")}},
		{filepath.Dir(one), []string{"import the model in it: ", one}},
		{filepath.Join(one, "snapshots"), []string{"import one of the 2 models in it: ", first, second}},
		{filepath.Join(top, "ggufs"), []string{`import one of its 3 GGUF files`, `"a.gguf", "b.gguf", "c.gguf"`}},
		{"covey/Demo-1M", []string{"hf download covey/Demo-1M, then covey model import covey/Demo-1M"}},
		{"https://huggingface.co/covey/Demo-1M/tree/main", []string{"hf download covey/Demo-1M, then covey model import covey/Demo-1M"}},
		{"https://example.org/model.gguf", []string{"download the model first"}},
	} {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			t.Parallel()
			path, err := binary()
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), path, "model", "import", "--data", t.TempDir(), c.path).CombinedOutput()
			if err == nil {
				t.Fatalf("it is imported: %s", out)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("got %q, want %q in it", out, want)
				}
			}
		})
	}
}
