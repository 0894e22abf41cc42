package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/node/api"
)

// TestRowsStayInColumns prints rows with an error between others.
func TestRowsStayInColumns(t *testing.T) {
	t.Parallel()
	number := float32(1.5)
	for _, c := range []struct {
		name   string
		rows   []rowResult
		target string
		want   string
	}{
		{
			"classes",
			[]rowResult{{Line: 2, Labels: []class{{"a long label", 0.5}}}, {Line: 3, Error: "no"}, {Line: 4, Labels: []class{{"b", 0.25}}}},
			"", "LINE  LABEL         PROBABILITY\n2     a long label  50.0%\n3     -             error: no\n4     b             25.0%\n",
		},
		{"numbers", []rowResult{{Line: 2, Prediction: &number}, {Line: 10, Error: "no"}}, "", "LINE  PREDICTION\n2     1.5\n10    error: no\n"},
		{"of a column", []rowResult{{Line: 2, Prediction: &number}}, "Miete", "LINE  Miete\n2     1.5\n"},
		{"classes of a column", []rowResult{{Line: 2, Labels: []class{{"a", 0.5}}}}, "cultivar", "LINE  cultivar  PROBABILITY\n2     a         50.0%\n"},
	} {
		var b bytes.Buffer
		p := newRowPrinter(&b, &tableFile{target: c.target, classes: len(c.rows[0].Labels) > 0})
		err := p.rows(c.rows)
		if err = errors.Join(err, p.end()); err != nil || b.String() != c.want {
			t.Errorf("%s: %v\n%swant\n%s", c.name, err, b.String(), c.want)
		}
	}
}

// echo is a node with a model of a column a, which predicts what is in it.
func echo(t *testing.T) *api.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"inputs": [{"name": "a"}], "parameters": {}}`)
			return
		}
		var req struct {
			Inputs []struct{ Data []json.Number }
		}
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Error(err)
		}
		numbers, err := json.Marshal(req.Inputs[0].Data)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"outputs": [{"name": "prediction", "data": %s}]}`, numbers)
	}))
	t.Cleanup(server.Close)
	return &api.Client{Base: server.URL}
}

// predict runs a table through echo.
func predict(t *testing.T, file string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := &cobra.Command{}
	c.SetContext(t.Context())
	c.SetOut(&out)
	err := (&runOptions{options: &options{}}).predictTable(c, echo(t), "m", []string{file})
	return out.String(), err
}

// TestPredictionsBeforeAnError has the answers end after some rows of a table: what came before
// is printed, as JSON too.
func TestPredictionsBeforeAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.csv")
	const good = 2 * tableRows
	var file strings.Builder
	file.WriteString("a\n")
	for i := range good + 1 {
		fmt.Fprintln(&file, i)
	}
	file.WriteString("\"no end\n\n")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := predict(t, path)
	if lines := strings.Split(out, "\n"); err == nil || len(lines) != good+3 || lines[good+1] != fmt.Sprintf("%d  %d", good+2, good) {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	var text bytes.Buffer
	c := &cobra.Command{}
	c.SetContext(t.Context())
	c.SetOut(&text)
	err = (&runOptions{options: &options{json: true}}).predictTable(c, echo(t), "m", []string{path})
	var got struct {
		File    string      `json:"file"`
		Format  data.Format `json:"format"`
		Model   string      `json:"model"`
		Results []rowResult `json:"results"`
	}
	if jsonErr := json.Unmarshal(text.Bytes(), &got); jsonErr != nil || err == nil || len(got.Results) != good+1 || got.Results[good].Row != good+1 || *got.Results[good].Prediction != good {
		t.Fatalf("%d results, %v, %v", len(got.Results), jsonErr, err)
	}
	var whole bytes.Buffer
	if printJSON(&whole, got) != nil || whole.String() != text.String() {
		t.Errorf("got %.200s, want %.200s", &text, &whole)
	}
}

// TestLargeTable predicts rows of a file that is larger than a table for training may be.
func TestLargeTable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "large.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const rows = data.DefaultMaxTableBytes>>20 + 1
	note := strings.Repeat("wordy ", 1<<20/6+1)
	if _, err := f.WriteString("note,a\n"); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if _, err := fmt.Fprintf(f, "%s,%d\n", note, i); err != nil {
			t.Fatal(err)
		}
	}
	out, err := predict(t, path)
	lines := strings.Split(out, "\n")
	if err != nil || len(lines) != rows+2 {
		t.Fatalf("%d lines, want %d; %v", len(lines), rows+2, err)
	}
	for i := range rows {
		if got, want := strings.Fields(lines[i+1]), []string{fmt.Sprint(i + 2), fmt.Sprint(i)}; got[0] != want[0] || got[1] != want[1] {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// TestTablesOfOthers predicts rows of tables as people have them, where no job says how they
// are written.
func TestTablesOfOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want, err string }{
		"titles":        {"Sales of 2020\n\n\"in\nthousands\";\nb;a\nx;7\n", "6     7\n", ""},
		"two encodings": {"b,a\n\u00e4,7\n\xe4,8\n", "", "t.csv: line 3: bytes that are not UTF-8, and others in the file are: save the table as UTF-8"},
		"UTF-8 by mark": {"\ufeffb,a\nx,7\n\xe4,8\n", "3     error: bytes that are not utf-8: save the table as UTF-8\n", "1 of 2 rows cannot be used"},
		"no column":     {"Sales\n\nb;c\nx;7\ny;8\nz;9\n", "", `no column "a": the first line, separated by commas, has 1: Sales`},
		"open quote":    {"b,a\nx,7\n\"y,8\nz,9\n", "LINE  PREDICTION\n2     7\n", "line 3: a quoted field goes on to line"},
	} {
		path := filepath.Join(t.TempDir(), "t.csv")
		if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := predict(t, path)
		if !strings.HasSuffix(out, c.want) || (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || strings.Contains(err.Error()+out, "set ")) {
			t.Errorf("%s: got %q, %v, want %q, %s", name, out, err, c.want, c.err)
		}
	}
}

// TestTopOfTables asks for several classes of each row, where there are none to print.
func TestTopOfTables(t *testing.T) {
	t.Parallel()
	for task, want := range map[string]string{taskClassifyTable: "add --json for --top", taskRegressTable: "model m predicts a number: leave out --top"} {
		r := &runOptions{options: &options{}}
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		cmd.Flags().IntVar(&r.top, "top", 5, "")
		if err := cmd.ParseFlags([]string{"m", "t.csv", "--top", "2"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.classify(cmd, &api.Client{}, &api.Model{Task: task}, "m", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", task, err, want)
		}
	}
}
