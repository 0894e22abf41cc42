package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// offers writes a table as spreadsheets of Europe do, with a total row at its end, and a job.
func offers(t *testing.T) (job, table string) {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString("Nr;Ort;Fläche;Zimmer;Preis\r\n")
	rooms, price := 0, 0
	for i := range 60 {
		fmt.Fprintf(&b, "%d;%s;%d,5 m²;%d;%d,00 €\r\n", 1000+i, []string{"Köln", "Bonn", "Trier"}[i%3], 40+i%9, 1+i%4, 700+i%4*100)
		rooms, price = rooms+1+i%4, price+700+i%4*100
	}
	fmt.Fprintf(&b, "Summe;;;%d;%d.%03d,00 €\r\n", rooms, price/1000, price%1000)
	job, table = filepath.Join(dir, "job.toml"), filepath.Join(dir, "offers.csv")
	for name, text := range map[string]string{table: b.String(), job: `version = 1
model = {kind = "mlp", mlp = {hidden = [4], regression = true}}
data = {csv = {file = "offers.csv", label = "Preis", split = 0.2, missing = "fill"}}
train = {epochs = 2, batch = 8, threads = 1, optimizer = {kind = "adam", lr = 0.01}}
`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return job, table
}

// TestTotalRow trains on a table with a total row and predicts its rows: both leave that row out,
// and say which one it is.
func TestTotalRow(t *testing.T) {
	t.Parallel()
	job, table := offers(t)
	data := t.TempDir()
	out, err := command(t.Context(), t, data, "train", job, "--publish", "offers")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"offers.csv:62 is left out: its 2 numbers are the sums of their columns: is it a total?\n", "48 samples, 12 for validation",
		"columns: Nr ignore, Ort category of 3, Fläche number, Zimmer number, Preis number\n1 file, row or sample was left out\nwarning: ",
		"warning: offers.csv: line 62: its 2 numbers are the sums of their columns: is it a total? The row is left out", `warning: offers.csv: column "Nr" counts the rows, from 1000 to 1059: it is left out`,
		`column "Fläche": 60 values have m²`, `column "Preis": 60 values have €`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
	const total = "its 2 numbers are the sums of their columns: is it a total?"
	if out, err = command(t.Context(), t, data, "run", "offers", table); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"\n62    none: " + total + "\n", "note: line 62 has no prediction: " + total + "\n"} {
		if !strings.Contains(out, want) || strings.Contains(out, "far from") {
			t.Errorf("output lacks %q, or tells of far numbers:\n%s", want, out)
		}
	}
	file := filepath.Join(t.TempDir(), "predicted.csv")
	if out, err = command(t.Context(), t, data, "run", "offers", table, "-o", file); err != nil || !strings.Contains(out, file+": 61 rows written, 60 of them with a prediction\n") {
		t.Errorf("%v\n%s", err, out)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(written), "\r\n")
	if len(lines) != 63 || !strings.HasPrefix(lines[61], "Summe;") || !strings.HasSuffix(lines[61], " €;") || strings.HasSuffix(lines[60], ";") {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-3:])
	}
	if out, err = command(t.Context(), t, data, "run", "offers", table, "--json"); err != nil {
		t.Fatal(err)
	}
	var got struct{ Results []rowResult }
	if err := json.NewDecoder(strings.NewReader(out[strings.Index(out, "{"):])).Decode(&got); err != nil || len(got.Results) != 61 || got.Results[60].Total != total || got.Results[60].Prediction != nil || got.Results[59].Prediction == nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestNoTotalRow predicts rows that look like totals, but are in a table where they are many, or
// have a category of training.
func TestNoTotalRow(t *testing.T) {
	t.Parallel()
	job, table := offers(t)
	data := t.TempDir()
	if out, err := command(t.Context(), t, data, "train", job, "--publish", "offers"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, rows := range []string{"Trier;;\n", ";;3\n", "Ulm;;\n;;\n", "Köln;45,5 m²;1\nKöln;46,5 m²;2\nKöln;47,5 m²;3\nBonn;;\n"} {
		if err := os.WriteFile(table, []byte("Ort;Fläche;Zimmer\n"+rows), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := command(t.Context(), t, data, "run", "offers", table)
		if strings.Contains(out, "none: ") || err != nil && !strings.Contains(err.Error(), "no value") && !strings.Contains(err.Error(), "1 of 2 rows") {
			t.Errorf("%q: %v\n%s", rows, err, out)
		}
	}
}

// TestTotalOfRounded trains on a table whose total is that of numbers that are not shown, and
// predicts rows of another with a total that is 0,1 off. Words for missing values are those of the job.
func TestTotalOfRounded(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), t.TempDir()
	var b strings.Builder
	b.WriteString("Nr;Ort;Fläche;Zimmer;Preis\r\n")
	area, rooms, price := 0, 0, 0 // areas in hundredths
	for i := range 60 {
		of := 4000 + i*37%900 + 4 // is shown with one decimal
		place := "k.A."
		if i%7 != 3 {
			place = []string{"Köln", "Bonn", "Trier"}[i%3]
		}
		fmt.Fprintf(&b, "%d;%s;%d,%d;%d;%d,00 €\r\n", 1000+i, place, (of+5)/100, (of+5)/10%10, 1+i%4, 700+i%4*100)
		area, rooms, price = area+of, rooms+1+i%4, price+700+i%4*100
	}
	rowsText := b.String()
	total := func(area int) string {
		return fmt.Sprintf("Summe;;%d.%03d,%d;%d;%d.%03d,00 €\r\n", area/100000, area/100%1000, area%100/10, rooms, price/1000, price%1000)
	}
	for name, text := range map[string]string{"offers.csv": rowsText + total(area), "new.csv": rowsText + total(area+10), "job.toml": `version = 1
model = {kind = "mlp", mlp = {hidden = [4], regression = true}}
data = {csv = {file = "offers.csv", label = "Preis", split = 0.2, missing = "fill", missing_values = ["k.A."]}}
train = {epochs = 2, batch = 8, threads = 1, optimizer = {kind = "adam", lr = 0.01}}
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := command(t.Context(), t, data, "train", filepath.Join(dir, "job.toml"), "--publish", "offers")
	for _, want := range []string{"line 62: its 3 numbers are the sums of their columns: is it a total?", `column "Nr" counts the rows`, "columns: Nr ignore, Ort category of 3", "48 samples, 12 for validation"} {
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("%v, output lacks %q:\n%s", err, want, out)
		}
	}
	out, err = command(t.Context(), t, data, "run", "offers", filepath.Join(dir, "new.csv"))
	if err != nil || !strings.Contains(out, "\n62    none: its 3 numbers are the sums of their columns: is it a total?\n") || strings.Contains(out, "never saw") {
		t.Errorf("%v\n%s", err, out)
	}
}
