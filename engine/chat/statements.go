package chat

func (n *textStmt) exec(_ *run, _ *scope, out *writer) (flow, error) {
	return flowNext, out.write(n.text)
}

func (n *printStmt) exec(r *run, s *scope, out *writer) (flow, error) {
	v, err := r.eval(n.value, s)
	if err != nil {
		return flowNext, err
	}
	t, err := r.str(v)
	if err != nil {
		return flowNext, err
	}
	return flowNext, out.write(t)
}

func (n *flowStmt) exec(*run, *scope, *writer) (flow, error) { return n.flow, nil }

func (n *ifStmt) exec(r *run, s *scope, out *writer) (flow, error) {
	for {
		v, err := r.eval(n.cond, s)
		if err != nil {
			return flowNext, err
		}
		if truth(v) {
			return r.exec(n.then, s, out)
		}
		if len(n.rest) == 1 { // a chain of elif is walked, not recursed into
			if more, ok := n.rest[0].(*ifStmt); ok {
				n = more
				continue
			}
		}
		return r.exec(n.rest, s, out)
	}
}

func (n *forStmt) exec(r *run, s *scope, out *writer) (flow, error) {
	v, err := r.eval(n.items, s)
	if err != nil {
		return flowNext, err
	}
	items, err := r.collect(v)
	if err != nil {
		return flowNext, err
	}
	if n.cond != nil {
		if items, err = n.filtered(r, s, items); err != nil {
			return flowNext, err
		}
	}
	l := &loop{items: items}
	completed := false // Jinja runs the else part unless a round came to the end of the body
	for i, item := range items {
		l.i = i
		inner := newScope(s)
		inner.set("loop", l)
		if err := n.target.assign(r, inner, item); err != nil {
			return flowNext, err
		}
		f, err := r.exec(n.body, inner, out)
		if err != nil {
			return flowNext, err
		}
		if f == flowBreak {
			break
		}
		completed = completed || f == flowNext
	}
	if completed {
		return flowNext, nil
	}
	return r.exec(n.rest, newScope(s), out)
}

// filtered keeps the items for which the loop's condition holds.
func (n *forStmt) filtered(r *run, s *scope, items []any) ([]any, error) {
	var kept []any
	for _, item := range items {
		inner := newScope(s)
		if err := n.target.assign(r, inner, item); err != nil {
			return nil, err
		}
		v, err := r.eval(n.cond, inner)
		if err != nil {
			return nil, err
		}
		if truth(v) {
			kept = append(kept, item)
		}
	}
	return kept, nil
}

