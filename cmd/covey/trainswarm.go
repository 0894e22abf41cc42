package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/trainer"
)

// readPart reads --part.
func (t *trainOptions) readPart() error {
	if t.part == "" {
		return nil
	}
	i, n, ok := strings.Cut(t.part, "/")
	rank, err := strconv.Atoi(i)
	of, err2 := strconv.Atoi(n)
	if !ok || err != nil || err2 != nil || rank < 1 || of < rank || of > 1<<20 {
		return usageError{fmt.Errorf("--part %q: want a part and how many there are, as 1/4", t.part)}
	}
	t.rank, t.of = rank-1, of
	return nil
}

func trainJoinCommand(o *options) *cobra.Command {
	t := &trainOptions{options: o, swarm: true}
	var local job.Local
	var folder string
	c := &cobra.Command{
		Use: "join JOB --from PATH", Short: "Train a job of another peer with data of one's own",
		Long: `Join a job that peers of the swarm train: by its name, or the beginning of its hash (covey train ls shows both).
The data stays on this machine: only what is learned from it leaves, and losses and counts. PATH is a folder with a folder of images for
each class, a CSV file, or a file or folder of text, as the job wants it; data that does not fit is refused with what to do.`,
		Example: "  covey train ls\n  covey train join letters --from ~/notes",
		Args:    args(1, 1, "a job"),
		RunE: func(c *cobra.Command, a []string) error {
			if local.Data == "" {
				return usageError{errors.New("--from is missing: the data of this machine")}
			}
			if err := t.readPart(); err != nil {
				return err
			}
			for _, p := range []*string{&local.Data, &local.Validation, &local.Tokenizer} {
				if *p == "" {
					continue
				}
				abs, err := filepath.Abs(*p)
				if err != nil {
					return err
				}
				*p = abs
			}
			if _, err := os.Stat(local.Data); err != nil {
				return usageError{err}
			}
			if folder == "" {
				folder = a[0] + ".run"
			}
			abs, err := filepath.Abs(folder)
			if err != nil {
				return err
			}
			client, err := t.needRunning(c.Context())
			if err != nil {
				return err
			}
			p := newTrainProgress(c.OutOrStdout(), c.ErrOrStderr(), t.json, "metric")
			req := trainer.Request{Join: a[0], Local: local, Folder: abs, Threads: t.threads, Rank: t.rank, Of: t.of}
			t.warn(c.Context(), client, p)
			var res *job.Result
			err = untilHeard(c.Context(), time.Second, hearTime, func() { p.say("no peer has told of a job %q yet: waiting for up to %v", a[0], hearTime) }, func() (err error) {
				res, err = t.submit(c, client, req, p)
				return err
			})
			p.end()
			if err != nil {
				p.failed()
				return err
			}
			if res.End == job.EndInterrupted {
				p.failed()
				p.interrupted(res, "the same command")
				return context.Canceled
			}
			return p.done(res, 0)
		},
	}
	f := c.Flags()
	f.StringVar(&local.Data, "from", "", "the data of this machine")
	f.StringVar(&local.Validation, "validation", "", "data held out for validation (default: a part of --from, as the job says)")
	f.StringVar(&local.Tokenizer, "tokenizer", "", "tokenizer.json, where the job has one")
	f.StringVar(&folder, "folder", "", "folder of the run (default: JOB.run)")
	f.StringVar(&t.part, "part", "", "take part I of N of the data, as 1/4: for peers that have the same files")
	f.IntVar(&t.threads, "threads", 0, "threads (default: all that the node may use)")
	return c
}

// hearTime is how long a node may not hear of a job: those who train it tell of it every 20 s.
const hearTime = 25 * time.Second

// untilHeard tries again while a job is not known here, and tells so once.
func untilHeard(ctx context.Context, every, most time.Duration, tell func(), try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	look := time.NewTicker(every)
	defer look.Stop()
	for told := false; ; told = true {
		err := try()
		var status *api.StatusError
		if !errors.As(err, &status) || status.Status != http.StatusNotFound || ctx.Err() != nil {
			return err
		}
		if !told {
			tell()
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return err
		}
	}
}

func trainListCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the jobs of the swarm, and the trainings of this node", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := o.needRunning(c.Context())
			if err != nil {
				return err
			}
			var jobs []trainer.Posted
			var runs []trainer.Info
			if err := errors.Join(client.Get(c.Context(), "/covey/v1/swarm/jobs", nil, &jobs), client.Get(c.Context(), "/covey/v1/jobs", nil, &runs)); err != nil {
				return err
			}
			if o.json {
				return o.report(c, map[string]any{"swarm": jobs, "runs": runs}, "")
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			if len(jobs) > 0 {
				fmt.Fprintln(w, "JOB\tHASH\tBY\tSTATE\tROUND\tMEMBERS")
			}
			for _, j := range jobs {
				by := j.By
				if by == "" {
					by = j.Initiator.String()
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\n", j.Name, j.Job[:12], by, j.Phase, j.Round, j.Members)
			}
			if len(runs) > 0 {
				fmt.Fprintln(w, "\nTRAINING HERE\tID\tSTATE\tSTEP\tLOSS\tFOLDER, OR WHY IT FAILED")
			}
			for _, r := range runs {
				fmt.Fprintln(w, runRow(&r))
			}
			if len(jobs)+len(runs) == 0 {
				fmt.Fprintln(w, "no job in the swarm, and no training here: covey train JOB.toml --swarm begins one")
			}
			return w.Flush()
		},
	}
}

// runRow is the line of a training, without numbers that it has not.
func runRow(r *trainer.Info) string {
	step, loss := "-", "-"
	if r.Step > 0 {
		step, loss = strconv.Itoa(r.Step), fmt.Sprintf("%.4f", r.Loss)
	}
	last := r.Folder
	if r.Problem != "" { // more is to be seen with covey train show
		last, _, _ = strings.Cut(r.Problem, "\n")
	}
	return strings.Join([]string{r.Name, r.ID, string(r.State), step, loss, last}, "\t")
}

// findRun returns a training of this node by its id, or the last one of a name.
func findRun(ctx context.Context, client *api.Client, name string) (trainer.Info, error) {
	var runs []trainer.Info
	if err := client.Get(ctx, "/covey/v1/jobs", nil, &runs); err != nil {
		return trainer.Info{}, err
	}
	for i := len(runs) - 1; i >= 0; i-- {
		if runs[i].ID == name || runs[i].Name == name {
			return runs[i], nil
		}
	}
	return trainer.Info{}, usageError{fmt.Errorf("no training %q here: covey train ls lists them", name)}
}

func trainShowCommand(o *options) *cobra.Command {
	t := &trainOptions{options: o}
	return &cobra.Command{
		Use: "show TRAINING", Short: "Follow a training of this node to its end", Args: args(1, 1, "a training"),
		Long: "Follow a training of this node, by its id or name. Ctrl-C ends the looking, not the training.",
		RunE: func(c *cobra.Command, a []string) error {
			client, err := t.needRunning(c.Context())
			if err != nil {
				return err
			}
			run, err := findRun(c.Context(), client, a[0])
			if err != nil {
				return err
			}
			p := newTrainProgress(c.OutOrStdout(), c.ErrOrStderr(), t.json, run.Metric)
			res, err := t.follow(c.Context(), client, run.ID, p)
			p.end()
			if err != nil || res.End == job.EndInterrupted {
				return err
			}
			return p.done(res, 0)
		},
	}
}

