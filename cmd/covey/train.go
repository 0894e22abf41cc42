package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/shell"
)

// trainOptions are the flags of covey train.
type trainOptions struct {
	*options
	resume         bool
	publish        string
	threads, steps int
	example        string
	swarm          bool
	minPeers       int
	part           string // of the data, as 1/4
	rank, of       int
}

func trainCommand(o *options) *cobra.Command {
	t := &trainOptions{options: o}
	c := &cobra.Command{
		Use: "train JOB.toml", Short: "Train a model as a job file says",
		Long: `Train a model on this machine as a job file says (--example prints one). The folder of the run holds
checkpoints, the history of the losses and the model; Ctrl-C saves, and --resume goes on to the same bits as if
nothing had happened. Where a node runs, it does the work: one training after the other, and answers go first.`,
		Example: "  covey train --example llama > job.toml\n  covey train job.toml --publish mine\n  covey run mine --raw \"Once upon\"",
		Args: func(c *cobra.Command, a []string) error {
			if t.example != "" {
				return args(0, 0, "no file with --example")(c, a)
			}
			return args(1, 1, "a job file")(c, a)
		},
		RunE: func(c *cobra.Command, a []string) error {
			if t.example != "" {
				text, err := job.Example(t.example)
				if err != nil {
					return usageError{err}
				}
				_, err = c.OutOrStdout().Write(text)
				return err
			}
			return t.run(c, a[0])
		},
	}
	f := c.Flags()
	f.BoolVar(&t.resume, "resume", false, "go on from the last checkpoint")
	f.StringVar(&t.publish, "publish", "", "name under which the model is imported when it is done, for covey run and the API")
	f.IntVar(&t.threads, "threads", 0, "threads (default: what the job says)")
	f.IntVar(&t.steps, "steps", 0, "train for so many steps in all (default: what the job says)")
	f.BoolVar(&t.swarm, "swarm", false, "train with other peers of the swarm: they join with covey train join (docs/swarm-training.md)")
	f.IntVar(&t.minPeers, "min-peers", 0, "with --swarm: peers that the first round waits for, this one included (default: what the job says, else 1)")
	f.StringVar(&t.part, "part", "", "take part I of N of the data, as 1/4: for peers that have the same files")
	f.StringVar(&t.example, "example", "", "print a job file for "+strings.Join(job.Examples(), ", "))
	c.AddCommand(trainJoinCommand(o), trainListCommand(o), trainShowCommand(o), trainStopCommand(o))
	return c
}

func (t *trainOptions) run(c *cobra.Command, path string) error {
	if err := t.readPart(); err != nil {
		return err
	}
	if t.publish == "" && c.Flags().Changed("publish") {
		return usageError{errors.New("--publish is empty: give a name")}
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv", ".tsv", ".tab", ".xls", ".xlsx", ".ods", ".parquet":
		return usageError{fmt.Errorf("%s: that is a table, not a job: covey train --example mlp > job.toml writes a job, whose data.csv.file is the table; see docs/training.md", path)}
	}
	j, err := job.Read(path)
	if err != nil {
		return t.usage(err)
	}
	if t.threads < 0 || t.steps < 0 {
		return usageError{errors.New("--threads and --steps take positive numbers")}
	}
	if t.threads > 0 {
		j.Train.Threads = t.threads
	}
	if t.steps > 0 {
		j.Train.Steps, j.Train.Epochs = t.steps, 0
	}
	if err := t.checkName(c, path); err != nil {
		return err
	}
	p := newTrainProgress(c.OutOrStdout(), c.ErrOrStderr(), t.json, j.MetricName())
	res, err := t.train(c, path, j, p)
	p.end()
	if err != nil {
		p.failed()
		return t.usage(err)
	}
	if res.End == job.EndInterrupted {
		p.failed()
		p.interrupted(res, t.command(path, true, t.publish))
		return context.Canceled
	}
	if err := p.done(res, j.Train.Patience); err != nil || t.publish == "" || t.swarm {
		return err
	}
	return t.publishModel(c, res.Model)
}

// usage makes an error of the job file one of usage.
func (t *trainOptions) usage(err error) error {
	var problem *job.Problem
	if errors.As(err, &problem) {
		return usageError{err}
	}
	for _, of := range []error{job.ErrExists, job.ErrBusy, job.ErrNoRun, job.ErrChanged, job.ErrLost} {
		if errors.Is(err, of) {
			return usageError{err}
		}
	}
	return err
}