// assign gives the target its value in the scope.
func (t target) assign(r *run, s *scope, v any) error {
	if t.attr != "" {
		return t.assignAttr(s, v)
	}
	if t.several == nil {
		s.set(t.name, v)
		return nil
	}
	items, err := r.collect(v)
	if err != nil {
		return err
	}
	if len(items) != len(t.several) {
		return errorf("%d values for %d names", len(items), len(t.several))
	}
	for i, one := range t.several {
		if err := one.assign(r, s, items[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t target) assignAttr(s *scope, v any) error {
	held, _ := s.get(t.name)
	ns, ok := held.(*namespace)
	if !ok {
		return errorf("cannot assign attribute %q of %q: not a namespace", t.attr, t.name)
	}
	if t.attr[0] == '_' {
		return errorf("a namespace attribute cannot begin with an underscore: %q", t.attr)
	}
	ns.attrs.setString(t.attr, v)
	return nil
}

func (n *setStmt) exec(r *run, s *scope, _ *writer) (flow, error) {
	v, err := r.eval(n.value, s)
	if err != nil {
		return flowNext, err
	}
	return flowNext, n.target.assign(r, s, v)
}

func (n *setBlockStmt) exec(r *run, s *scope, _ *writer) (flow, error) {
	v, err := r.filtered(n.body, n.filter, s)
	if err != nil {
		return flowNext, err
	}
	return flowNext, n.target.assign(r, s, v)
}

func (n *filterStmt) exec(r *run, s *scope, out *writer) (flow, error) {
	v, err := r.filtered(n.body, n.filter, s)
	if err != nil {
		return flowNext, err
	}
	t, err := r.str(v)
	if err != nil {
		return flowNext, err
	}
	return flowNext, out.write(t)
}

// held is the name of the text that heldExpr stands for; no template can write it.
const held = "\x00held"

// filtered captures a body and applies filters to its text.
func (r *run) filtered(body []stmt, filter expr, s *scope) (any, error) {
	t, err := r.capture(body, newScope(s))
	if err != nil || filter == nil {
		return t, err
	}
	inner := newScope(s)
	inner.set(held, t)
	return r.eval(filter, inner)
}

func (n *withStmt) exec(r *run, s *scope, out *writer) (flow, error) {
	inner := newScope(s)
	for i, t := range n.targets {
		v, err := r.eval(n.values[i], s)
		if err != nil {
			return flowNext, err
		}
		if err := t.assign(r, inner, v); err != nil {
			return flowNext, err
		}
	}
	return r.exec(n.body, inner, out)
}

// macro is a macro with the variables it sees.
type macro struct {
	def   *macroDef
	scope *scope
}

func (n *macroStmt) exec(_ *run, s *scope, _ *writer) (flow, error) {
	s.set(n.macro.name, &macro{n.macro, s})
	return flowNext, nil
}

func (n *callStmt) exec(r *run, s *scope, out *writer) (flow, error) {
	fn, err := r.eval(n.call.fn, s)
	if err != nil {
		return flowNext, err
	}
	a, err := n.call.args.eval(r, s)
	if err != nil {
		return flowNext, err
	}
	a.names = append(a.names, "caller")
	a.named = append(a.named, &macro{n.caller, s})
	v, err := r.call(fn, a)
	if err != nil {
		return flowNext, err
	}
	t, err := r.str(v)
	if err != nil {
		return flowNext, err
	}
	return flowNext, out.write(t)
}

// call runs the macro's body with its parameters set.
func (m *macro) call(r *run, a *args) (any, error) {
	s := newScope(m.scope)
	d := m.def
	if len(a.pos) > len(d.params) && !d.varargs {
		return nil, errorf("macro %q takes not more than %d arguments", d.name, len(d.params))
	}
	given := make(map[string]bool, len(d.params))
	for i, v := range a.pos[:min(len(a.pos), len(d.params))] {
		s.set(d.params[i], v)
		given[d.params[i]] = true
	}
	extra := newDict(0)
	for i, name := range a.names {
		switch {
		case given[name]:
			return nil, errorf("macro %q got several values for %q", d.name, name)
		case contains(d.params, name):
			s.set(name, a.named[i])
			given[name] = true
		case name == "caller" && d.caller:
			s.set(name, a.named[i])
		case d.kwargs:
			extra.setString(name, a.named[i])
		default:
			return nil, errorf("macro %q takes no argument %q", d.name, name)
		}
	}
	if d.caller {
		if s.find("caller") < 0 {
			s.set("caller", undefined{"no caller defined"})
		}
	}
	if d.varargs {
		s.set("varargs", tuple(a.pos[min(len(a.pos), len(d.params)):]))
	}
	if d.kwargs {
		s.set("kwargs", extra)
	}
	if err := m.defaults(r, s, given); err != nil {
		return nil, err
	}
	return r.capture(d.body, s)
}

// defaults sets the parameters that were not given.
func (m *macro) defaults(r *run, s *scope, given map[string]bool) error {
	first := len(m.def.params) - len(m.def.defaults)
	for i, name := range m.def.params {
		if given[name] {
			continue
		}
		if i < first {
			s.set(name, undefined{"parameter '" + name + "' was not provided"})
			continue
		}
		v, err := r.eval(m.def.defaults[i-first], s)
		if err != nil {
			return err
		}
		s.set(name, v)
	}
	return nil
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}
