package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/store"
)

func removeCommand(o *options) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rm MODEL", Short: "Remove a model from this node", Args: args(1, 1, "a model"), ValidArgsFunction: o.modelNames,
		RunE: func(c *cobra.Command, a []string) error {
			client, stop, err := o.connect(c.Context())
			if err != nil {
				return err
			}
			defer stop()
			path := "/covey/v1/models/" + url.PathEscape(a[0])
			if force {
				path += "?force=true"
			}
			var freed api.Collected
			if err := client.Delete(c.Context(), path, &freed); err != nil {
				return err
			}
			return o.report(c, freed, "%s", removedText(a[0], freed))
		},
	}
	c.Flags().BoolVar(&force, "force", false, "also if this node serves blocks of it")
	return c
}

// roundedBytes is what the disk may get back beside what was removed without a word: it counts in
// pages, and the store has its lists.
const roundedBytes = 64 << 10

// removedText says what went with a model, what stays of it and why, and what models can take now.
func removedText(name string, c api.Collected) string {
	text := fmt.Sprintf("removed %s: %s", name, freedText(c))
	switch {
	case c.Stay > 0 && len(c.Sharing) > 0:
		text += fmt.Sprintf("\n%s of it stay: they are in %s, too", store.BytesText(c.Stay), strings.Join(c.Sharing, ", "))
	case c.Stay > 0:
		text += fmt.Sprintf("\n%s of it stay for now, as they are in use", store.BytesText(c.Stay))
	}
	if len(c.Models) > 0 && c.Models[0].Name == name {
		c.Models = c.Models[1:]
	}
	return text + looseText(c) + roomText(c)
}

// collectedText says what gc removed, and what models can take now.
func collectedText(c api.Collected) string {
	return "removed " + freedText(c) + looseText(c) + roomText(c)
}

// looseText names the models that went because no pin kept them.
func looseText(c api.Collected) (text string) {
	for _, m := range c.Models {
		text += fmt.Sprintf("\nremoved as well, as it was not pinned: %s (%s)", m.Name, store.BytesText(m.Bytes))
	}
	return text
}

func roomText(c api.Collected) string {
	text := fmt.Sprintf("\nmodels can take %s now", store.BytesText(c.Room))
	if c.Full != "" {
		text += fmt.Sprintf(": %s; %s", c.Full, c.Mend)
	}
	return text
}

// freedText says how much was removed, what the disk got back of it, and why the two differ.
func freedText(c api.Collected) string {
	text := fmt.Sprintf("%s of %s, the disk got %s back", countText(c.Blocks, "block"), store.BytesText(c.Bytes), store.BytesText(c.Freed))
	switch {
	case c.Freed < c.Bytes:
		if c.Bytes-c.Freed > roundedBytes {
			text += fmt.Sprintf("; the other %s come back when there is room to write anew what lies in the same files", store.BytesText(c.Bytes-c.Freed))
		}
	case c.Freed > c.Bytes+roundedBytes:
		text += "; that is more, as garbage of before, or files that the store had in advance, went with it"
	}
	return text
}

func pinCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "pin MODEL", Short: "Keep a model when space is reclaimed", Args: args(1, 1, "a model"), ValidArgsFunction: o.modelNames,
		RunE: func(c *cobra.Command, a []string) error { return o.pin(c, a[0], true) },
	}
}

func unpinCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "unpin MODEL", Short: "Let a model go when space is reclaimed", Args: args(1, 1, "a model"), ValidArgsFunction: o.modelNames,
		RunE: func(c *cobra.Command, a []string) error { return o.pin(c, a[0], false) },
	}
}

// pin pins a model or takes its pin back.
func (o *options) pin(c *cobra.Command, name string, pinned bool) error {
	client, stop, err := o.connect(c.Context())
	if err != nil {
		return err
	}
	defer stop()
	var m api.Model
	if err := client.Post(c.Context(), "/covey/v1/models/pin", api.PinRequest{Model: name, Pinned: pinned}, &m); err != nil {
		return err
	}
	if m.Pinned {
		return o.report(c, m, "%s is pinned: it stays when space is reclaimed", m.Name)
	}
	if m.Served {
		return o.report(c, m, "%s is not pinned: it stays as long as this node serves it", m.Name)
	}
	return o.report(c, m, "%s is not pinned: it goes (%s) with the next covey model gc, or covey model rm of another model", m.Name, store.BytesText(m.BytesHere))
}

func gcCommand(o *options) *cobra.Command {
	var req api.GCRequest
	c := &cobra.Command{
		Use: "gc", Short: "Remove the models that are not pinned, and give back the space of blocks that no model needs", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, stop, err := o.connect(c.Context())
			if err != nil {
				return err
			}
			defer stop()
			var done api.Collected
			if err := client.Post(c.Context(), "/covey/v1/gc", req, &done); err != nil {
				return err
			}
			return o.report(c, done, "%s", collectedText(done))
		},
	}
	c.Flags().BoolVar(&req.AcceptLostPins, "accept-lost-pins", false, "go on after the list of pinned models was lost: removes all that is not pinned now")
	return c
}
