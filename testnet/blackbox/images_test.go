package blackbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/runner"
	"github.com/covey-network/covey/testnet/tiny"
)

// TestClassifyImages imports a tiny ResNet on one peer and classifies an image there, from
// the command line, and through a second peer that holds nothing of the model.
func TestClassifyImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "tiny")
	if err := tiny.WriteResNet(path); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "photo.png")
	writePicture(t, file)
	s := swarm(t, &runner.Manifest{
		Nodes: nodes("one", "two"),
		Model: []runner.Model{{Name: "tiny", Path: path, On: "one", Hosts: []runner.Host{{Node: "one", Blocks: "all"}}}},
	})
	type result struct {
		Results []struct {
			File   string
			Labels []struct {
				Label       string
				Probability float64
			}
		}
	}
	run := func(node string, args ...string) (string, error) {
		bin, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), bin, append([]string{"run", "tiny", "--data", s.Node(node).Dir()}, args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		return string(out) + stderr.String(), err
	}
	first, err := run("one", file, "--json", "--top", "3")
	if err != nil {
		t.Fatalf("%v: %s", err, first)
	}
	var got result
	if err := json.Unmarshal([]byte(first), &got); err != nil {
		t.Fatalf("%v: %s", err, first)
	}
	if len(got.Results) != 1 || got.Results[0].File != file || len(got.Results[0].Labels) != 3 {
		t.Fatalf("got %s", first)
	}
	labels := got.Results[0].Labels
	if !slices.Contains(tiny.Labels(), labels[0].Label) || labels[0].Probability < labels[1].Probability || labels[0].Probability > 1 {
		t.Errorf("labels %v", labels)
	}

	two := s.Node("two").API()
	waitFor(t, s, "two to hear of the model", func(ctx context.Context) (bool, error) {
		var ready struct{ Ready bool }
		err := two.Get(ctx, "/v2/models/tiny/ready", nil, &ready)
		return err == nil && ready.Ready, nil
	})
	second, err := run("two", file, "--json", "--top", "3")
	if err != nil || second != first {
		t.Errorf("through the second peer (%v):\n%s\nfirst peer:\n%s", err, second, first)
	}
	var m api.Model
	if err := two.Get(t.Context(), "/covey/v1/models/tiny", nil, &m); err != nil || m.BytesHere != 0 {
		t.Errorf("peer two holds %d bytes of weights, %v", m.BytesHere, err)
	}

	text, err := run("two", file, file)
	if err != nil || !strings.Contains(text, labels[0].Label) || !strings.Contains(text, "%") || strings.Count(text, "photo.png") != 2 {
		t.Errorf("two files: %v, %s", err, text)
	}
	for name, args := range map[string][]string{"no image": nil, "not there": {filepath.Join(dir, "none.png")}, "no picture": {filepath.Join(path, "config.json")}, "no labels": {file, "--top", "0"}} {
		if out, err := run("one", args...); err == nil || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %v, %q", name, err, out)
		}
	}
}

func writePicture(t *testing.T, path string) {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 90, 50))
	for i := range 90 * 50 {
		m.SetRGBA(i%90, i/90, color.RGBA{R: uint8(3 * i), G: uint8(i / 90), B: uint8(255 - i), A: 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
