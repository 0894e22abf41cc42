package chat

import "slices"

// expression parses a full expression, with an inline if.
func (p *parser) expression() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	line := p.at()
	e, err := p.or()
	for err == nil && p.skipName("if") {
		c := &condExpr{at: line, then: e}
		if c.cond, err = p.or(); err != nil {
			return nil, err
		}
		if p.skipName("else") {
			c.rest, err = p.expression()
		}
		e = c
	}
	return e, err
}

// tuple parses one expression, or several with commas; inParens allows none at all.
func (p *parser) tuple(withCond, inParens bool) (expr, error) {
	line := p.at()
	var items []expr
	several := false
	for {
		if len(items) > 0 && !several {
			break
		}
		if k := p.cur().kind; k == tokVarEnd || k == tokBlockEnd || p.isOp(")") {
			break
		}
		parse := p.or
		if withCond {
			parse = p.expression
		}
		e, err := parse()
		if err != nil {
			return nil, err
		}
		items = append(items, e)
		if !p.isOp(",") {
			break
		}
		p.next()
		several = true
	}
	if len(items) == 1 && !several {
		return items[0], nil
	}
	if len(items) == 0 && !inParens {
		return nil, p.fail("expected an expression, got %s", p.cur())
	}
	return &tupleExpr{line, items}, nil
}

// binary parses a left-associative chain of operators over operands.
func (p *parser) binary(operand func() (expr, error), ops ...string) (expr, error) {
	line := p.at()
	left, err := operand()
	for err == nil {
		t := p.cur()
		if t.kind != tokOp && t.kind != tokName || !slices.Contains(ops, t.text) {
			break
		}
		p.next()
		var right expr
		right, err = operand()
		left = &binaryExpr{line, t.text, left, right}
		line = p.at()
	}
	return left, err
}

func (p *parser) or() (expr, error)  { return p.binary(p.and, "or") }
func (p *parser) and() (expr, error) { return p.binary(p.not, "and") }

func (p *parser) not() (expr, error) {
	if !p.isName("not") {
		return p.compare()
	}
	line := p.at()
	p.next()
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	e, err := p.not()
	return &unaryExpr{line, "not", e}, err
}

func (p *parser) compare() (expr, error) {
	c := &compareExpr{at: p.at()}
	var err error
	if c.first, err = p.sum(); err != nil {
		return nil, err
	}
	for {
		t := p.cur()
		switch {
		case t.kind == tokOp && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, t.text), p.isName("in"):
			p.next()
			c.ops = append(c.ops, t.text)
		case p.isName("not") && p.look().kind == tokName && p.look().text == "in":
			p.next()
			p.next()
			c.ops = append(c.ops, "not in")
		default:
			if len(c.ops) == 0 {
				return c.first, nil
			}
			return c, nil
		}
		e, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.rest = append(c.rest, e)
	}
}

func (p *parser) sum() (expr, error) { return p.binary(p.concat, "+", "-") }

func (p *parser) concat() (expr, error) {
	line := p.at()
	e, err := p.product()
	if err != nil || !p.isOp("~") {
		return e, err
	}
	c := &concatExpr{line, []expr{e}}
	for p.skipOp("~") {
		if e, err = p.product(); err != nil {
			return nil, err
		}
		c.items = append(c.items, e)
	}
	return c, nil
}

func (p *parser) product() (expr, error) { return p.binary(p.power, "*", "/", "//", "%") }

