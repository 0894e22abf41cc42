// Package encoding checks that assembly keeps to its instruction set: it reads machine code out
// of the program that runs and finds the instructions that need more. Running functions shows
// nothing of this on a machine that has more, whatever COVEY_CPU says. The one function is
// [Check]; only tests of packages with assembly call it.
package encoding

import (
	"debug/elf"
	"debug/gosym"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var textLine = regexp.MustCompile(`(?m)^TEXT ·(\w+)\(SB\)`)

// Check looks at every function of the assembly files (.s) in the folder dir, which belong to
// the package with the import path pkg and are part of this program. A file's name says what
// its functions may use: _avx2_amd64.s AVX2, FMA3 and F16C, _avx512_amd64.s also AVX-512 F,
// BW, VL, DQ and VNNI and BMI2. It returns what was found, a line each, and an error where it
// cannot look: the program is no ELF file, or dir has no assembly.
func Check(dir, pkg string) ([]string, error) {
	code, err := assemblyCode(pkg)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.s"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("look for assembly: no file *.s in %q", dir)
	}
	var found []string
	for _, file := range files {
		beyond := beyondAVX2
		switch {
		case strings.HasSuffix(file, "_avx512_amd64.s"):
			beyond = beyondAVX512
		case !strings.HasSuffix(file, "_avx2_amd64.s"):
			found = append(found, fmt.Sprintf("%s: its name tells no instruction set", file))
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range textLine.FindAllStringSubmatch(string(text), -1) {
			body, ok := code[m[1]]
			if !ok {
				found = append(found, fmt.Sprintf("%s: %s is not in the program", file, m[1]))
			}
			found = append(found, scan(m[1], body, beyond)...)
		}
	}
	return found, nil
}

// scan tells the instructions of a function that need more than they may.
func scan(name string, body []byte, beyond func(instruction) string) []string {
	var found []string
	for at := 0; at < len(body); {
		i, err := decode(body[at:])
		if err != nil {
			return append(found, fmt.Sprintf("%s+%#x: % x: %v", name, at, body[at:min(at+12, len(body))], err))
		}
		if more := beyond(i); more != "" {
			found = append(found, fmt.Sprintf("%s+%#x: % x needs %s: %v", name, at, body[at:at+i.len], more, i))
		}
		at += i.len
	}
	return found
}

// assemblyCode returns the machine code of the functions of a package that are written in
// assembly. The runtime's table of functions is in every program, symbols are not.
func assemblyCode(pkg string) (map[string][]byte, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, start, err := section(f, ".text")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	lines, _, err := section(f, ".gopclntab")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(lines, start))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	code := map[string][]byte{}
	for _, fn := range table.Funcs {
		short, ours := strings.CutPrefix(fn.Name, pkg+".")
		if file, _, _ := table.PCToLine(fn.Entry); ours && strings.HasSuffix(file, ".s") {
			code[short] = text[fn.Entry-start : fn.End-start]
		}
	}
	return code, nil
}

// section returns the content of a part of the program and its address.
func section(f *elf.File, name string) ([]byte, uint64, error) {
	s := f.Section(name)
	if s == nil {
		return nil, 0, fmt.Errorf("no section %s", name)
	}
	data, err := s.Data()
	return data, s.Addr, err
}
