package blackbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal starts a command on a terminal of its own and returns the side of the person.
func terminal(t *testing.T, cmd *exec.Cmd) *os.File {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	// Fd would make the file block, and reads could have no deadline.
	raw, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var ioctl error
	err = raw.Control(func(fd uintptr) {
		if ioctl = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ioctl == nil {
			number, ioctl = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || ioctl != nil {
		t.Fatal(err, ioctl)
	}
	program, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return person
}

// expect reads until a text has come.
func expect(t *testing.T, person *os.File, want string) {
	t.Helper()
	if err := person.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	b := make([]byte, 1)
	for !strings.HasSuffix(seen.String(), want) {
		n, err := person.Read(b)
		seen.Write(b[:n])
		if err != nil {
			t.Fatalf("waiting for %q, it showed %q, %v", want, seen.String(), err)
		}
	}
}

// TestInterruptInTerminal presses Ctrl-C during an answer, which stops the answer, and at
// the prompt, which ends the chat.
func TestInterruptInTerminal(t *testing.T) {
	t.Parallel()
	var questions atomic.Int64
	var second struct {
		Messages []struct{ Role, Content string }
	}
	cmd := command(t, fakeNode(t, map[string]http.HandlerFunc{"POST /v1/chat/completions": func(w http.ResponseWriter, r *http.Request) {
		if questions.Add(1) == 1 {
			say(w, "once upon")
			<-r.Context().Done() // a long story
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&second); err != nil {
			t.Error(err)
		}
		say(w, "a time")
		fmt.Fprint(w, "data: [DONE]\n\n")
	}}), "run", "demo")
	person := terminal(t, cmd)
	for _, step := range []struct{ want, types string }{
		{">>> ", "a story\n"}, {"once upon", "\x03"}, {">>> ", "go on\n"}, {"a time", ""}, {">>> ", "\x03"},
	} {
		expect(t, person, step.want)
		if _, err := person.WriteString(step.types); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, person, "^C\r\n")
	if code := exitOf(t, cmd.Wait()); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if m := second.Messages; len(m) != 3 || m[1].Role != "assistant" || m[1].Content != "once upon" || m[2].Content != "go on" {
		t.Errorf("the second question came with %+v", m)
	}
}

// TestErrorInTerminal has a turn fail in the middle: the chat says why and goes on without that
// turn. A chat whose first turn is wrong usage ends.
func TestErrorInTerminal(t *testing.T) {
	t.Parallel()
	var questions atomic.Int64
	var last struct {
		Messages []struct{ Role, Content string }
	}
	dir := fakeNode(t, map[string]http.HandlerFunc{"POST /v1/chat/completions": func(w http.ResponseWriter, r *http.Request) {
		last.Messages = nil
		if err := json.NewDecoder(r.Body).Decode(&last); err != nil {
			t.Error(err)
		}
		switch questions.Add(1) {
		case 2:
			say(w, "to be")
			fmt.Fprint(w, "data: {\"error\":{\"message\":\"all peers are gone\"},\"status\":503}\n\n")
		case 4:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":{"message":"that cannot be"}}`)
		default:
			say(w, "indeed")
			fmt.Fprint(w, "data: [DONE]\n\n")
		}
	}})
	cmd := command(t, dir, "run", "demo")
	person := terminal(t, cmd)
	for _, step := range []struct{ want, types string }{
		{">>> ", "one\n"}, {"indeed\r\n>>> ", "two\n"}, {"to be\r\ncovey: all peers are gone\r\n>>> ", "three\n"}, {"indeed\r\n>>> ", "\x04"},
	} {
		expect(t, person, step.want)
		if _, err := person.WriteString(step.types); err != nil {
			t.Fatal(err)
		}
	}
	if code := exitOf(t, cmd.Wait()); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if m := last.Messages; len(m) != 3 || m[0].Content != "one" || m[1].Content != "indeed" || m[2].Content != "three" {
		t.Errorf("the third question came with %+v", m)
	}
	cmd = command(t, dir, "run", "demo")
	person = terminal(t, cmd)
	expect(t, person, ">>> ")
	if _, err := person.WriteString("one\n"); err != nil {
		t.Fatal(err)
	}
	expect(t, person, "covey: that cannot be\r\n")
	if code := exitOf(t, cmd.Wait()); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
}

// TestInterruptKeepsSize ends long answers with Ctrl-C: they count, though the node does not
// tell how many tokens they had, so that the oldest turns go when the context is full.
func TestInterruptKeepsSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		told int // tokens of the first answer; 0: it is ended too
	}{{"after one that told", 100}, {"from the first on", 0}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			var last struct {
				Messages []struct{ Role, Content string }
			}
			cmd := command(t, fakeNode(t, map[string]http.HandlerFunc{
				"GET /covey/v1/models/{name}": func(w http.ResponseWriter, _ *http.Request) {
					reply(w, map[string]any{"context": 400})
				},
				"POST /v1/chat/completions": func(w http.ResponseWriter, r *http.Request) {
					last.Messages = nil
					if err := json.NewDecoder(r.Body).Decode(&last); err != nil {
						t.Error(err)
					}
					switch n := asked.Add(1); {
					case n == 3:
						say(w, "the end")
						fmt.Fprint(w, "data: [DONE]\n\n")
					case n == 1 && c.told > 0:
						say(w, "a start")
						fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"total_tokens\":%d}}\n\ndata: [DONE]\n\n", c.told)
					default:
						say(w, strings.Repeat("word ", 260)+"stop") // about 325 tokens
						<-r.Context().Done()
					}
				},
			}), "run", "demo", "--max-tokens", "50")
			person := terminal(t, cmd)
			first := struct{ want, types string }{"stop", "\x03"}
			if c.told > 0 {
				first = struct{ want, types string }{"a start", ""}
			}
			for _, step := range []struct{ want, types string }{
				{">>> ", "one\n"},
				first,
				{">>> ", "two\n"},
				{"stop", "\x03"},
				{">>> ", "three\n"},
				{"oldest turns are left out", ""},
				{"the end", ""},
				{">>> ", "\x03"},
			} {
				expect(t, person, step.want)
				if _, err := person.WriteString(step.types); err != nil {
					t.Fatal(err)
				}
			}
			exitOf(t, cmd.Wait())
			if m := last.Messages; len(m) == 0 || m[0].Content == "one" || m[len(m)-1].Content != "three" {
				t.Errorf("asked last with %d messages: %.200v", len(m), m)
			}
		})
	}
}

// TestCompletionInBash lets a bash without the package bash-completion complete a command.
func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	script, messages, code := covey(t, t.TempDir(), "", "completion", "bash")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, messages)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	bash := exec.CommandContext(t.Context(), "bash", "--norc", "--noprofile", "-s")
	bash.Env = append(os.Environ(), "PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"))
	bash.Stdin = strings.NewReader(script + `
compopt() { :; }
COMP_WORDS=(covey model sho) COMP_CWORD=2 COMP_LINE="covey model sho" COMP_POINT=15
__start_covey
echo "completed: ${COMPREPLY[*]}"
`)
	out, err := bash.CombinedOutput()
	if err != nil || string(out) != "completed: show\n" {
		t.Errorf("%v, %q", err, out)
	}
}
