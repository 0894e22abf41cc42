package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/engine/format/folder"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/hosting"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/testnet/demo"
)

func modelCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "model", Short: "Import, list, fetch and remove models", Args: noCommand, SuggestionsMinimumDistance: 2, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(importCommand(o), listCommand(o), showCommand(o), pullCommand(o), removeCommand(o), pinCommand(o), unpinCommand(o), gcCommand(o))
	return c
}

func importCommand(o *options) *cobra.Command {
	var req api.ImportRequest
	c := &cobra.Command{
		Use: "import PATH | OWNER/MODEL", Short: "Import a model: a Hugging Face directory, a GGUF file, one in Hugging Face's cache, or the word demo",
		Example: "  covey model import ./Qwen2.5-0.5B-Instruct --quantize q8_0\n  covey model import llama.Q4_K_M.gguf --name llama\n  covey model import Qwen/Qwen2.5-0.5B-Instruct                # from Hugging Face's cache",
		Args:    args(1, 1, "a path or the name of a model"),
		RunE: func(c *cobra.Command, a []string) error {
			if q := req.Quantize; q != "" && q != "q8_0" && q != "q4_0" {
				return usageError{fmt.Errorf("--quantize %s: want q8_0 or q4_0", q)}
			}
			if a[0] == "" {
				return usageError{errors.New("the path is empty")}
			}
			if req.Name == "" && c.Flags().Changed("name") {
				return usageError{errors.New("--name is empty: give a name, or leave it out")}
			}
			var note string
			var err error
			switch req.Path, note, err = toImport(a[0]); {
			case err != nil:
				return fmt.Errorf("import %s: %w", a[0], err)
			case note != "":
				fmt.Fprintln(c.ErrOrStderr(), note)
			case req.Path == "" && req.Name == "":
				req.Name = demo.Name
			}
			client, stop, err := o.connect(c.Context())
			if err != nil {
				return err
			}
			defer stop()
			return o.watch(c, client, "/covey/v1/models/import", req, func(e *api.Event) string {
				return fmt.Sprintf("imported %s: %s, %s", e.Name, store.BytesText(e.Total), e.Model)
			})
		},
	}
	c.Flags().StringVar(&req.Name, "name", "", "name of the model (default: that of the files)")
	c.Flags().StringVar(&req.Quantize, "quantize", "", "store block matrices as q8_0 or q4_0 (default: as they are)")
	return c
}

// toImport returns the path of the model that an argument names, "" for that in the program, and
// what to tell of how it was found.
func toImport(arg string) (name, note string, err error) {
	name, err = filepath.Abs(arg)
	if err != nil {
		return "", "", err
	}
	info, err := os.Stat(name)
	repository, within := folder.Repository(name)
	switch {
	case err == nil && repository != "" && within == ".":
	case err == nil && info.IsDir():
		return name, "", model.Look(name)
	case err == nil:
		return name, "", nil
	case !errors.Is(err, os.ErrNotExist):
		return "", "", err
	case arg == demo.Name:
		return "", "", nil
	default:
		if repository = cachedModel(cmp.Or(ofHub(arg), arg)); repository == "" {
			if advice := elsewhere(arg); advice != "" {
				err = missingFile{errors.New(advice)}
			}
			return "", "", err
		}
	}
	if name, note, err = chosenSnapshot(repository); err != nil {
		return "", "", err
	}
	if name != "" && filepath.Ext(name) != ".gguf" {
		err = model.Look(name)
	}
	return name, note, err
}

// checkBlocks checks the form of a range of blocks; words are what else it may be.
func checkBlocks(text string, words ...string) error {
	if _, err := hosting.ParseRange(text, math.MaxInt32); err != nil && !slices.Contains(words, text) {
		return usageError{fmt.Errorf("--blocks %s: want %s", text, strings.Join(append(words, "first-last, such as 0-11"), ", "))}
	}
	return nil
}

