package host

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestLibraryLogIsForDebugging has the library say something at info.
func TestLibraryLogIsForDebugging(t *testing.T) {
	t.Parallel()
	for level, want := range map[slog.Level]bool{slog.LevelInfo: false, slog.LevelDebug: true} {
		var out bytes.Buffer
		l := libraryLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))).With("a", 1).WithGroup("g")
		l.Info("pubsub processloop shutting down")
		if got := strings.Contains(out.String(), "level=DEBUG msg=\"pubsub processloop"); got != want || !want && out.Len() > 0 {
			t.Errorf("at level %s: %q", level, out.String())
		}
	}
}
