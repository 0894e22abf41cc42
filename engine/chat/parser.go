package chat

import (
	"fmt"
	"slices"
)

// parser turns tokens into nodes by recursive descent.
type parser struct {
	tokens []token
	i      int
	depth  int
	loops  int       // loops around here, inside the macro around here
	macro  *macroDef // the macro around here, to note what it uses
}

func parse(tokens []token) ([]stmt, error) {
	p := &parser{tokens: tokens}
	body, err := p.statements()
	if err != nil {
		return nil, err
	}
	return body, nil
}

func (p *parser) cur() token { return p.tokens[p.i] }

func (p *parser) look() token { return p.tokens[min(p.i+1, len(p.tokens)-1)] }

func (p *parser) next() token {
	t := p.tokens[p.i]
	if p.i < len(p.tokens)-1 {
		p.i++
	}
	return t
}

func (p *parser) at() at { return at(p.cur().line) }

func (p *parser) fail(format string, args ...any) error {
	return &Error{Line: p.cur().line, Msg: fmt.Sprintf(format, args...), Err: ErrSyntax}
}

func (p *parser) isOp(op string) bool { t := p.cur(); return t.kind == tokOp && t.text == op }

func (p *parser) isName(names ...string) bool {
	t := p.cur()
	return t.kind == tokName && slices.Contains(names, t.text)
}

func (p *parser) skipOp(op string) bool {
	if p.isOp(op) {
		p.next()
		return true
	}
	return false
}