func (p *parser) power() (expr, error) {
	return p.binary(func() (expr, error) { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) (expr, error) {
	line := p.at()
	var e expr
	var err error
	if p.isOp("-") || p.isOp("+") {
		op := p.next().text
		if err = p.enter(); err != nil {
			return nil, err
		}
		e, err = p.unary(false)
		p.depth--
		e = &unaryExpr{line, op, e}
	} else {
		e, err = p.primary()
	}
	if err != nil {
		return nil, err
	}
	if e, err = p.postfix(e); err != nil || !filters {
		return e, err
	}
	return p.filtersAndTests(e)
}

func (p *parser) primary() (expr, error) {
	t := p.cur()
	line := at(t.line)
	switch t.kind {
	case tokName:
		p.next()
		return p.name(t.text, line), nil
	case tokString:
		text := ""
		for p.cur().kind == tokString {
			text += p.next().text
		}
		return &constExpr{line, text}, nil
	case tokInt, tokFloat:
		p.next()
		v, err := parseNumber(t.text)
		if err != nil {
			return nil, &Error{Line: t.line, Msg: message(err), Err: ErrSyntax}
		}
		return &constExpr{line, v}, nil
	case tokOp:
		if t.text == "(" || t.text == "[" || t.text == "{" {
			if err := p.enter(); err != nil {
				return nil, err
			}
			defer func() { p.depth-- }()
			return p.bracketed(p.next().text, line)
		}
	}
	return nil, p.fail("unexpected %s", t)
}

func (p *parser) name(name string, line at) expr {
	switch name {
	case "true", "True":
		return &constExpr{line, true}
	case "false", "False":
		return &constExpr{line, false}
	case "none", "None":
		return &constExpr{line, nil}
	}
	if m := p.macro; m != nil {
		m.varargs = m.varargs || name == "varargs"
		m.kwargs = m.kwargs || name == "kwargs"
		m.caller = m.caller || name == "caller"
	}
	return &nameExpr{line, name}
}

func (p *parser) bracketed(open string, line at) (expr, error) {
	if open == "(" {
		e, err := p.tuple(true, true)
		if err != nil {
			return nil, err
		}
		return e, p.expectOp(")")
	}
	if open == "{" {
		return p.dict(line)
	}
	l := &listExpr{at: line}
	for !p.isOp("]") {
		if len(l.items) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
			if p.isOp("]") {
				break
			}
		}
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		l.items = append(l.items, e)
	}
	return l, p.expectOp("]")
}

func (p *parser) dict(line at) (expr, error) {
	d := &dictExpr{at: line}
	for !p.isOp("}") {
		if len(d.keys) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
			if p.isOp("}") {
				break
			}
		}
		k, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.expectOp(":"); err != nil {
			return nil, err
		}
		v, err := p.expression()
		if err != nil {
			return nil, err
		}
		d.keys, d.values = append(d.keys, k), append(d.values, v)
	}
	return d, p.expectOp("}")
}

func (p *parser) postfix(e expr) (expr, error) {
	var err error
	for err == nil {
		switch {
		case p.isOp("."):
			e, err = p.attribute(e)
		case p.isOp("["):
			e, err = p.subscript(e)
		case p.isOp("("):
			e, err = p.call(e)
		default:
			return e, nil
		}
	}
	return nil, err
}

func (p *parser) call(fn expr) (expr, error) {
	line := p.at()
	args, err := p.callArgs()
	return &callExpr{line, fn, args}, err
}

func (p *parser) attribute(e expr) (expr, error) {
	line := p.at()
	p.next()
	switch t := p.next(); t.kind {
	case tokName:
		return &attrExpr{line, e, t.text}, nil
	case tokInt:
		v, err := parseNumber(t.text)
		if err != nil {
			return nil, &Error{Line: t.line, Msg: message(err), Err: ErrSyntax}
		}
		return &itemExpr{line, e, &constExpr{line, v}}, nil
	default:
		return nil, &Error{Line: t.line, Msg: "expected a name or number after the dot, got " + t.String(), Err: ErrSyntax}
	}
}

