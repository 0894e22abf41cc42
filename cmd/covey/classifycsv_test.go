package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
)

// trainedTable trains a model of a table with a publish name, and returns the node's folder.
func trainedTable(t *testing.T, name, model, csv, table string) (node string) {
	t.Helper()
	dir := t.TempDir()
	job := filepath.Join(dir, "job.toml")
	for file, text := range map[string]string{filepath.Join(dir, "table.csv"): table, job: `version = 1
model = {kind = "mlp", mlp = ` + model + `}
data = {csv = {file = "table.csv", ` + csv + `}}
train = {steps = 4, batch = 4, threads = 1, optimizer = {kind = "adam", lr = 0.01}}
`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	node = t.TempDir()
	if out, err := command(t.Context(), t, node, "train", job, "--publish", name); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return node
}

// TestDecimalOfMixedColumns predicts the rows of a table whose decimals are told, with a model of
// columns that have different ones: the request says so too.
func TestDecimalOfMixedColumns(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("a;b;y\n")
	for i := range 24 {
		fmt.Fprintf(&b, "1.2%d4,5;%d.5;%d\n", i%10, i%7, i)
	}
	node := trainedTable(t, "mixed", "{hidden = [4], regression = true}", `label = "y"`, b.String())
	table := filepath.Join(t.TempDir(), "points.csv")
	if err := os.WriteFile(table, []byte("a;b\n1234.5;1.5\n1254.5;2.5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t.Context(), t, node, "run", "mixed", table, "--decimal", ".")
	if err != nil || !strings.Contains(out, "decimal point") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = command(t.Context(), t, node, "run", "mixed", table, "--decimal", ","); err == nil {
		t.Errorf("points are read as commas:\n%s", out)
	}
}

// TestMalformedRowsAreWritten has a row with a stray quote in a table whose rows are written: it
// comes out as it is.
func TestMalformedRowsAreWritten(t *testing.T) {
	t.Parallel()
	node := trainedTable(t, "lengths", "{hidden = [4], regression = true}", `label = "y"`, "what;x;y\n"+strings.Repeat("pipe;1;2\nrod;2;3\n", 12))
	dir := t.TempDir()
	table, file := filepath.Join(dir, "rows.csv"), filepath.Join(dir, "out.csv")
	text := "what;x\r\npipe;1\r\n\r\n12\" pipe;5\r\n\"ro\"d;7\r\n\"rod\";2\r\nlast \"one;9"
	if err := os.WriteFile(table, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t.Context(), t, node, "run", "lengths", table, "-o", file)
	if err == nil || !strings.Contains(out, "line 4: ") || !strings.Contains(out, "line 5: ") || !strings.Contains(out, "5 rows written, 2 of them") {
		t.Errorf("%v\n%s", err, out)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(written), "\r\n")
	if len(lines) != 7 || lines[2] != `12" pipe;5` || lines[3] != `"ro"d;7` || lines[5] != `last "one;9` || !strings.HasPrefix(lines[1], "pipe;1;") || !strings.HasPrefix(lines[4], "rod;2;") {
		t.Errorf("%q", lines)
	}
}

// TestClassesThatTheEncodingLacks predicts classes that cannot be written as the table is: that is
// told before anything is written.
func TestClassesThatTheEncodingLacks(t *testing.T) {
	t.Parallel()
	node := trainedTable(t, "towns", "{hidden = [4]}", `label = "town"`, "x,town\n"+strings.Repeat("1,Łódź\n2,Köln\n", 12))
	dir := t.TempDir()
	table, file := filepath.Join(dir, "rows.csv"), filepath.Join(dir, "out.csv")
	text, err := charmap.Windows1252.NewEncoder().String("note,x\nfür,1\nmöglich,2\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{table: text, file: "older\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := command(t.Context(), t, node, "run", "towns", table, "--encoding", "windows-1252", "-o", file)
	if err == nil || !strings.Contains(err.Error(), `"Łódź" cannot be written in windows-1252`) || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("%v\n%s", err, out)
	}
	if left, err := os.ReadFile(file); err != nil || string(left) != "older\n" {
		t.Errorf("the file is %q, %v", left, err)
	}
	if out, err := command(t.Context(), t, node, "run", "towns", table, "--encoding", "windows-1252"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTableThatCannotBeServed trains on a table with categories too long for a model: that is told
// before the first step, and not after the last.
func TestTableThatCannotBeServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := strings.Repeat("wordy ", 250)
	job := filepath.Join(dir, "job.toml")
	for file, text := range map[string]string{"table.csv": "comment,x,y\n" + strings.Repeat(long+"a,1,2\n"+long+"b,2,3\n", 12), "job.toml": `version = 1
model = {kind = "mlp", mlp = {hidden = [4], regression = true}}
data = {csv = {file = "table.csv", label = "y"}}
train = {steps = 4, batch = 4, threads = 1, optimizer = {kind = "adam", lr = 0.01}}
`} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := command(t.Context(), t, t.TempDir(), "train", job, "--publish", "comments")
	if err == nil || !strings.Contains(err.Error(), `column "comment": a category has 1501 bytes`) || !strings.Contains(err.Error(), "ignore") || strings.Contains(out, "loss") {
		t.Errorf("%v\n%s", err, out)
	}
}