func (p *parser) skipName(name string) bool {
	if p.isName(name) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expectOp(op string) error {
	if !p.skipOp(op) {
		return p.fail("expected %q, got %s", op, p.cur())
	}
	return nil
}

func (p *parser) expectName() (string, error) {
	if p.cur().kind != tokName {
		return "", p.fail("expected a name, got %s", p.cur())
	}
	return p.next().text, nil
}

func (p *parser) blockEnd() error {
	if p.cur().kind != tokBlockEnd {
		return p.fail("expected end of statement block, got %s", p.cur())
	}
	p.next()
	return nil
}

func (p *parser) enter() error {
	if p.depth++; p.depth > maxNesting {
		return &Error{Line: p.cur().line, Msg: fmt.Sprintf("nested deeper than %d", maxNesting), Err: ErrLimit}
	}
	return nil
}

// statements parses up to the end or a tag whose name is in until; that tag's "{%" is
// left as the current token.
func (p *parser) statements(until ...string) ([]stmt, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	var out []stmt
	for {
		switch t := p.cur(); t.kind {
		case tokEOF:
			if len(until) > 0 {
				return nil, p.fail("unexpected end of template, looking for %v", until)
			}
			return out, nil
		case tokData:
			out = append(out, &textStmt{p.at(), p.next().text})
		case tokVarBegin:
			p.next()
			v, err := p.tuple(true, false)
			if err != nil {
				return nil, err
			}
			if p.cur().kind != tokVarEnd {
				return nil, p.fail("expected end of print statement, got %s", p.cur())
			}
			out = append(out, &printStmt{at(t.line), v})
			p.next()
		default: // tokBlockBegin: the lexer gives no other kind here
			if name := p.look(); name.kind == tokName && slices.Contains(until, name.text) {
				return out, nil
			}
			p.next()
			s, err := p.statement()
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
}

// endTag consumes "{% name %}".
func (p *parser) endTag(name string) error {
	p.next()
	if !p.skipName(name) {
		return p.fail("expected %q, got %s", name, p.cur())
	}
	return p.blockEnd()
}

// body parses "%}" statements "{% end %}".
func (p *parser) body(end string) ([]stmt, error) {
	p.skipOp(":") // Python's colon is allowed
	if err := p.blockEnd(); err != nil {
		return nil, err
	}
	body, err := p.statements(end)
	if err != nil {
		return nil, err
	}
	return body, p.endTag(end)
}

func (p *parser) statement() (stmt, error) {
	line := p.at()
	name, err := p.expectName()
	if err != nil {
		return nil, err
	}
	switch name {
	case "if":
		return p.ifStatement(line)
	case "for":
		return p.forStatement(line)
	case "set":
		return p.setStatement(line)
	case "macro":
		return p.macroStatement(line)
	case "call":
		return p.callStatement(line)
	case "filter":
		return p.filterStatement(line)
	case "with":
		return p.withStatement(line)
	case "generation": // marks what the model wrote; the text is the same
		body, err := p.body("endgeneration")
		return &withStmt{at: line, body: body}, err
	case "print":
		return p.printStatement(line)
	case "break", "continue":
		if p.loops == 0 {
			return nil, p.fail("%s outside a loop", name)
		}
		f := flowBreak
		if name == "continue" {
			f = flowContinue
		}
		return &flowStmt{line, f}, p.blockEnd()
	case "block", "extends", "include", "import", "from", "autoescape", "do", "trans":
		return nil, p.fail("the tag %q is not supported", name)
	}
	return nil, &Error{Line: int(line), Msg: fmt.Sprintf("unexpected tag %q", name), Err: ErrSyntax}
}

func (p *parser) printStatement(line at) (stmt, error) {
	c := &concatExpr{at: line}
	for p.cur().kind != tokBlockEnd {
		if len(c.items) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		c.items = append(c.items, e)
	}
	return &printStmt{line, c}, p.blockEnd()
}

func (p *parser) ifStatement(line at) (stmt, error) {
	first := &ifStmt{at: line}
	for s := first; ; {
		var err error
		if s.cond, err = p.tuple(false, false); err != nil {
			return nil, err
		}
		p.skipOp(":")
		if err := p.blockEnd(); err != nil {
			return nil, err
		}
		if s.then, err = p.statements("elif", "else", "endif"); err != nil {
			return nil, err
		}
		p.next()
		tag := p.next()
		if tag.text == "elif" {
			more := &ifStmt{at: at(tag.line)}
			s.rest, s = []stmt{more}, more
			continue
		}
		if tag.text == "else" {
			s.rest, err = p.body("endif")
			return first, err
		}
		return first, p.blockEnd()
	}
}

func (p *parser) forStatement(line at) (stmt, error) {
	f := &forStmt{at: line}
	var err error
	if f.target, err = p.target(false, "in"); err != nil {
		return nil, err
	}
	if !p.skipName("in") {
		return nil, p.fail("expected \"in\", got %s", p.cur())
	}
	if f.items, err = p.tuple(false, false); err != nil {
		return nil, err
	}
	if p.skipName("if") {
		if f.cond, err = p.expression(); err != nil {
			return nil, err
		}
	}
	if p.isName("recursive") {
		return nil, p.fail("recursive loops are not supported")
	}
	p.skipOp(":")
	if err := p.blockEnd(); err != nil {
		return nil, err
	}
	p.loops++
	f.body, err = p.statements("endfor", "else")
	p.loops--
	if err != nil {
		return nil, err
	}
	if p.look().text == "else" {
		p.next()
		p.next()
		f.rest, err = p.body("endfor")
		return f, err
	}
	return f, p.endTag("endfor")
}

func (p *parser) setStatement(line at) (stmt, error) {
	t, err := p.target(true, "")
	if err != nil {
		return nil, err
	}
	if p.skipOp("=") {
		v, err := p.tuple(true, false)
		if err != nil {
			return nil, err
		}
		return &setStmt{line, t, v}, p.blockEnd()
	}
	s := &setBlockStmt{at: line, target: t}
	if p.isOp("|") {
		if s.filter, err = p.filters(&heldExpr{line}, false); err != nil {
			return nil, err
		}
	}
	s.body, err = p.body("endset")
	return s, err
}

// outside parses a macro's body: loops around it do not count, and names are noted in it.
func (p *parser) outside(m *macroDef, end string) (err error) {
	loops, macro := p.loops, p.macro
	p.loops, p.macro = 0, m
	m.body, err = p.body(end)
	p.loops, p.macro = loops, macro
	return err
}

func (p *parser) macroStatement(line at) (stmt, error) {
	name, err := p.expectName()
	if err != nil {
		return nil, err
	}
	m := &macroDef{name: name}
	if err := p.signature(m); err != nil {
		return nil, err
	}
	return &macroStmt{line, m}, p.outside(m, "endmacro")
}

func (p *parser) signature(m *macroDef) error {
	if err := p.expectOp("("); err != nil {
		return err
	}
	for !p.isOp(")") {
		if len(m.params) > 0 {
			if err := p.expectOp(","); err != nil {
				return err
			}
		}
		name, err := p.expectName()
		if err != nil {
			return err
		}
		if slices.Contains(m.params, name) {
			return p.fail("duplicate parameter %q", name)
		}
		m.params = append(m.params, name)
		if p.skipOp("=") {
			d, err := p.expression()
			if err != nil {
				return err
			}
			m.defaults = append(m.defaults, d)
		} else if len(m.defaults) > 0 {
			return p.fail("parameter %q without a default follows one with a default", name)
		}
	}
	p.next()
	return nil
}

func (p *parser) callStatement(line at) (stmt, error) {
	m := &macroDef{name: "caller"}
	if p.isOp("(") {
		if err := p.signature(m); err != nil {
			return nil, err
		}
	}
	e, err := p.expression()
	if err != nil {
		return nil, err
	}
	call, ok := e.(*callExpr)
	if !ok {
		return nil, p.fail("expected a call")
	}
	return &callStmt{line, call, m}, p.outside(m, "endcall")
}

func (p *parser) filterStatement(line at) (stmt, error) {
	f, err := p.filters(&heldExpr{line}, true)
	if err != nil {
		return nil, err
	}
	body, err := p.body("endfilter")
	return &filterStmt{line, f, body}, err
}

func (p *parser) withStatement(line at) (stmt, error) {
	w := &withStmt{at: line}
	for p.cur().kind != tokBlockEnd {
		if len(w.targets) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		name, err := p.expectName()
		if err != nil {
			return nil, err
		}
		if err := p.expectOp("="); err != nil {
			return nil, err
		}
		v, err := p.expression()
		if err != nil {
			return nil, err
		}
		w.targets, w.values = append(w.targets, target{name: name}), append(w.values, v)
	}
	var err error
	w.body, err = p.body("endwith")
	return w, err
}

// target parses what is assigned to; stop is the name that ends it.
func (p *parser) target(namespace bool, stop string) (target, error) {
	var out []target
	for {
		if p.cur().kind == tokBlockEnd || stop != "" && p.isName(stop) || p.isOp("=") || p.isOp(")") || p.isOp("|") {
			break
		}
		t, err := p.oneTarget(namespace)
		if err != nil {
			return target{}, err
		}
		out = append(out, t)
		if !p.isOp(",") {
			if len(out) == 1 {
				return t, nil
			}
			break
		}
		p.next()
	}
	if len(out) == 0 {
		return target{}, p.fail("expected a name to assign to, got %s", p.cur())
	}
	return target{several: out}, nil
}

func (p *parser) oneTarget(namespace bool) (target, error) {
	if p.skipOp("(") {
		if err := p.enter(); err != nil {
			return target{}, err
		}
		t, err := p.target(namespace, "")
		if err != nil {
			return target{}, err
		}
		p.depth--
		return t, p.expectOp(")")
	}
	name, err := p.expectName()
	if err != nil {
		return target{}, err
	}
	if isConstName(name) || !namespace && name == "loop" {
		return target{}, p.fail("cannot assign to %q", name)
	}
	if namespace && p.skipOp(".") {
		attr, err := p.expectName()
		return target{name: name, attr: attr}, err
	}
	return target{name: name}, nil
}

func isConstName(name string) bool {
	switch name {
	case "true", "false", "none", "True", "False", "None":
		return true
	}
	return false
}
