// Package script reads test scripts: commands with the output that is expected of them, in
// one file, so that a change of behaviour is read as a difference of text. The main
// function is Run. It is for the tests of the packages of consensus.
//
// A file is blocks divided by empty lines. A block of comments begins each line with #. A
// block of a command is one line with its name and arguments, a line of four dashes, and
// the output:
//
//	# Two of five stop.
//	crash 3 4
//	----
//	3 stopped
//	4 stopped
//
// An argument is a word, or key=value.
package script

import (
	"fmt"
	"strconv"
	"strings"
)

// Cmd is one command of a script.
type Cmd struct {
	Line  int // in the file, from 1
	Name  string
	Words []string          // arguments without a key, in order
	Keys  map[string]string // arguments with a key
}

// Int is the number under a key, or the default if there is none.
func (c *Cmd) Int(key string, def int) (int, error) {
	s, ok := c.Keys[key]
	if !ok {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("line %d: %s=%s is no number", c.Line, key, s)
	}
	return n, nil
}

// Ints are the words as numbers.
func (c *Cmd) Ints() ([]int, error) {
	var out []int
	for _, w := range c.Words {
		n, err := strconv.Atoi(w)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s is no number", c.Line, w)
		}
		out = append(out, n)
	}
	return out, nil
}

// Mismatch is a command whose output is not the expected one.
type Mismatch struct {
	Cmd       Cmd
	Got, Want string
}

// Run calls do for each command of a script in order. It returns the script with the
// outputs that do gave in place of the expected ones, and where the two differ.
func Run(text string, do func(Cmd) string) (string, []Mismatch, error) {
	var out strings.Builder
	var bad []Mismatch
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" || strings.HasPrefix(line, "#") {
			fmt.Fprintln(&out, line)
			continue
		}
		cmd := parse(i+1, line)
		if i+1 < len(lines) && lines[i+1] == "----" {
			i++
		}
		var want []string
		for i+1 < len(lines) && strings.TrimSpace(lines[i+1]) != "" {
			i++
			want = append(want, lines[i])
		}
		got := strings.TrimRight(do(cmd), "\n")
		if strings.Contains(got, "\n\n") {
			return "", nil, fmt.Errorf("line %d: the output of %s has an empty line", cmd.Line, cmd.Name)
		}
		if w := strings.Join(want, "\n"); got != w {
			bad = append(bad, Mismatch{cmd, got, w})
		}
		fmt.Fprintf(&out, "%s\n----\n", line)
		if got != "" {
			fmt.Fprintln(&out, got)
		}
	}
	return out.String(), bad, nil
}

func parse(n int, line string) Cmd {
	f := strings.Fields(line)
	cmd := Cmd{Line: n, Name: f[0], Keys: map[string]string{}}
	for _, w := range f[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			cmd.Keys[k] = v
		} else {
			cmd.Words = append(cmd.Words, w)
		}
	}
	return cmd
}
