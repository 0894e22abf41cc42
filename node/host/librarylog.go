package host

import (
	"context"
	"log"
	"log/slog"

	"github.com/libp2p/go-libp2p/gologshim"
)

// LogLibraries sends to a log, at debug, what the libraries of the network would print on the
// error output by themselves. It is for the whole process: call it once, before New.
func LogLibraries(l *slog.Logger) {
	h := libraryLog(l).Handler()
	gologshim.SetDefaultHandler(h)
	log.SetFlags(0) // the log has the time
	log.SetOutput(slog.NewLogLogger(h, slog.LevelDebug).Writer())
}

// libraryLog is a log for the network library: what it has to say is for who debugs.
func libraryLog(l *slog.Logger) *slog.Logger { return slog.New(debugHandler{l.Handler()}) }

// debugHandler makes every record one of level debug.
type debugHandler struct{ slog.Handler }

// Enabled reports whether debug records are shown.
func (h debugHandler) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle takes a record.
func (h debugHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the level.
func (h debugHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return debugHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the level.
func (h debugHandler) WithGroup(name string) slog.Handler {
	return debugHandler{h.Handler.WithGroup(name)}
}