// command is what trains the job with these flags, and with another name for its model.
func (t *trainOptions) command(path string, resume bool, publish string) string {
	out := "covey train " + shell.Quote(path)
	if resume {
		out += " --resume"
	}
	if t.swarm {
		out += " --swarm"
	}
	if t.minPeers > 0 {
		out += fmt.Sprintf(" --min-peers %d", t.minPeers)
	}
	if t.part != "" {
		out += " --part " + shell.Quote(t.part)
	}
	if t.threads > 0 {
		out += fmt.Sprintf(" --threads %d", t.threads)
	}
	if t.steps > 0 {
		out += fmt.Sprintf(" --steps %d", t.steps)
	}
	if publish != "" {
		out += " --publish " + shell.Quote(publish)
	}
	return out + t.dataFlag()
}

// checkName refuses a name that is in use before the training: the model that comes out could
// not be published. A run that goes on may have been published before; then it is told.
func (t *trainOptions) checkName(c *cobra.Command, path string) error {
	if t.publish == "" || c.Context().Err() != nil {
		return nil
	}
	if err := catalog.CheckName(t.publish); err != nil {
		return usageError{fmt.Errorf("--publish: %w", err)}
	}
	client, stop, err := t.connect(c.Context())
	if err != nil {
		return fmt.Errorf("look for the name of --publish: %w", err)
	}
	var models []api.Model
	if err := errors.Join(client.Get(c.Context(), "/covey/v1/models", nil, &models), stop()); err != nil {
		return fmt.Errorf("look for the name of --publish: %w", err)
	}
	if !slices.ContainsFunc(models, t.named) {
		return nil
	}
	other := t.freeName(models)
	if !t.resume {
		return usageError{fmt.Errorf("a model called %s is here: give the new one another name (%s), or remove that one first (covey model rm %s%s)",
			t.publish, t.command(path, false, other), shell.Quote(t.publish), t.dataFlag())}
	}
	fmt.Fprintf(c.ErrOrStderr(), "note: a model called %s is here, and another one cannot be published under its name: %s gives it one\n", t.publish, t.command(path, true, other))
	return nil
}

// named reports whether a model has the name of --publish.
func (t *trainOptions) named(m api.Model) bool {
	return m.Name == catalog.CutLatest(t.publish) && m.Task != "" // without a task only peers have it
}

// freeName returns a name like that of --publish which no model has.
func (t *trainOptions) freeName(models []api.Model) string {
	for i := 2; ; i++ {
		name := fmt.Sprintf("%s:%d", t.publish, i)
		if !slices.ContainsFunc(models, func(m api.Model) bool { return m.Name == name }) {
			return name
		}
	}
}

// publishModel imports the export into the node.
func (t *trainOptions) publishModel(c *cobra.Command, path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	_, alone := t.running(c.Context()) // no node runs
	client, stop, err := t.connect(c.Context())
	if err != nil {
		return fmt.Errorf("publish: %w (the model is in %s: %s)", err, path, t.importCommand(path, t.publish))
	}
	defer stop()
	err = t.watch(c, client, "/covey/v1/models/import", api.ImportRequest{Path: abs, Name: t.publish}, func(e *api.Event) string {
		return fmt.Sprintf("published as %s: %s", e.Name, e.Model)
	})
	if err == nil {
		t.tellHosting(c, alone != nil)
		return nil
	}
	var models []api.Model
	name := t.publish
	if client.Get(c.Context(), "/covey/v1/models", nil, &models) == nil && slices.ContainsFunc(models, t.named) {
		name, err = t.freeName(models), fmt.Errorf("a model called %s is here, and it is another one", t.publish)
	}
	return fmt.Errorf("publish: %w (the new model is in %s: %s)", err, path, t.importCommand(path, name))
}

// importCommand is what publishes a model that is in a folder.
func (t *trainOptions) importCommand(path, name string) string {
	return "covey model import " + shell.Quote(path) + " --name " + shell.Quote(name) + t.dataFlag()
}

// tellHosting says what lets peers use the model.
func (t *trainOptions) tellHosting(c *cobra.Command, alone bool) {
	if t.json {
		return
	}
	command := "covey host " + shell.Quote(t.publish) + t.dataFlag()
	if alone {
		command = "covey up" + t.dataFlag() + ", and then " + command
	}
	fmt.Fprintf(c.ErrOrStderr(), "covey run and the API of this machine can use it; for peers, a node has to serve it: %s\n", command)
}