// report prints what was done: v for programs, or a line for people.
func (o *options) report(c *cobra.Command, v any, format string, args ...any) error {
	if o.json {
		return printJSON(c.OutOrStdout(), v)
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), format+"\n", args...)
	return err
}

// watch shows the progress of long work and what done makes of its end.
func (o *options) watch(c *cobra.Command, client *api.Client, path string, req any, done func(*api.Event) string) error {
	p := newProgress(o.json)
	last, err := client.Watch(c.Context(), path, req, p.show)
	p.end()
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(c.OutOrStdout(), last)
	}
	for _, w := range last.Warnings {
		fmt.Fprintln(c.ErrOrStderr(), "warning: "+w)
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), done(last))
	return err
}

// listRows is how many models that only peers have are listed without --all.
const listRows = 50

func listCommand(o *options) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "ls", Short: "List the models that this node holds or that peers serve", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, stop, err := o.connect(c.Context())
			if err != nil {
				return err
			}
			defer stop()
			var models []api.Model
			if err := client.Get(c.Context(), "/covey/v1/models", nil, &models); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), models)
			}
			shown, more := models, 0
			if !all {
				shown, more = summary(models)
			}
			rows := [][]string{{"NAME", "TASK", "SIZE", "HERE", "PEERS", "CID"}}
			for _, m := range shown {
				rows = append(rows, listRow(m))
			}
			if err := table(c.OutOrStdout(), rows); err != nil {
				return err
			}
			if slices.ContainsFunc(shown, foreign) {
				fmt.Fprintf(c.ErrOrStderr(), "-: not known yet, only peers have them; covey model show NAME%s asks one of them\n", o.dataFlag())
			}
			if more == 0 {
				return nil
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "and %d more that peers have: covey model ls --all%s\n", more, o.dataFlag())
			return err
		},
	}
	c.Flags().BoolVar(&all, "all", false, fmt.Sprintf("also if peers have more than %d others", listRows))
	return c
}

// foreign reports whether only peers have a model.
func foreign(m api.Model) bool { return m.Task == "" && !m.Builtin }

// summary leaves out most of the models that only peers have, if they are many, and returns
// how many it leaves out: those that fewest peers serve and hold.
func summary(models []api.Model) (shown []api.Model, more int) {
	var peers []api.Model
	for _, m := range models {
		if foreign(m) {
			peers = append(peers, m)
		}
	}
	slices.SortStableFunc(peers, func(a, b api.Model) int { return cmp.Or(b.Serving-a.Serving, b.Peers-a.Peers) })
	kept := map[string]bool{}
	for _, m := range peers[:min(listRows, len(peers))] {
		kept[m.CID] = true
	}
	for _, m := range models {
		if !foreign(m) || kept[m.CID] {
			shown = append(shown, m)
		}
	}
	return shown, len(models) - len(shown)
}

// listRow is the line of a model. Of one that only peers have nothing but the name and the
// identifier is known before its first use.
func listRow(m api.Model) []string {
	row := []string{m.Name, m.Task, store.BytesText(m.Bytes), store.BytesText(m.BytesHere), fmt.Sprint(m.Peers), m.CID}
	if m.Task == "" {
		row[1], row[2] = "-", "-"
	}
	if m.Builtin {
		row[5] = "in the program, until its first use"
	}
	return row
}

func showCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "show MODEL", Short: "Show a model and its parts", Args: args(1, 1, "a model"), ValidArgsFunction: o.modelNames,
		RunE: func(c *cobra.Command, a []string) error {
			client, stop, err := o.connect(c.Context())
			if err != nil {
				return err
			}
			defer stop()
			var m api.Model
			if err := client.Get(c.Context(), "/covey/v1/models/"+url.PathEscape(a[0]), nil, &m); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), m)
			}
			rows := [][]string{
				{"name", m.Name},
				{"cid", m.CID},
				{"task", m.Task},
				{"architecture", m.Arch},
				{"quantisation", m.Quantization},
				{"blocks", fmt.Sprint(m.Blocks)},
				{"context", fmt.Sprint(m.Context)},
				{"size", store.BytesText(m.Bytes)},
				{"here", store.BytesText(m.BytesHere)},
				{"pinned", pinnedText(m)},
			}
			if m.License != "" {
				rows = append(rows, []string{"licence", m.License})
			}
			for _, p := range m.Parts {
				here := "not here"
				if p.Here {
					here = "here"
				}
				size := store.BytesText(p.Bytes)
				if p.Shared > 0 {
					size += " and " + store.BytesText(p.Shared) + " shared with other parts"
				}
				rows = append(rows, []string{p.Name, fmt.Sprintf("%s, %s, %s", size, countText(len(p.Tensors), "tensor"), here)})
			}
			return table(c.OutOrStdout(), rows)
		},
	}
}

// pinnedText tells whether a model is pinned, and what that means if nothing of it is here.
func pinnedText(m api.Model) string {
	switch {
	case !m.Pinned:
		return "no"
	case m.BytesHere == 0:
		return "its description only, no weights are here"
	}
	return "yes"
}

func pullCommand(o *options) *cobra.Command {
	var req api.PullRequest
	c := &cobra.Command{
		Use: "pull MODEL", Short: "Fetch a model, or some of its blocks, from peers", Args: args(1, 1, "a model"), ValidArgsFunction: o.modelNames,
		RunE: func(c *cobra.Command, a []string) error {
			if req.Blocks != "" {
				if err := checkBlocks(req.Blocks, "all"); err != nil {
					return err
				}
			}
			client, err := o.needRunning(c.Context())
			if err != nil {
				return err
			}
			req.Model = a[0]
			return o.watch(c, client, "/covey/v1/models/pull", req, fetchedText)
		},
	}
	c.Flags().StringVar(&req.Blocks, "blocks", "", "only these blocks, as first-last")
	return c
}

// fetchedText says how much came from whom.
func fetchedText(e *api.Event) string {
	if e.Bytes == 0 {
		return fmt.Sprintf("all blocks of %s are here already", e.Name)
	}
	text := fmt.Sprintf("fetched %s of %s", store.BytesText(e.Bytes), e.Name)
	peers := make([]string, 0, len(e.From))
	for p := range e.From {
		peers = append(peers, p)
	}
	slices.Sort(peers)
	for _, p := range peers {
		text += fmt.Sprintf("\n  %s from %s", store.BytesText(e.From[p]), cmp.Or(e.Names[p], p))
	}
	return text
}

func hostCommand(o *options) *cobra.Command {
	var blocks string
	var off bool
	c := &cobra.Command{
		Use: "host MODEL", Short: "Serve a range of a model to the swarm: fetch it, load it, announce it",
		Example: "  covey host demo\n  covey host demo --blocks 0-1\n  covey host demo --off",
		Args:    args(1, 1, "a model"), ValidArgsFunction: o.modelNames,
		RunE: func(c *cobra.Command, a []string) error {
			if err := checkBlocks(blocks, "all", "auto"); err != nil {
				return err
			}
			client, err := o.needRunning(c.Context())
			if err != nil {
				return err
			}
			if off {
				var now struct {
					Served bool `json:"served"`
				}
				if err := client.Delete(c.Context(), "/covey/v1/host/"+url.PathEscape(a[0]), &now); err != nil {
					return err
				}
				return o.report(c, now, "%s is not served here any more", a[0])
			}
			return o.watch(c, client, "/covey/v1/host", api.HostRequest{Model: a[0], Blocks: blocks}, func(e *api.Event) string {
				return fetchedText(e) + "\nserving " + rangeText(*e.Range)
			})
		},
	}
	c.Flags().StringVar(&blocks, "blocks", "auto", "blocks to serve: first-last, all, or auto for the range that is covered least and fits")
	c.Flags().BoolVar(&off, "off", false, "stop serving the model")
	return c
}
