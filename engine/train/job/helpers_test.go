package job_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/job"
)

// write writes a file below a folder.
func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// pictures writes n images of each class, bright on the left, the right or nowhere, and a
// file that is no image.
func pictures(t testing.TB, dir string, n int) {
	t.Helper()
	otherPictures(t, dir, n, 1)
}

// otherPictures writes different pictures for each seed.
func otherPictures(t testing.TB, dir string, n int, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	for class, name := range []string{"left", "none", "right"} {
		for i := range n {
			m := image.NewGray(image.Rect(0, 0, 8, 8))
			for y := range 8 {
				for x := range 8 {
					v := r.IntN(100)
					if class == 0 && x < 4 || class == 2 && x >= 4 {
						v += 150
					}
					m.SetGray(x, y, color.Gray{Y: uint8(v)})
				}
			}
			var b strings.Builder
			if err := png.Encode(&b, m); err != nil {
				t.Fatal(err)
			}
			write(t, dir, fmt.Sprintf("%s/%02d.png", name, i), b.String())
		}
	}
	write(t, dir, "left/broken.png", "no image")
}

// table writes rows whose class follows from two numbers and a word.
func table(t testing.TB, dir string, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	var b strings.Builder
	b.WriteString("id,a,b,colour,sum,class,said\n")
	for i := range n {
		x, y := r.NormFloat64(), r.NormFloat64()
		colour := []string{"red", "blue"}[r.IntN(2)]
		class, said := "low", "it was bad"
		if x+y > 0 {
			class, said = "high", "good it was"
		}
		fmt.Fprintf(&b, "%d,%.4f,%.4f,%s,%.4f,%s,%s\n", i, x, 10*y+50, colour, 3*x+y, class, said)
	}
	b.WriteString("broken\n")
	write(t, dir, "table.csv", b.String())
}

// texts writes files of repeated lines.
func texts(t testing.TB, dir string) {
	t.Helper()
	for i := range 6 {
		write(t, dir, fmt.Sprintf("texts/%d.txt", i), strings.Repeat(fmt.Sprintf("the cat %d sat on the mat.\n", i%3), 12))
	}
	write(t, dir, "texts/no.txt", "left out \xff\n")
}

// read reads a job file with the given content.
func read(t testing.TB, dir, content string) *job.Job {
	t.Helper()
	j, err := job.Read(write(t, dir, "job.toml", content))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// run runs a job to its end.
func run(t testing.TB, j *job.Job, o job.Options) *job.Result {
	t.Helper()
	res, err := job.Run(context.Background(), j, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// contents returns all files below a folder.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sameFiles compares the folders of two runs, bit by bit.
func sameFiles(t testing.TB, got, want string) {
	t.Helper()
	a, b := contents(t, got), contents(t, want)
	for _, l := range []map[string]string{a, b} {
		for name := range l {
			if a[name] != b[name] {
				t.Errorf("%s: %d bytes, differ from the %d of the undisturbed run", name, len(a[name]), len(b[name]))
			}
		}
	}
	for _, name := range []string{"last.state", "history.csv", "curve.png", "model/config.json", "model/model.safetensors"} {
		if !slices.Contains(keys(a), name) {
			t.Errorf("%s is missing", name)
		}
	}
}

func keys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
