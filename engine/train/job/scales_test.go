package job_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/job"
)

// TestRescale scales the data of a run by the moments of more data than it has, again after a
// checkpoint: the model has the bits of one that was given the schema of all data.
func TestRescale(t *testing.T) {
	t.Parallel()
	for _, held := range []string{"split = 0.25", `validation = "held.csv"`} {
		t.Run(held, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(fmt.Sprintf(tableJob, "regression = true", "sum", "class"), "split = 0.25", held, 1)
			if !strings.Contains(text, held) {
				t.Fatalf("no %q in\n%s", held, text)
			}
			all, own := work(t, text), work(t, text)
			rows := strings.SplitAfter(contents(t, all.Dir)["table.csv"], "\n")
			for i, j := range []*job.Job{all, own} {
				write(t, j.Dir, "table.csv", strings.Join(rows[:len(rows)/(1+i)], ""))
				write(t, j.Dir, "held.csv", strings.Join(slices.Concat(rows[:1], rows[5:25]), ""))
			}
			var moments []data.Moments
			h := &hook{begin: func(_ context.Context, r *job.Running) (job.Verdict, error) {
				moments = r.Moments()
				return job.Verdict{End: "enough"}, nil
			}}
			run(t, all, job.Options{Sync: h})
			schema := inspect(t, all)
			if want := len(schema.Columns); len(moments) < 2 || len(moments) > want+1 {
				t.Fatalf("moments of %d columns of %d", len(moments), want)
			}

			given := work(t, text)
			write(t, given.Dir, "table.csv", contents(t, own.Dir)["table.csv"])
			write(t, given.Dir, "held.csv", contents(t, own.Dir)["held.csv"])
			want := run(t, given, job.Options{Schema: schema})

			stopped, stop := context.WithCancel(t.Context())
			defer stop()
			h = &hook{
				begin: func(_ context.Context, r *job.Running) (job.Verdict, error) { return job.Verdict{}, r.Rescale(moments) },
				stepped: func(_ context.Context, _ *job.Running, s job.Step) (job.Verdict, error) {
					if s.Step == 7 {
						stop()
					}
					return job.Verdict{}, nil
				},
			}
			if _, err := job.Run(stopped, own, job.Options{Sync: h}); err != nil {
				t.Fatal(err)
			}
			got := run(t, own, job.Options{Sync: h, Resume: true})
			if got.Last != want.Last {
				t.Errorf("the last validation is %+v, want %+v", got.Last, want.Last)
			}
			a, b := contents(t, got.Model), contents(t, want.Model)
			for name := range b {
				if a[name] != b[name] {
					t.Errorf("%s differs", name)
				}
			}
		})
	}
}
