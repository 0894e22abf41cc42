package quality

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The folders of a task's data: what all members have together, what each has, and what nobody
// trains on.
const (
	allData  = "all"
	heldData = "held"
)

// member names the folder of a member's data.
func member(i int) string { return strconv.Itoa(i + 1) }

// digits deals out the images of a folder that digits.py has made.
func digits(from, dir, how string, rng *rand.Rand) (float64, error) {
	files, err := filepath.Glob(filepath.Join(from, "train", "*", "*.png"))
	if err != nil || len(files) == 0 {
		return 0, errors.Join(fmt.Errorf("no images in %s", filepath.Join(from, "train")), err)
	}
	slices.Sort(files)
	classes := make([]int, len(files))
	for i, f := range files {
		if classes[i], err = strconv.Atoi(filepath.Base(filepath.Dir(f))); err != nil {
			return 0, fmt.Errorf("class of %s: %w", f, err)
		}
	}
	parts := deal(classes, Members, how, rng)
	for m, part := range parts {
		for _, i := range part {
			data, err := os.ReadFile(files[i])
			if err != nil {
				return 0, err
			}
			name := filepath.Join(filepath.Base(filepath.Dir(files[i])), filepath.Base(files[i]))
			if err := errors.Join(write(data, dir, member(m), name), write(data, dir, allData, name)); err != nil {
				return 0, err
			}
		}
	}
	return skew(classes, parts), os.CopyFS(filepath.Join(dir, heldData), os.DirFS(filepath.Join(from, "validation")))
}

// heldRows is the part of the rows of a table that nobody trains on.
const heldRows = 0.25

// wine deals out the rows of the table that wine.py has made. The last column is the label.
func wine(from, dir, how string, rng *rand.Rand) (float64, error) {
	data, err := os.ReadFile(from)
	if err != nil {
		return 0, err
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", from, err)
	}
	head, rows := rows[0], rows[1:]
	// The same rows are held out however the others are dealt out.
	rand.New(rand.NewPCG(1, 0)).Shuffle(len(rows), func(i, k int) { rows[i], rows[k] = rows[k], rows[i] })
	held := int(heldRows * float64(len(rows)))
	table := func(name string, rows ...[]string) error {
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		if err := errors.Join(w.Write(head), w.WriteAll(rows)); err != nil {
			return err
		}
		return write(b.Bytes(), dir, name, "wine.csv")
	}
	if err := table(heldData, rows[:held]...); err != nil {
		return 0, err
	}
	rows = rows[held:]
	classes := make([]int, len(rows))
	for i, r := range rows {
		classes[i] = int(r[len(r)-1][0] - 'A')
	}
	parts := deal(classes, Members, how, rng)
	for m, part := range parts {
		var own [][]string
		for _, i := range part {
			own = append(own, rows[i])
		}
		if err := table(member(m), own...); err != nil {
			return 0, err
		}
	}
	return skew(classes, parts), table(allData, rows...)
}

// pieceBytes is about how long the pieces are that text is cut into where it is dealt out by
// chance.
const pieceBytes = 4096

// heldText are the files of the Go distribution that nobody trains on, as in gotext.toml.
var heldText = []string{
	"src/errors/join.go", "src/sort/gen_sort_variants.go", "src/strconv/makeisprint.go", "src/strings/strings.go", "src/time/time.go",
	"src/time/zoneinfo_wasip1.go",
}

// sources are the other files of gotext.toml.
var sources = []string{
	"src/bufio/*.go", "src/bytes/*.go", "src/container/heap/*.go", "src/container/list/*.go", "src/errors/*.go", "src/fmt/*.go",
	"src/io/*.go", "src/sort/*.go", "src/strconv/*.go", "src/strings/*.go", "src/time/*.go", "src/unicode/utf8/*.go",
	"doc/go_mem.html", "doc/go_spec.html",
}

// text deals out text of the Go distribution: in pieces by chance, or so that each member has
// files that are next to each other, most of one package or the specification of the language.
func text(ctx context.Context, dir, how string, rng *rand.Rand) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("where the Go distribution is, whose sources are the text: %w", err)
	}
	root := strings.TrimSpace(string(out))
	var pieces [][]byte
	for _, pattern := range sources {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		for _, f := range files {
			name, err := filepath.Rel(root, f)
			if err != nil {
				return err
			}
			if strings.HasSuffix(f, "_test.go") || slices.Contains(heldText, filepath.ToSlash(name)) {
				continue
			}
			data, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			pieces = append(pieces, cut(data)...)
		}
	}
	if how == ByChance {
		rng.Shuffle(len(pieces), func(i, k int) { pieces[i], pieces[k] = pieces[k], pieces[i] })
	}
	total, before := 0, 0
	for _, p := range pieces {
		total += len(p)
	}
	for i, p := range pieces {
		name := fmt.Sprintf("%04d.txt", i)
		m := min(before*Members/total, Members-1)
		if before += len(p); true {
			if err := errors.Join(write(p, dir, member(m), name), write(p, dir, allData, name)); err != nil {
				return err
			}
		}
	}
	for i, f := range heldText {
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(f)))
		if err != nil {
			return err
		}
		for m := range Members + 1 { // validation is below the folder of the data
			of := allData
			if m < Members {
				of = member(m)
			}
			if err := write(data, dir, of, fmt.Sprintf("held%d.val", i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// cut cuts text into pieces at ends of lines.
func cut(text []byte) (out [][]byte) {
	for len(text) > pieceBytes {
		end := pieceBytes + 1 + bytes.IndexByte(text[pieceBytes:], '\n')
		if end == pieceBytes || len(text)-end < pieceBytes/4 {
			break
		}
		out, text = append(out, text[:end]), text[end:]
	}
	return append(out, text)
}

// write writes a file below folders that are made.
func write(data []byte, path ...string) error {
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o600)
}
