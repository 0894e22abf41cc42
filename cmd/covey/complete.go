package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/demo"
)

// completionTimeout is how long a shell that completes a word waits for the node.
const completionTimeout = 2 * time.Second

// bashWords stands in for the package bash-completion, from which cobra's script takes how
// to find the words of a command line.
const bashWords = `
if ! declare -F _init_completion >/dev/null 2>&1 && ! declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
    __covey_init_completion()
    {
        COMPREPLY=()
        words=("${COMP_WORDS[@]}")
        cword=$COMP_CWORD
        cur=${COMP_WORDS[COMP_CWORD]}
        prev=${COMP_WORDS[COMP_CWORD-1]}
    }
fi
`

// addCompletion adds the command completion, whose script for bash needs no package.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd("completion")
	bash, _, err := root.Find([]string{"completion", "bash"})
	if err != nil || bash.RunE == nil {
		return
	}
	script := bash.RunE
	bash.RunE = func(c *cobra.Command, a []string) error {
		if err := script(c, a); err != nil {
			return err
		}
		_, err := io.WriteString(c.OutOrStdout(), bashWords)
		return err
	}
}

// modelNames completes the first argument of a command with the names of models.
func (o *options) modelNames(c *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	ctx, cancel := context.WithTimeout(c.Context(), completionTimeout)
	defer cancel()
	client, err := o.running(ctx)
	if err != nil {
		return []cobra.Completion{demo.Name}, cobra.ShellCompDirectiveNoFileComp
	}
	var models []api.Model
	if err := client.Get(ctx, "/covey/v1/models", nil, &models); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []cobra.Completion
	for _, m := range models {
		out = append(out, cobra.CompletionWithDesc(m.Name, m.Task))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// meant are words of other programs and what they are called here.
var meant = map[string]string{
	"ls": "covey model ls", "list": "covey model ls", "models": "covey model ls", "ps": "covey peers or covey status",
	"import": "covey model import", "pull": "covey model pull", "rm": "covey model rm", "show": "covey model show",
	"chat": "covey run", "serve": "covey up",
}

// noCommand refuses words after a command that only has subcommands, with what may be meant.
func noCommand(c *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	var names []string
	for _, s := range c.SuggestionsFor(given[0]) {
		names = append(names, c.CommandPath()+" "+s)
	}
	if m := meant[given[0]]; m != "" && !c.HasParent() {
		names = []string{m}
	}
	hint := fmt.Sprintf("see %s --help", c.CommandPath())
	if len(names) > 0 {
		hint = "did you mean " + strings.Join(names, " or ") + "?"
	}
	return usageError{fmt.Errorf("unknown command %q for %q: %s", given[0], c.CommandPath(), hint)}
}
