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

	"golang.org/x/text/encoding/charmap"

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
			Line   int
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
			case r.Row != i+1 || r.Line != i+2:
				t.Fatalf("result %d is of row %d in line %d", i, r.Row, r.Line)
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
		if text, err := run("two", "run", m.name, rows); err != nil || strings.Count(text, "\n") != 1001 || !strings.HasPrefix(text, "LINE") {
			t.Errorf("as text: %v, %.200s", err, text)
		}
	}
	bad := filepath.Join(dir, "bad.csv")
	for name, c := range map[string]struct{ file, want string }{
		"no column":   {"pressure,mm\n1000,3\n", `no column "wind": the first line`},
		"no category": {"pressure,wind\n1000,north\n", `no row can be used, the first in line 2: column "wind": "north" is not one of east, west`},
		"no number":   {"pressure,wind\nhigh,west\n", `"high" is not a number`},
		"fields":      {"pressure,wind\n1,west,3\n", "3 fields, want 2"},
		"names only":  {"pressure,wind\n", "there is no row"},
		"empty":       {"", "the file is empty"},
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

// european writes what a German spreadsheet exports: Latin-1, semicolons, decimal commas,
// points between thousands, days, a currency. The rent is 12.50 a square metre, and twice that
// in Köln.
func european(t *testing.T, path string, n int) {
	t.Helper()
	var b strings.Builder
	b.WriteString("Straße;Größe;Einzug;Nebenkosten;Miete\r\n")
	number := func(v float64) string {
		s := strings.Replace(fmt.Sprintf("%.2f", v), ".", ",", 1)
		if i := len(s) - 6; i > 0 {
			s = s[:i] + "." + s[i:]
		}
		return s
	}
	for i := range n {
		size, street := 20+float64(i*37%1300)/10, []string{"Königsallee", "Möllerweg", "Müllerweg"}[i%3]
		rent := 12.5 * size
		if street == "Königsallee" {
			rent *= 2
		}
		fees := number(float64(i%90)+0.5) + " €"
		if i%10 == 3 {
			fees = "n.a."
		}
		fmt.Fprintf(&b, "%s;%s;%02d.%02d.2024;%s;%s\r\n", street, number(size), 1+i%28, 1+i%12, fees, number(rent))
	}
	text, err := charmap.Windows1252.NewEncoder().String(b.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// askOthers asks the model of TestExportedTable for rows of other tables.
func askOthers(t *testing.T, dir string, run func(...string) (string, string, error)) {
	t.Helper()
	askUnknown(t, dir, run)
	askFar(t, dir, run)
	askWritten(t, dir, run)
}

// askUnknown asks the model of TestExportedTable for rows with streets that training never saw.
func askUnknown(t *testing.T, dir string, run func(...string) (string, string, error)) {
	t.Helper()
	strange := filepath.Join(dir, "strange.csv")
	if err := os.WriteFile(strange, []byte("Straße;Größe;Nebenkosten\nNordweg;20,5;1,0 €\nMöllerweg;20,5;1,0 €\nSüdweg;20,5;1,0 €\nNordweg;20,5;1,0 €\n;20,5;1,0 €\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, told, err := run("run", "rents", strange)
	if note := "note: column \"Straße\": training never saw 3 values, such as \"Nordweg\", \"Südweg\": taken for missing\n"; err != nil || strings.Count(told, "note:") != 1 || !strings.Contains(told, note) {
		t.Errorf("streets that are not known: %v, told %q", err, told)
	}
	if !strings.HasPrefix(out, "LINE  Miete\n2     ") {
		t.Errorf("predictions of a column:\n%s", out)
	}
}

// askFar asks the model of TestExportedTable for flats that are larger than any in training.
func askFar(t *testing.T, dir string, run func(...string) (string, string, error)) {
	t.Helper()
	large := filepath.Join(dir, "large.csv")
	usual := strings.Repeat("Möllerweg;20,5;1,0 €\n", 4200) // more than a request takes
	text := "Straße;Größe;Nebenkosten\nMöllerweg;88.888,5;1,0 €\n" + usual + "Möllerweg;20.500,0;1,0 €\nMüllerweg;99.999,5;9.999,0\n"
	if err := os.WriteFile(large, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, told, err := run("run", "rents", large)
	if err != nil {
		t.Errorf("%v: %s", err, told)
	}
	for _, want := range []string{
		"note: column \"Größe\": 3 values are far from those of training (their mean is ",
		`), such as "88.888,5", "20.500,0", "99.999,5": what is predicted for that is a guess`,
		"note: column \"Nebenkosten\": 1 value is far from those of training",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("numbers far from those of training: told %q, want %s", told, want)
		}
	}
}

// askWritten has the model of TestExportedTable write its predictions into the table that is asked
// for: as that is written, also where it is written in another way than that of training.
func askWritten(t *testing.T, dir string, run func(...string) (string, string, error)) {
	t.Helper()
	own, english, written := filepath.Join(dir, "own.csv"), filepath.Join(dir, "english.csv"), filepath.Join(dir, "written.csv")
	lines := []string{"Straße;Größe;Nebenkosten;Miete", "Königsallee;20,5;1,5 €;", "\"Nord;weg\";30,25;2;1", "Möllerweg;1.020,5;n.a.;", "Möllerweg;7"}
	text, err := charmap.Windows1252.NewEncoder().String(strings.Join(lines, "\r\n") + "\r\n")
	if err != nil {
		t.Fatal(err)
	}
	points := []string{"Größe,Straße,Nebenkosten", "20.5,Königsallee,1.5 €", "30.25,Nord;weg,2", "\"1,020.5\",Möllerweg,n.a."}
	for path, text := range map[string]string{own: text, english: "\ufeff" + strings.Join(points, "\n")} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plain, _, _ := run("run", "rents", own) // its last row cannot be used
	_, told, err := run("run", "rents", own, "-o", written)
	if err == nil || !strings.Contains(told, "own.csv: windows-1252, separated by semicolons, decimal comma\n") || !strings.Contains(told, "line 5: 2 fields, want 4\n") {
		t.Errorf("%v, told %q", err, told)
	}
	rows := strings.Split(plain, "\n")
	for i := range points { // names of columns and three rows
		f := strings.Fields(rows[i])
		if i > 0 {
			points[i], lines[i] = points[i]+","+f[1], lines[i]+";"+strings.Replace(f[1], ".", ",", 1)
		}
	}
	points[0], lines[0], lines[4] = points[0]+",Miete", lines[0]+";predicted Miete", lines[4]+";;;"
	b, err := os.ReadFile(written)
	if err != nil {
		t.Fatal(err)
	}
	got, err := charmap.Windows1252.NewDecoder().String(string(b))
	if want := strings.Join(lines, "\r\n") + "\r\n"; err != nil || got != want {
		t.Errorf("written %q, %v, want %q", got, err, want)
	}
	got, told, err = run("run", "rents", english, "-o", "-")
	if want := "\ufeff" + strings.Join(points, "\n") + "\n"; err != nil || got != want {
		t.Errorf("written %q, %v, want %q", got, err, want)
	}
	if !strings.Contains(told, `english.csv: utf-8, separated by commas, decimal point, "," between thousands`) || !strings.Contains(told, `its numbers have a point before their decimals, such as "20.5" in line 2, and those of training a comma`) {
		t.Errorf("told %q", told)
	}
	if _, told, err = run("run", "rents", english, "--decimal", ","); err == nil || !strings.Contains(told, `"20.5" is not a number with a decimal comma`) {
		t.Errorf("decimals set: %v, told %q", err, told)
	}
	if got, told, err = run("run", "rents", english, "--decimal", ".", "--separator", ",", "--encoding", "utf-8"); err != nil || strings.Contains(told, "note: its numbers") || got != strings.Join(rows[:4], "\n")+"\n" {
		t.Errorf("all set: %v, told %q, got %q", err, told, got)
	}
	if _, told, err = run("run", "rents", own, "-o", filepath.Join(dir, ".", "own.csv")); err == nil || !strings.Contains(told, "is the table itself") {
		t.Errorf("over the table: %v, told %q", err, told)
	}
	if b, err := os.ReadFile(own); err != nil || string(b) != text {
		t.Errorf("the table is %q, %v", b, err)
	}
}

// TestExportedTable trains on a table as a European spreadsheet exports it, told nothing of
// how it is written, publishes the model and asks for the rows of the file, of one in another
// encoding, with a cell that is wrong, and through the API.
func TestExportedTable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, job := filepath.Join(dir, "train.csv"), filepath.Join(dir, "job.toml")
	european(t, path, 400)
	text := strings.NewReplacer("split = 0.2", "split = 0.2\nmissing = \"fill\"").Replace(fmt.Sprintf(weatherJob, "regression = true", "Miete", "nothing"))
	text = strings.Replace(text, "columns = [{name = \"nothing\", kind = \"ignore\"}]\n", "", 1)
	if err := os.WriteFile(job, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := swarm(t, &runner.Manifest{Nodes: nodes("one")})
	run := func(args ...string) (string, string, error) {
		cmd := command(t, s.Node("one").Dir(), args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		return string(out), stderr.String(), err
	}
	_, told, err := run("train", job, "--publish", "rents")
	if err != nil {
		t.Fatalf("train: %v: %s", err, told)
	}
	for _, want := range []string{
		`train.csv: windows-1252, separated by semicolons, decimal comma, "." between thousands`,
		`column "Einzug" has dates such as "01.01.2024" in line 2: it is left out`,
		`column "Nebenkosten": 360 values have €, such as "0,50 €" in line 2`,
		`column "Nebenkosten": 40 values are missing or unknown, the first in line 5 ("n.a." 40 times): each counts as the mean`,
	} {
		if !strings.Contains(told, want) {
			t.Errorf("training does not say %s:\n%s", want, told)
		}
	}
	type result struct {
		Results []struct {
			Line       int
			Prediction *float64
			Error      string
		}
	}
	ask := func(path string) (r result, told string) {
		out, told, err := run("run", "rents", path, "--json")
		if failed := err; json.Unmarshal([]byte(out), &r) != nil {
			t.Fatalf("run: %v: %s", failed, told)
		}
		bad := 0
		for _, row := range r.Results {
			if row.Error != "" {
				bad++
			}
		}
		if (err != nil) != (bad > 0) {
			t.Errorf("%d rows cannot be used, and run ends with %v", bad, err)
		}
		return r, told
	}
	got, _ := ask(path)
	if len(got.Results) != 400 {
		t.Fatalf("%d results", len(got.Results))
	}
	for i, r := range got.Results {
		want := 12.5 * (20 + float64(i*37%1300)/10)
		if i%3 == 0 {
			want *= 2
		}
		if r.Prediction == nil || math.Abs(*r.Prediction-want) > 150 || r.Line != i+2 {
			t.Fatalf("row %d: %+v, want about %v", i, r, want)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfterN(string(b), "\r\n", 5)
	lines[2] = strings.Replace(lines[2], ";", ";klein ", 1) // the second row
	mixed, err := charmap.Windows1252.NewDecoder().String(strings.Join(lines[:4], ""))
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.csv")
	if err := os.WriteFile(other, []byte("\ufeff"+mixed), 0o600); err != nil {
		t.Fatal(err)
	}
	few, told := ask(other)
	if len(few.Results) != 3 || few.Results[1].Line != 3 || !strings.Contains(few.Results[1].Error, `column "Größe": "klein `) ||
		*few.Results[0].Prediction != *got.Results[0].Prediction || *few.Results[2].Prediction != *got.Results[2].Prediction {
		t.Errorf("a file with a bad cell: %+v", few)
	}
	if !strings.Contains(told, "other.csv (utf-8, separated by semicolons, decimal comma): 1 of 3 rows cannot be used") {
		t.Errorf("told %q", told)
	}
	askOthers(t, dir, run)
	if _, told := ask(path); strings.Contains(told, "note:") {
		t.Errorf("told %q of the rows of training", told)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"train", job, "--publish", "rents"}, "a model called rents is here: give the new one another name (covey train " + job + " --publish rents:2 --data "},
		{[]string{"run", "rents", other, path}, "give one file at a time"},
		{[]string{"run", "Rents", other}, "did you mean rents?"},
		{[]string{"run", "rents", "a text"}, "model rents is for tables and takes a file"},
	} {
		if _, told, err := run(c.args...); err == nil || !strings.Contains(told, c.want) {
			t.Errorf("%v: %v, %q, want %q", c.args, err, told, c.want)
		}
	}
	var answer struct {
		Outputs []struct{ Data []float64 }
	}
	inputs := `{"inputs": [{"name": "Straße", "datatype": "BYTES", "shape": [1], "data": ["Königsallee"]}, {"name": "Größe", "datatype": "FP64", "shape": [1], "data": [20.0]},
		{"name": "Nebenkosten", "datatype": "BYTES", "shape": [1], "data": ["0,50 €"]}]}`
	if err := s.Node("one").API().Post(t.Context(), "/v2/models/rents/infer", json.RawMessage(inputs), &answer); err != nil || len(answer.Outputs) != 1 {
		t.Fatalf("asked: %v", err)
	}
	if math.Abs(answer.Outputs[0].Data[0]-*got.Results[0].Prediction) > 1e-3 {
		t.Errorf("the API predicts %v, run %v", answer.Outputs[0].Data[0], *got.Results[0].Prediction)
	}
}