func trainStopCommand(o *options) *cobra.Command {
	all := false
	c := &cobra.Command{
		Use: "stop TRAINING", Short: "Stop a training of this node: it saves, and can go on later", Args: args(1, 1, "a training"),
		Long: `Stop a training of this node, by its id or name: it saves, and can go on later. The other members of a job of the swarm go on.
With --all a job that this node began, by its name or the beginning of its hash, ends for all its members: with the round that they are
in, or the next one, when they have certified that. Each has the model then.`,
		RunE: func(c *cobra.Command, a []string) error {
			client, err := o.needRunning(c.Context())
			if err != nil {
				return err
			}
			if all {
				if err := client.Delete(c.Context(), "/covey/v1/swarm/jobs/"+url.PathEscape(a[0]), nil); err != nil {
					return err
				}
				return o.report(c, map[string]any{"job": a[0], "all": true}, "stopping %s for all its members\n", a[0])
			}
			run, err := findRun(c.Context(), client, a[0])
			if err != nil {
				return err
			}
			if err := client.Delete(c.Context(), "/covey/v1/jobs/"+run.ID, &run); err != nil {
				return err
			}
			return o.report(c, run, "stopping %s (%s)\n", run.Name, run.ID)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "stop a job that this node began for all its members")
	return c
}

// swarm shows where the members of a job stand.
func (p *trainProgress) swarm(s *trainer.Swarm) {
	if p.json {
		event := map[string]any{"job": s.Job, "round": s.Round, "rounds": s.Rounds, "phase": s.Phase, "members": s.Members, "want": s.Want, "heard": s.Heard, "quorum": s.Quorum, "loss": s.Loss, "samples": s.Samples, "peers": s.Peers}
		if s.Privacy != nil {
			event["privacy"] = s.Privacy
		}
		p.object("swarm", event)
		return
	}
	var missed []string
	for _, m := range s.Peers {
		if m.Missed {
			missed = append(missed, cmp.Or(m.Name, m.Peer.String()))
		}
	}
	if list := strings.Join(missed, ", "); list != p.missed {
		if p.missed = list; list == "" {
			p.say("all members are reached again")
		} else {
			p.say("not reached from here: %s: what is learned there and here is not shared while that is so (covey peers, covey doctor)", list)
		}
	}
	switch {
	case s.Phase == "over":
		p.over = true
	case s.Phase == "waiting":
		if s.Members == p.waiting {
			return
		}
		p.waiting = s.Members
		p.say("job %s: %d of %d peers are here; others join with: covey train join %s --from DATA", s.Job[:12], s.Members, s.Want, s.Job[:12])
	case s.Round != p.round:
		p.round = s.Round
		text := fmt.Sprintf("round %d", s.Round)
		if s.Rounds > 0 {
			text += fmt.Sprintf(" of %d", s.Rounds)
		}
		if text += fmt.Sprintf(": %d members", s.Members); s.Members == 1 {
			text = strings.TrimSuffix(text, "s")
		}
		if s.Samples > 0 {
			text += fmt.Sprintf("; the last one: %d samples", s.Samples)
			if s.Privacy == nil { // else losses of training are not told
				text += fmt.Sprintf(", loss %.4f", s.Loss)
			}
		}
		if s.Privacy != nil {
			text += "; " + spentText(s.Privacy)
		}
		p.say("%s", text)
	case s.Heard < s.Quorum && s.Phase != "work":
		p.say("round %d waits: %d of %d members are heard, %d are needed", s.Round, s.Heard, s.Members, s.Quorum)
	}
}

// spentText says what was spent of privacy.
func spentText(s *job.Spent) string {
	text := fmt.Sprintf("epsilon %.3f", s.Epsilon)
	if s.Budget > 0 {
		text += fmt.Sprintf(" of %v", s.Budget)
	}
	return text + fmt.Sprintf(" at delta %v", s.Delta)
}

// published tells that the node serves the model.
func (p *trainProgress) published(e *trainer.Published) {
	switch {
	case p.json:
		p.object("published", map[string]any{"name": e.Name, "model": e.Model, "error": e.Error})
	case e.Error != "":
		p.say("the model is not served here as %s: %s", e.Name, e.Error)
	default:
		p.say("published as %s: %s; this node serves it, and all peers can use it", e.Name, e.Model)
	}
}
