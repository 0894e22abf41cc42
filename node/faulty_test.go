package node_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/demo"
)

// writeWithNaN writes the demo model with all of one norm NaN.
func writeWithNaN(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "poor")
	if err := demo.Write(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head := 8 + int(binary.LittleEndian.Uint64(data))
	var tensors map[string]struct {
		DType   string `json:"dtype"`
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:head], &tensors); err != nil {
		t.Fatal(err)
	}
	norm, ok := tensors["model.layers.1.input_layernorm.weight"]
	nan := map[string][]byte{"F32": {0, 0, 0xc0, 0x7f}, "F16": {0, 0x7e}, "BF16": {0xc0, 0x7f}}[norm.DType]
	if !ok || nan == nil {
		t.Fatalf("no norm to change: %+v", norm)
	}
	copy(data[head+norm.Offsets[0]:head+norm.Offsets[1]], bytes.Repeat(nan, (norm.Offsets[1]-norm.Offsets[0])/len(nan)))
	writeFile(t, path, string(data))
	return dir
}

// TestModelWithNaN asks a peer for a model that has a NaN, and for another one of it between:
// the first is an error of the model each time, the other is answered.
func TestModelWithNaN(t *testing.T) {
	t.Parallel()
	owner := start(t, t.TempDir(), func(c *node.Config) { online("")(c) })
	importAs(t, owner, "demo", "")
	if _, err := owner.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Name: "poor", Path: writeWithNaN(t)}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"demo", "poor"} {
		if _, err := owner.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: m, Blocks: "all"}, func(api.Event) {}); err != nil {
			t.Fatal(err)
		}
	}
	user := start(t, t.TempDir(), online(invite(t, owner)))
	until(t, "the user hears of the models", func() bool { m := known(t, user); return m["demo"].Serving == 1 && m["poor"].Serving == 1 })
	want := complete(t, owner, nil).Choices[0].Text
	for range 3 {
		code, body := request(t, user, "POST", "/v1/completions", `{"model":"poor","prompt":"x"}`, nil)
		if code != 500 || !strings.Contains(body, `"code":"model_error"`) || !strings.Contains(body, "poor") {
			t.Errorf("the model with a NaN: %d %s", code, body)
		}
		if got := complete(t, user, nil).Choices[0].Text; got != want {
			t.Errorf("another model of the peer says %q, want %q", got, want)
		}
	}
}
