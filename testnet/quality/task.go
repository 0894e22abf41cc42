package quality

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Task is something to learn: a job of docs/examples, with fewer samples in a step of each of the
// members, so that one step of all is one of the job.
type Task struct {
	Name    string
	Story   string
	example string // the job file
	own     string // the file of a member's data, below its folder; empty: the folder
	batch   int    // of a member
	steps   int    // of a member, and of the process that is alone
	seeds   int    // runs with other first weights, deals and held out samples: one says little
	deal    func(ctx context.Context, l *Lab, dir string, d dealing) (skew float64, err error)
	place   func(job, data, held string) string // puts the paths of data into a job
}

// Tasks returns all tasks.
func Tasks() []*Task {
	return []*Task{
		{
			Name: "digits", Story: "a convolutional network on 1,348 images of digits", example: "digits.toml", batch: 8, steps: 2048, seeds: folds,
			deal: func(ctx context.Context, l *Lab, dir string, d dealing) (float64, error) {
				from, err := l.make(ctx, "digits")
				if err != nil {
					return 0, err
				}
				return digits(from, dir, d)
			},
			place: func(job, data, held string) string {
				return set(set(job, "folder", strconv.Quote(data)), "validation", strconv.Quote(held))
			},
		},
		{
			Name: "wine", Story: "a perceptron on 134 rows of a table", example: "wine.toml", own: "wine.csv", batch: 2, steps: 1024, seeds: 2 * folds,
			deal: func(ctx context.Context, l *Lab, dir string, d dealing) (float64, error) {
				from, err := l.make(ctx, "wine.csv")
				if err != nil {
					return 0, err
				}
				return wine(from, dir, d)
			},
			place: func(job, data, held string) string {
				return set(set(set(job, "file", strconv.Quote(data)), "validation", strconv.Quote(filepath.Join(held, "wine.csv"))), "split", "")
			},
		},
		{
			Name: "text", Story: "a small Llama on 1 MB of Go's sources", example: "gotext.toml", batch: 2, steps: 1024, seeds: 1,
			deal: func(ctx context.Context, _ *Lab, dir string, d dealing) (float64, error) {
				return 0, text(ctx, dir, d)
			},
			place: func(job, data, _ string) string {
				job = set(set(job, "folder", strconv.Quote(data)), "exclude", "")
				for _, e := range [][2]string{{"dim", "64"}, {"blocks", "2"}, {"heads", "2"}, {"kv_heads", "2"}, {"ffn", "96"}, {"length", "64"}} {
					job = set(job, e[0], e[1]) // what eight processes on two cores learn in minutes
				}
				return set(set(job, "files", `["*.txt"]`), "validation", `["held*.val"]`)
			},
		},
	}
}

// job returns the text of the task's job on data, validated once, at its end.
func (t *Task) job(examples, data, held string, batch int, seed uint64) (string, error) {
	text, err := os.ReadFile(filepath.Join(examples, t.example))
	if err != nil {
		return "", err
	}
	job := t.place(string(text), filepath.Join(data, t.own), held)
	steps := strconv.Itoa(t.steps)
	for _, e := range [][2]string{
		{"epochs"},
		{"patience"},
		{"best"},
		{"steps", steps},
		{"batch", strconv.Itoa(batch)},
		{"seed", strconv.FormatUint(seed, 10)},
		{"validate_every", steps},
		{"checkpoint_every", steps},
	} {
		job = set(job, e[0], e[1])
	}
	return job, nil
}

// set sets a key of a job: where it is, or in section train; an empty value takes it away.
func set(job, key, value string) string {
	line := regexp.MustCompile(`(?m)^` + key + ` = (\[\n(.*\n)*?\]|.*)\n`)
	switch {
	case value == "":
		return line.ReplaceAllString(job, "")
	case line.MatchString(job):
		return line.ReplaceAllLiteralString(job, key+" = "+value+"\n")
	case key == "validation":
		return strings.Replace(job, "[data.csv]\n", "[data.csv]\n"+key+" = "+value+"\n", 1)
	}
	return strings.Replace(job, "[train]\n", "[train]\n"+key+" = "+value+"\n", 1)
}