func (p *parser) subscript(e expr) (expr, error) {
	line := p.at()
	p.next()
	var items []expr
	for !p.isOp("]") {
		if len(items) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		i, err := p.index()
		if err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	p.next()
	switch len(items) {
	case 0:
		return nil, p.fail("expected an expression inside []")
	case 1:
		return &itemExpr{line, e, items[0]}, nil
	}
	return &itemExpr{line, e, &tupleExpr{line, items}}, nil
}

// index parses an index or a slice.
func (p *parser) index() (expr, error) {
	s := &sliceExpr{at: p.at()}
	var err error
	if !p.isOp(":") {
		e, err := p.expression()
		if err != nil || !p.isOp(":") {
			return e, err
		}
		s.from = e
	}
	p.next()
	if !p.isOp(":") && !p.isOp("]") && !p.isOp(",") {
		if s.to, err = p.expression(); err != nil {
			return nil, err
		}
	}
	if p.skipOp(":") && !p.isOp("]") && !p.isOp(",") {
		s.step, err = p.expression()
	}
	return s, err
}

func (p *parser) callArgs() (callArgs, error) {
	var a callArgs
	if err := p.expectOp("("); err != nil {
		return a, err
	}
	for first := true; !p.isOp(")"); first = false {
		if !first {
			if err := p.expectOp(","); err != nil {
				return a, err
			}
			if p.isOp(")") {
				break
			}
		}
		if err := p.argument(&a); err != nil {
			return a, err
		}
	}
	p.next()
	return a, nil
}

func (p *parser) argument(a *callArgs) (err error) {
	bad := func() error { return p.fail("arguments in the wrong order") }
	switch {
	case p.isOp("*"):
		if a.more != nil || a.moreName != nil {
			return bad()
		}
		p.next()
		a.more, err = p.expression()
	case p.isOp("**"):
		if a.moreName != nil {
			return bad()
		}
		p.next()
		a.moreName, err = p.expression()
	case p.cur().kind == tokName && p.look().kind == tokOp && p.look().text == "=":
		if a.moreName != nil {
			return bad()
		}
		if slices.Contains(a.names, p.cur().text) {
			return p.fail("argument %q given twice", p.cur().text)
		}
		a.names = append(a.names, p.next().text)
		p.next()
		var e expr
		e, err = p.expression()
		a.named = append(a.named, e)
	default:
		if a.more != nil || a.moreName != nil || len(a.named) > 0 {
			return bad()
		}
		var e expr
		e, err = p.expression()
		a.pos = append(a.pos, e)
	}
	return err
}

// filtersAndTests parses what may follow an operand: filters, tests and calls.
func (p *parser) filtersAndTests(e expr) (expr, error) {
	var err error
	for err == nil {
		switch {
		case p.isOp("|"):
			e, err = p.filters(e, false)
		case p.isName("is"):
			e, err = p.test(e)
		case p.isOp("("):
			e, err = p.call(e)
		default:
			return e, nil
		}
	}
	return nil, err
}

// filters parses "|name(args)" as often as it comes; inline starts without the bar.
func (p *parser) filters(e expr, inline bool) (expr, error) {
	for inline || p.isOp("|") {
		if !inline {
			p.next()
		}
		inline = false
		f := &filterExpr{at: p.at(), of: e}
		var err error
		if f.name, err = p.dotted(); err != nil {
			return nil, err
		}
		if p.isOp("(") {
			if f.args, err = p.callArgs(); err != nil {
				return nil, err
			}
		}
		e = f
	}
	return e, nil
}

func (p *parser) dotted() (string, error) {
	name, err := p.expectName()
	for err == nil && p.skipOp(".") {
		var more string
		more, err = p.expectName()
		name += "." + more
	}
	return name, err
}

func (p *parser) test(e expr) (expr, error) {
	t := &testExpr{at: p.at(), of: e}
	p.next()
	negated := p.skipName("not")
	var err error
	if t.name, err = p.dotted(); err != nil {
		return nil, err
	}
	if p.isOp("(") {
		if t.args, err = p.callArgs(); err != nil {
			return nil, err
		}
	} else if p.startsOperand() {
		if p.isName("is") {
			return nil, p.fail("tests cannot be chained with \"is\"")
		}
		arg, err := p.primary()
		if err != nil {
			return nil, err
		}
		if arg, err = p.postfix(arg); err != nil {
			return nil, err
		}
		t.args.pos = []expr{arg}
	}
	if negated {
		return &unaryExpr{t.at, "not", t}, nil
	}
	return t, nil
}

func (p *parser) startsOperand() bool {
	switch p.cur().kind {
	case tokName:
		return !p.isName("else", "or", "and")
	case tokString, tokInt, tokFloat:
		return true
	}
	return p.isOp("[") || p.isOp("{")
}
