package host

import (
	"bytes"
	"log"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/gologshim"
)

// TestLibrariesLogToOurs has libraries print by themselves, as zeroconf does on a machine without
// multicast. It changes what is one for the process, so it is not parallel.
func TestLibrariesLogToOurs(t *testing.T) {
	var out logBuffer
	flags := log.Flags()
	t.Cleanup(func() {
		log.SetOutput(os.Stderr)
		log.SetFlags(flags)
		gologshim.SetDefaultHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	})
	for level, want := range map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: 1} {
		LogLibraries(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
		before := out.count("level=DEBUG")
		log.Printf("[zeroconf] no suitable interface at %s", level)
		gologshim.Logger("covey test").Error("it failed", "at", level)
		if got := out.count("[zeroconf] no suitable interface at " + level.String()); got != want {
			t.Errorf("printed at %s: %d, want %d", level, got, want)
		}
		if out.count("level=ERROR") > 0 || want == 0 && out.count("level=DEBUG") != before || want == 1 && out.count("it failed") != 1 {
			t.Errorf("at %s: %s", level, out.b.String())
		}
	}
}

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