// Lab is where tasks run.
type Lab struct {
	Binary   string // the covey program
	Lossy    string // the same, built with the tag lossy
	Dir      string // for data and nodes
	Examples string // the folder of job files
	Data     string // has digits and wine.csv, or gets them
	Python   string // makes them
	Seed     uint64
	Swarm    string // more lines for section swarm
	// Choose holds out other samples than those that tables are of, which are left out then: those
	// of a table may not choose defaults.
	Choose bool
	Say    func(format string, args ...any)
}

// make makes the data of a task with its program in Python, unless it is there.
func (l *Lab) make(ctx context.Context, name string) (string, error) {
	path := filepath.Join(l.Data, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(l.Data, 0o700); err != nil {
		return "", err
	}
	script := filepath.Join("engine", "train", "data", "testdata", "make", strings.TrimSuffix(name, ".csv")+".py")
	if out, err := command(ctx, l.Python, script, path); err != nil {
		return "", fmt.Errorf("%s makes the data and needs scikit-learn and pillow (pip install scikit-learn pillow): %w\n%s", script, err, out)
	}
	return path, nil
}

// Rows runs a task: the data dealt out by chance and skewed, all updates and half of them.
func (l *Lab) Rows(ctx context.Context, t *Task, each func(*Row)) error {
	for _, how := range []string{ByChance, Skewed} {
		all, half := &Row{Task: t.Name, Data: how}, &Row{Task: t.Name, Data: how, Lost: 0.5}
		for k := range t.seeds {
			if err := l.seed(ctx, t, how, l.Seed+uint64(k), all, half); err != nil {
				return fmt.Errorf("%s, data %s: %w", t.Name, how, err)
			}
		}
		for _, r := range []*Row{all, half} {
			each(r)
		}
	}
	return nil
}

// seed runs a task with one seed, alone and by two swarms, and adds what came of it to the rows.
func (l *Lab) seed(ctx context.Context, t *Task, how string, seed uint64, rows ...*Row) (err error) {
	dir := filepath.Join(l.Dir, fmt.Sprintf("%s-%s-%d", t.Name, strings.Fields(how)[0], seed))
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	share, err := t.deal(ctx, l, dir, dealing{how: how, seed: seed, choose: l.Choose, rng: rand.New(rand.NewPCG(seed, 0))})
	if err != nil {
		return err
	}
	held := filepath.Join(dir, heldData)
	job, err := t.job(l.Examples, filepath.Join(dir, allData), held, t.batch*Members, seed)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, t.Name+".toml")
	if err := os.WriteFile(path, []byte(job), 0o600); err != nil {
		return err
	}
	alone, err := train(ctx, l.Binary, filepath.Join(dir, t.Name+".run"), path, "--data", filepath.Join(dir, "none"))
	if err != nil {
		return err
	}
	l.Say("%s, seed %d: loss %.4f alone", t.Name, seed, alone.loss)
	if job, err = t.job(l.Examples, filepath.Join(dir, member(0)), held, t.batch, seed); err != nil {
		return err
	}
	for i, r := range rows {
		binary := l.Binary
		if r.Lost > 0 {
			binary = l.Lossy
		}
		c, err := gather(ctx, binary, filepath.Join(dir, fmt.Sprintf("nodes%d", i)), r.Lost, seed)
		if err != nil {
			return err
		}
		got, sum, err := c.together(ctx, t, dir, job+"\n[swarm]\n"+l.Swarm)
		if err = errors.Join(err, c.swarm.Stop()); err != nil {
			return err
		}
		if got.held != alone.held {
			return fmt.Errorf("the first member is measured on %d samples, one process on %d", got.held, alone.held)
		}
		l.Say("%s, data %s, seed %d, %.0f %% of updates lost: loss %.4f", t.Name, how, seed, 100*r.Lost, got.loss)
		n := float64(t.seeds)
		r.Alone, r.Together = append(r.Alone, alone.loss), append(r.Together, got.loss)
		r.Metric[0], r.Metric[1] = r.Metric[0]+alone.metric/n, r.Metric[1]+got.metric/n
		r.Slices, r.All = r.Slices+sum.slices/Members/n, r.All+sum.all/Members/n
		r.Skew, r.Parameters, r.Steps, r.Rounds = r.Skew+share/n, got.parameters, t.steps, got.rounds
	}
	return nil
}
