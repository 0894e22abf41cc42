//go:build !noasm

package kernel_test

import (
	"debug/elf"
	"debug/gosym"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEncodings reads the machine code of every assembly function out of this test's own
// program: none has an instruction that its instruction set does not promise. Running the
// functions shows nothing of this on a machine that has more, whatever COVEY_CPU says.
func TestEncodings(t *testing.T) {
	t.Parallel()
	code := assemblyCode(t)
	files, err := filepath.Glob("*.s")
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, error %v", files, err)
	}
	for _, file := range files {
		beyond := beyondAVX2
		switch {
		case strings.HasSuffix(file, "_avx512_amd64.s"):
			beyond = beyondAVX512
		case !strings.HasSuffix(file, "_avx2_amd64.s"):
			t.Errorf("%s: its name tells no instruction set", file)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^TEXT ·(\w+)\(SB\)`).FindAllStringSubmatch(string(text), -1) {
			body, ok := code[m[1]]
			if !ok {
				t.Errorf("%s: %s is not in the program", file, m[1])
			}
			scan(t, m[1], body, beyond)
		}
	}
}

// scan reports the instructions of a function that need more than they may.
func scan(t *testing.T, name string, body []byte, beyond func(instruction) string) {
	t.Helper()
	for at := 0; at < len(body); {
		i, err := decode(body[at:])
		if err != nil {
			t.Errorf("%s+%#x: % x: %v", name, at, body[at:min(at+12, len(body))], err)
			return
		}
		if more := beyond(i); more != "" {
			t.Errorf("%s+%#x: % x needs %s: %v", name, at, body[at:at+i.len], more, i)
		}
		at += i.len
	}
}

// assemblyCode returns the machine code of the functions of this package that are written
// in assembly. The runtime's table of functions is in every program, symbols are not.
func assemblyCode(t *testing.T) map[string][]byte {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	section := func(name string) ([]byte, uint64) {
		s := f.Section(name)
		if s == nil {
			t.Fatalf("%s has no section %s", path, name)
		}
		data, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		return data, s.Addr
	}
	text, start := section(".text")
	lines, _ := section(".gopclntab")
	table, err := gosym.NewTable(nil, gosym.NewLineTable(lines, start))
	if err != nil {
		t.Fatal(err)
	}
	code := map[string][]byte{}
	for _, fn := range table.Funcs {
		short, ours := strings.CutPrefix(fn.Name, "github.com/covey-network/covey/engine/kernel.")
		if file, _, _ := table.PCToLine(fn.Entry); ours && strings.HasSuffix(file, ".s") {
			code[short] = text[fn.Entry-start : fn.End-start]
		}
	}
	return code
}
