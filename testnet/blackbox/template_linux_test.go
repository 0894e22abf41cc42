package blackbox_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/testnet/demo"
)

// TestNoChatTemplate asks a model without a chat template: the error has a command that works,
// and a chat in a terminal does not ask for a line first.
func TestNoChatTemplate(t *testing.T) {
	t.Parallel()
	model, dir := t.TempDir(), t.TempDir()
	if err := demo.Write(model); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(model, "tokenizer_config.json"), `"chat_template"`, `"other"`)
	if _, messages, code := covey(t, dir, "", "model", "import", model, "--name", "plain"); code != 0 {
		t.Fatalf("exit code %d, %s", code, messages)
	}
	const want = "model plain has no chat template: it completes a text with covey run plain --raw TEXT --data "
	for _, args := range [][]string{{"run", "plain", "hi"}, {"run", "plain", "--chat"}} {
		if out, messages, code := covey(t, dir, "hi\n", args...); code != 2 || out != "" || !strings.Contains(messages, want) {
			t.Errorf("covey %s: exit code %d, %q, %s", args, code, out, messages)
		}
	}
	if out, messages, code := covey(t, dir, "", "run", "plain", "--raw", "// Copyright", "--max-tokens", "5"); code != 0 || len(out) < 2 {
		t.Errorf("exit code %d, %q, %s", code, out, messages)
	}
	cmd := command(t, dir, "run", "plain")
	person := terminal(t, cmd)
	expect(t, person, want)
	if code := exitOf(t, cmd.Wait()); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
}
