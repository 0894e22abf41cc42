package blackbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/runner"
)

// weather writes a file of n rows: it rains where the wind is from the west and the pressure
// is low, and then 2 mm for each hPa below 1000.
func weather(t *testing.T, path, header string, n int) {
	t.Helper()
	var b strings.Builder
	b.WriteString(header + "\n")
	for i := range n {
		pressure, wind, rain := 980+float64(i*37%400)/10, []string{"west", "east"}[i%2], 0.0
		if wind == "west" && pressure < 1000 {
			rain = 2 * (1000 - pressure)
		}
		values := map[string]string{
			"pressure": fmt.Sprintf("%.1f", pressure), "wind": wind, "mm": fmt.Sprintf("%.1f", rain), "rain": map[bool]string{true: "wet", false: "dry"}[rain > 0],
		}
		for k, name := range strings.FieldsFunc(header, func(r rune) bool { return r == ',' || r == ';' }) {
			if k > 0 {
				b.WriteString(header[len("pressure") : len("pressure")+1])
			}
			b.WriteString(values[name])
		}
		b.WriteString("\n")
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

const weatherJob = `version = 1
[model]
kind = "mlp"
[model.mlp]
hidden = [32, 32]
%s
[data.csv]
file = "train.csv"
label = "%s"
split = 0.2
columns = [{name = "%s", kind = "ignore"}]
[train]
epochs = 60
batch = 16
optimizer = {kind = "adam", lr = 0.01}
`

// TestTables trains models on a table, publishes them on a node, and asks for the rows of
// another file there and through a second node that holds nothing of them.
func TestTables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	weather(t, filepath.Join(dir, "train.csv"), "pressure,wind,rain,mm", 400)
	rows := filepath.Join(dir, "rows.csv")
	weather(t, rows, "pressure;mm;wind;rain", 1000) // more than a step takes; columns moved
	s := swarm(t, &runner.Manifest{Nodes: nodes("one", "two")})
	run := func(node string, args ...string) (string, error) {
		cmd := command(t, s.Node(node).Dir(), args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return stderr.String(), err
		}
		return string(out), nil
	}
	type result struct {
		Results []struct {
			Row    int
			Labels []struct {
				Label       string
				Probability float64
			}
			Prediction *float64
		}
	}
	for _, m := range []struct{ name, more, label, ignore string }{{"rain", "", "rain", "mm"}, {"mm", "regression = true", "mm", "rain"}} {
		job := filepath.Join(dir, m.name+".toml")
		if err := os.WriteFile(job, []byte(fmt.Sprintf(weatherJob, m.more, m.label, m.ignore)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := run("one", "train", job, "--publish", m.name); err != nil {
			t.Fatalf("train: %v: %s", err, out)
		}
		if out, err := run("one", "host", m.name); err != nil {
			t.Fatalf("host: %v: %s", err, out)
		}
		two := s.Node("two").API()
		waitFor(t, s, "two to hear of the model", func(ctx context.Context) (bool, error) {
			var ready struct{ Ready bool }
			err := two.Get(ctx, "/v2/models/"+m.name+"/ready", nil, &ready)
			return err == nil && ready.Ready, nil
		})
		first, err := run("one", "run", m.name, rows, "--json")
		if err != nil {
			t.Fatalf("%v: %s", err, first)
		}
		if second, err := run("two", "run", m.name, rows, "--json"); err != nil || second != first {
			t.Errorf("%s: two gives something else than one (%v): %.300s", m.name, err, second)
		}
		var here api.Model
		if err := two.Get(t.Context(), "/covey/v1/models/"+m.name, nil, &here); err != nil || here.BytesHere != 0 {
			t.Errorf("two holds %d bytes of weights, %v", here.BytesHere, err)
		}
		var got result
		if err := json.Unmarshal([]byte(first), &got); err != nil || len(got.Results) != 1000 {
			t.Fatalf("%d results, %v", len(got.Results), err)
		}
		wrong := 0
		for i, r := range got.Results {
			pressure := 980 + float64(i*37%400)/10
			wet := i%2 == 0 && pressure < 1000
			switch {
			case r.Row != i+1:
				t.Fatalf("result %d is of row %d", i, r.Row)
			case r.Prediction != nil:
				want := 0.0
				if wet {
					want = 2 * (1000 - pressure)
				}
				if math.Abs(*r.Prediction-want) > 4 {
					wrong++
				}
			case (r.Labels[0].Label == "wet") != wet:
				wrong++
			}
		}
		if wrong > 30 {
			t.Errorf("%s: %d of 1000 rows are wrong", m.name, wrong)
		}
		if text, err := run("two", "run", m.name, rows); err != nil || strings.Count(text, "\n") != 1001 || !strings.HasPrefix(text, "ROW") {
			t.Errorf("as text: %v, %.200s", err, text)
		}
	}
	bad := filepath.Join(dir, "bad.csv")
	for name, c := range map[string]struct{ file, want string }{
		"no column":   {"pressure,mm\n1000,3\n", `column "wind" is missing`},
		"no category": {"pressure,wind\n1000,west\n1000,north\n", `"north" is not one of east, west`},
		"no number":   {"pressure,wind\nhigh,west\n", `"high" is not a number`},
		"fields":      {"pressure,wind\n1,west,3\n", "wrong number of fields"},
		"empty":       {"", "read the names of the columns"},
	} {
		if err := os.WriteFile(bad, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := run("one", "run", "rain", bad); err == nil || !strings.Contains(out, c.want) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %v, %q", name, err, out)
		}
	}
	for name, args := range map[string][]string{"no file": {"run", "rain"}, "two files": {"run", "rain", rows, rows}, "not there": {"run", "rain", filepath.Join(dir, "none.csv")}} {
		if out, err := run("one", args...); err == nil || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %v, %q", name, err, out)
		}
	}
}
