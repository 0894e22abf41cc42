package main

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"7d": 7 * day, "2w": 14 * day, "12h": 12 * time.Hour, "168h": 7 * day, "90m": 90 * time.Minute, "1w3d": 10 * day,
		"1d12h": 36 * time.Hour, "1.5d": 36 * time.Hour, "-1h": -time.Hour, "1h30m": 90 * time.Minute, " 7d ": 7 * day, "250ms": 250 * time.Millisecond,
	} {
		got, err := parseDuration(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7", "d", "-", "7 d", "7y", "1e3h", "7d3", "--1h", "999999999w", "1d-2h", "106751d1d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
	for _, text := range []string{"7d", "1h30m0s"} {
		var d duration
		if err := d.Set(text); err != nil || d.String() != text {
			t.Errorf("%q becomes %q, %v", text, d.String(), err)
		}
	}
}
