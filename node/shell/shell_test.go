package shell_test

import (
	"os/exec"
	"testing"

	"github.com/covey-network/covey/node/shell"
)

// TestQuote compares with what a shell makes of the words.
func TestQuote(t *testing.T) {
	t.Parallel()
	for _, word := range []string{
		"demo", "demo:v2", "Qwen2.5-0.5B", "My Model", "it's", "$(id)", "`id`", "a;b", "a&b|c", "*", "~", "", "a\\b", "\"", "ä ö", "#1", "a=b", "!x", "a\tb",
	} {
		out, err := exec.Command("sh", "-c", "printf %s "+shell.Quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q becomes %q, %v", word, out, err)
		}
	}
	for _, word := range []string{"demo", "demo:v2", "a/b.gguf"} {
		if got := shell.Quote(word); got != word {
			t.Errorf("%q is quoted: %s", word, got)
		}
	}
}
