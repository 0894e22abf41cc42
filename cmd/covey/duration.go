package main

import (
	"fmt"
	"strings"
	"time"
)

// duration is a flag for a time as people write it: 90m, 12h, 7d, 2w, 1w3d, 1d12h.
type duration time.Duration

// Type names the kind of value in help texts.
func (d *duration) Type() string { return "duration" }

// String writes whole days as such.
func (d *duration) String() string {
	const day = 24 * time.Hour
	t := time.Duration(*d)
	switch {
	case t == 0:
		return "0" // which help texts do not show as a default
	case t%day == 0:
		return fmt.Sprintf("%dd", t/day)
	}
	return t.String()
}

// Set reads a time.
func (d *duration) Set(text string) error {
	t, err := parseDuration(text)
	*d = duration(t)
	return err
}

// parseDuration reads what time.ParseDuration does, and days and weeks.
func parseDuration(text string) (time.Duration, error) {
	rest, negative := strings.CutPrefix(strings.TrimSpace(text), "-")
	bad := fmt.Errorf("%.40q is no time: write it as 90m, 12h, 7d or 2w", text)
	var sum time.Duration
	for first := true; rest != "" || first; first = false {
		number := strings.IndexFunc(rest, func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
		if number <= 0 {
			return 0, bad
		}
		end := strings.IndexAny(rest[number:], "0123456789.")
		if end < 0 {
			end = len(rest) - number
		}
		part, unit := rest[:number+end], rest[number:number+end]
		rest = rest[number+end:]
		scale := time.Duration(1)
		switch unit {
		case "d":
			part, scale = part[:number]+"h", 24
		case "w":
			part, scale = part[:number]+"h", 7*24
		}
		t, err := time.ParseDuration(part)
		if err != nil || t > (1<<63-1-sum)/scale {
			return 0, bad
		}
		sum += t * scale
	}
	if negative {
		sum = -sum
	}
	return sum, nil
}
