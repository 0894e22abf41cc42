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

// dealing says how data is dealt out.
type dealing struct {
	how    string
	seed   uint64
	choose bool // see Lab.Choose
	rng    *rand.Rand
}

// member names the folder of a member's data.
func member(i int) string { return strconv.Itoa(i + 1) }

// fold is what of n samples is held out with a seed, one of four parts: after four seeds each sample
// was held out once. Those of choose are held out where something is to be chosen, and the samples
// that the same seed is measured on are left out then.
func fold(n int, seed uint64, choose bool) (held, kept []int) {
	// The parts are the same however the rest is dealt out.
	order := rand.New(rand.NewPCG(1, 0)).Perm(n)
	at := int(seed % folds)
	for i, k := range order {
		switch part := i * folds / n; {
		case choose && part == at:
		case choose && part == (at+1)%folds || !choose && part == at:
			held = append(held, k)
		default:
			kept = append(kept, k)
		}
	}
	return held, kept
}

// folds is how many parts samples are in.
const folds = 4

// digits deals out the images of a folder that digits.py has made, of both its parts.
func digits(from, dir string, d dealing) (float64, error) {
	files, err := filepath.Glob(filepath.Join(from, "*", "*", "*.png"))
	if err != nil || len(files) == 0 {
		return 0, errors.Join(fmt.Errorf("no images in %s", from), err)
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	held, kept := fold(len(files), d.seed, d.choose)
	classes := make([]int, len(kept))
	for i, k := range kept {
		if classes[i], err = strconv.Atoi(filepath.Base(filepath.Dir(files[k]))); err != nil {
			return 0, fmt.Errorf("class of %s: %w", files[k], err)
		}
	}
	put := func(k int, into ...string) error {
		data, err := os.ReadFile(files[k])
		name := filepath.Join(filepath.Base(filepath.Dir(files[k])), filepath.Base(files[k]))
		for _, of := range into {
			err = errors.Join(err, write(data, dir, of, name))
		}
		return err
	}
	for _, k := range held {
		if err := put(k, heldData); err != nil {
			return 0, err
		}
	}
	parts := deal(classes, Members, d.how, d.rng)
	for m, part := range parts {
		for _, i := range part {
			if err := put(kept[i], member(m), allData); err != nil {
				return 0, err
			}
		}
	}
	return skew(classes, parts), nil
}

// wine deals out the rows of the table that wine.py has made. The last column is the label.
func wine(from, dir string, d dealing) (float64, error) {
	data, err := os.ReadFile(from)
	if err != nil {
		return 0, err
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", from, err)
	}
	head, rows := rows[0], rows[1:]
	table := func(name string, places []int) error {
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		err := w.Write(head)
		for _, i := range places {
			err = errors.Join(err, w.Write(rows[i]))
		}
		w.Flush()
		if err := errors.Join(err, w.Error()); err != nil {
			return err
		}
		return write(b.Bytes(), dir, name, "wine.csv")
	}
	held, kept := fold(len(rows), d.seed, d.choose)
	classes := make([]int, len(kept))
	for i, k := range kept {
		classes[i] = int(rows[k][len(head)-1][0] - 'A')
	}
	parts := deal(classes, Members, d.how, d.rng)
	for m, part := range parts {
		own := make([]int, len(part))
		for i, p := range part {
			own[i] = kept[p]
		}
		if err := table(member(m), own); err != nil {
			return 0, err
		}
	}
	return skew(classes, parts), errors.Join(table(heldData, held), table(allData, kept))
}

// pieceBytes is about how long the pieces are that text is cut into where it is dealt out by
// chance.
const pieceBytes = 4096

// heldText are the files of the Go distribution that nobody trains on, as in gotext.toml.
var heldText = []string{
	"src/errors/join.go", "src/sort/gen_sort_variants.go", "src/strconv/makeisprint.go", "src/strings/strings.go", "src/time/time.go",
	"src/time/zoneinfo_wasip1.go",
}

// choiceText are files that nobody trains on, either, where something is to be chosen.
var choiceText = []string{"src/bufio/scan.go", "src/bytes/buffer.go", "src/fmt/print.go", "src/io/io.go", "src/strconv/quote.go", "src/time/format.go"}

// sources are the other files of gotext.toml.
var sources = []string{
	"src/bufio/*.go", "src/bytes/*.go", "src/container/heap/*.go", "src/container/list/*.go", "src/errors/*.go", "src/fmt/*.go",
	"src/io/*.go", "src/sort/*.go", "src/strconv/*.go", "src/strings/*.go", "src/time/*.go", "src/unicode/utf8/*.go",
	"doc/go_mem.html", "doc/go_spec.html",
}

// text deals out text of the Go distribution: in pieces by chance, or so that each member has
// files that are next to each other, most of one package or the specification of the language.
func text(ctx context.Context, dir string, d dealing) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("where the Go distribution is, whose sources are the text: %w", err)
	}
	root := strings.TrimSpace(string(out))
	held := heldText
	if d.choose {
		held = choiceText
	}
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
			if strings.HasSuffix(f, "_test.go") || slices.Contains(heldText, filepath.ToSlash(name)) || slices.Contains(held, filepath.ToSlash(name)) {
				continue
			}
			data, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			pieces = append(pieces, cut(data)...)
		}
	}
	if d.how == ByChance {
		d.rng.Shuffle(len(pieces), func(i, k int) { pieces[i], pieces[k] = pieces[k], pieces[i] })
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
	for i, f := range held {
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
