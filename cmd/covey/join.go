package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/covey-network/covey/protocol"
)

// joinVar is the environment variable of --join, which does not show in lists of processes.
const joinVar = "COVEY_JOIN"

// joinToken finds the token that the node is to join with: in --join, --join-file or the
// environment. None of them is no token. An empty one is an error: it would found a new
// swarm where one was to be joined.
func (u *upOptions) joinToken(in io.Reader) (string, error) {
	given := u.cmd.Flags().Changed
	from, text := "--join", u.join
	switch env, set := os.LookupEnv(joinVar); {
	case given("join") && given("join-file"):
		return "", usageError{errors.New("--join and --join-file are two ways to give the one token: leave one out")}
	case given("join-file"):
		from, text = "--join-file", "@"+u.joinFile
	case given("join"):
	case set:
		from, text = joinVar, env
	default:
		return "", nil
	}
	text = strings.TrimSpace(text)
	if text == "-" {
		text = "@-"
	}
	if file, ok := strings.CutPrefix(text, "@"); ok {
		var err error
		if from, text, err = readJoinFile(from, file, in); err != nil {
			return "", err
		}
	}
	if text == "" {
		return "", usageError{fmt.Errorf("%s is empty: give it the whole line that covey invite prints; a new swarm is founded without it", from)}
	}
	return text, nil
}

// readJoinFile reads a token from a file, or from in if its name is "-".
func readJoinFile(from, file string, in io.Reader) (name, text string, err error) {
	if file == "" {
		return "", "", usageError{fmt.Errorf("%s names no file", from)}
	}
	name = "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", "", fmt.Errorf("read join token: %w", err)
		}
		defer f.Close()
		name, in = file, f
	}
	data, err := io.ReadAll(io.LimitReader(in, 2*protocol.MaxToken))
	if err != nil {
		return "", "", fmt.Errorf("read join token: %w", err)
	}
	return name, strings.TrimSpace(string(data)), nil
}
