package chat

import (
	"math"
	"math/big"
	"math/bits"
	"strings"
)

// equal is Python's ==.
func (r *run) equal(a, b any, depth int) (bool, error) {
	if err := r.use(0); err != nil {
		return false, err
	}
	if depth > maxNested {
		return false, limitf("values nested deeper than %d", maxNested)
	}
	if x, ok := text(a); ok {
		y, ok := text(b)
		return ok && x == y, r.use(min(len(x), len(y)))
	}
	if x, ok := float(a); ok {
		y, ok := float(b)
		i, iok := integer(a)
		j, jok := integer(b)
		if iok && jok {
			return i == j, nil
		}
		p, pok := a.(*big.Int)
		q, qok := b.(*big.Int)
		if pok && qok {
			return p.Cmp(q) == 0, nil
		}
		return ok && x == y && pok == qok, nil
	}
	switch x := a.(type) {
	case nil:
		return b == nil, nil
	case undefined:
		_, ok := b.(undefined)
		return ok, nil
	case []any:
		y, ok := b.([]any)
		return r.equalItems(x, y, ok, depth)
	case tuple:
		y, ok := b.(tuple)
		return r.equalItems(x, y, ok, depth)
	case *dict:
		y, ok := b.(*dict)
		return r.equalDicts(x, y, ok, depth)
	case span:
		y, ok := b.(span)
		same := ok && x.n == y.n && (x.n == 0 || x.start == y.start) && (x.n < 2 || x.step == y.step)
		return same, nil
	case *view, *generator, *namespace, *loop, *macro, *builtin:
		return hashable(b) && a == b, nil
	}
	return false, nil
}

// hashable tells whether Go can compare the value without a panic.
func hashable(v any) bool {
	switch v.(type) {
	case []any, tuple:
		return false
	}
	return true
}

func (r *run) equalItems(x, y []any, same bool, depth int) (bool, error) {
	if !same || len(x) != len(y) {
		return false, nil
	}
	for i := range x {
		if ok, err := r.equal(x[i], y[i], depth+1); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func (r *run) equalDicts(x, y *dict, same bool, depth int) (bool, error) {
	if !same || len(x.keys) != len(y.keys) {
		return false, nil
	}
	for h, i := range x.index {
		j, ok := y.index[h]
		if !ok {
			return false, nil
		}
		if ok, err := r.equal(x.values[i], y.values[j], depth+1); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// less is Python's <; op is only for the message.
func (r *run) less(a, b any, op string, depth int) (bool, error) {
	if err := r.use(0); err != nil {
		return false, err
	}
	if depth > maxNested {
		return false, limitf("values nested deeper than %d", maxNested)
	}
	if x, ok := text(a); ok {
		if y, ok := text(b); ok {
			return x < y, r.use(min(len(x), len(y)))
		}
	}
	if i, ok := integer(a); ok {
		if j, ok := integer(b); ok {
			return i < j, nil
		}
	}
	if x, ok := float(a); ok {
		if y, ok := float(b); ok {
			return x < y, nil
		}
	}
	if x, ok := a.([]any); ok {
		if y, ok := b.([]any); ok {
			return r.lessItems(x, y, op, depth)
		}
	}
	if x, ok := a.(tuple); ok {
		if y, ok := b.(tuple); ok {
			return r.lessItems(x, y, op, depth)
		}
	}
	return false, binaryError(op, a, b)
}

func (r *run) lessItems(x, y []any, op string, depth int) (bool, error) {
	for i := range min(len(x), len(y)) {
		same, err := r.equal(x[i], y[i], depth+1)
		if err != nil {
			return false, err
		}
		if !same {
			return r.less(x[i], y[i], op, depth+1)
		}
	}
	return len(x) < len(y), nil
}

func (r *run) compare(op string, a, b any) (bool, error) {
	switch op {
	case "==":
		return r.equal(a, b, 0)
	case "!=":
		same, err := r.equal(a, b, 0)
		return !same, err
	case "<":
		return r.less(a, b, op, 0)
	case ">":
		return r.less(b, a, op, 0)
	case "<=", ">=":
		if op == ">=" {
			a, b = b, a
		}
		below, err := r.less(a, b, op, 0)
		if err != nil || below {
			return below, err
		}
		return r.equal(a, b, 0)
	case "in":
		return r.contains(b, a)
	}
	in, err := r.contains(b, a) // not in
	return !in, err
}

// contains is Python's item in box.
func (r *run) contains(box, item any) (bool, error) {
	if s, ok := text(box); ok {
		sub, ok := text(item)
		if !ok {
			if u, ok := item.(undefined); ok {
				return false, undefinedError(u)
			}
			return false, errorf("'in <string>' requires string as left operand, not %s", typeName(item))
		}
		return strings.Contains(s, sub), r.use(len(s))
	}
	var d *dict
	switch x := box.(type) {
	case *dict:
		d = x
	case *view:
		if x.kind == "keys" {
			d = x.of
		}
	case nil, bool, int64, float64:
		return false, errorf("argument of type %q is not iterable", typeName(box))
	}
	if d != nil {
		h, err := r.hashKey(item, 0)
		if err != nil {
			return false, err
		}
		_, ok := d.index[h]
		return ok, nil
	}
	g, err := r.iterate(box)
	if err != nil {
		return false, err
	}
	for {
		v, ok, err := g.next()
		if err != nil || !ok {
			return false, err
		}
		if same, err := r.equal(v, item, 0); err != nil || same {
			return same, err
		}
	}
}

func binaryError(op string, a, b any) error {
	for _, v := range []any{a, b} {
		if u, ok := v.(undefined); ok {
			return undefinedError(u)
		}
	}
	if op == "+" || op == "-" || op == "*" || op == "/" || op == "//" || op == "%" || op == "**" {
		return errorf("unsupported operand types for %s: %q and %q", op, typeName(a), typeName(b))
	}
	return errorf("%q is not supported between %q and %q", op, typeName(a), typeName(b))
}

// arithmetic applies + - * / // % **.
func (r *run) arithmetic(op string, a, b any) (any, error) {
	if s, ok := text(a); ok && op == "%" {
		out, err := r.percent(s, b)
		return sameText(a, out), err
	}
	switch op {
	case "+":
		if v, ok, err := r.join(a, b); ok {
			return v, err
		}
	case "*":
		if v, ok, err := r.repeat(a, b); ok {
			return v, err
		}
	}
	i, iok := integer(a)
	j, jok := integer(b)
	if iok && jok {
		return intArithmetic(op, i, j)
	}
	x, xok := float(a)
	y, yok := float(b)
	if !xok || !yok {
		return nil, binaryError(op, a, b)
	}
	if isBig(a) || isBig(b) {
		return nil, limitf("arithmetic with an integer beyond 64 bits")
	}
	return floatArithmetic(op, x, y)
}

func isBig(v any) bool { _, ok := v.(*big.Int); return ok }

// join adds two texts, lists or tuples.
func (r *run) join(a, b any) (any, bool, error) {
	x, xok := text(a)
	y, yok := text(b)
	if xok && yok {
		_, am := a.(markup)
		_, bm := b.(markup)
		if am && !bm {
			y = escape(y)
		}
		if bm && !am {
			x = escape(x)
		}
		if err := r.text(len(x) + len(y)); err != nil {
			return nil, true, err
		}
		if am || bm {
			return markup(x + y), true, nil
		}
		return x + y, true, nil
	}
	switch p := a.(type) {
	case []any:
		if q, ok := b.([]any); ok {
			return append(append(make([]any, 0, len(p)+len(q)), p...), q...), true, r.use((len(p) + len(q)) * 16)
		}
	case tuple:
		if q, ok := b.(tuple); ok {
			return append(append(make(tuple, 0, len(p)+len(q)), p...), q...), true, r.use((len(p) + len(q)) * 16)
		}
	}
	return nil, false, nil
}

// repeat multiplies a text, list or tuple by a number, in either order.
func (r *run) repeat(a, b any) (any, bool, error) {
	if _, ok := integer(a); ok {
		a, b = b, a
	}
	n, ok := integer(b)
	if !ok {
		return nil, false, nil
	}
	n = max(n, 0)
	if s, ok := text(a); ok {
		if err := r.text(product(len(s), n)); err != nil {
			return nil, true, err
		}
		return sameText(a, strings.Repeat(s, int(n))), true, nil
	}
	var items []any
	switch x := a.(type) {
	case []any:
		items = x
	case tuple:
		items = x
	default:
		return nil, false, nil
	}
	if err := r.use(product(16*len(items), n)); err != nil {
		return nil, true, err
	}
	out := make([]any, 0, len(items)*int(n))
	for range n {
		if len(items) == 0 {
			break
		}
		out = append(out, items...)
	}
	if _, ok := a.(tuple); ok {
		return tuple(out), true, nil
	}
	return out, true, nil
}

// product multiplies a size, saturating.
func product(a int, n int64) int {
	hi, lo := bits.Mul64(uint64(a), uint64(n))
	if hi != 0 || lo > math.MaxInt32 {
		return math.MaxInt32
	}
	if a == 0 {
		return 0
	}
	return int(lo)
}

func errTooBig() error { return limitf("an integer beyond 64 bits") }

func intArithmetic(op string, i, j int64) (any, error) {
	switch op {
	case "+":
		if s := i + j; (s > i) == (j > 0) {
			return s, nil
		}
		return nil, errTooBig()
	case "-":
		if s := i - j; (s < i) == (j > 0) {
			return s, nil
		}
		return nil, errTooBig()
	case "*":
		return mulInt(i, j)
	case "**":
		return powInt(i, j)
	}
	if j == 0 {
		return nil, errorf("division by zero")
	}
	if op == "/" {
		return float64(i) / float64(j), nil
	}
	if i == math.MinInt64 && j == -1 {
		return nil, errTooBig()
	}
	q, m := i/j, i%j
	if m != 0 && (m < 0) != (j < 0) { // Python rounds down
		q, m = q-1, m+j
	}
	if op == "//" {
		return q, nil
	}
	return m, nil
}

func mulInt(i, j int64) (any, error) {
	if i == 0 || j == 0 {
		return int64(0), nil
	}
	p := i * j
	if p/j != i || i == math.MinInt64 && j == -1 || j == math.MinInt64 && i == -1 {
		return nil, errTooBig()
	}
	return p, nil
}

func powInt(i, j int64) (any, error) {
	if j < 0 {
		if i == 0 {
			return nil, errorf("0 cannot be raised to a negative power")
		}
		return math.Pow(float64(i), float64(j)), nil
	}
	if i == 0 || i == 1 {
		if j == 0 {
			return int64(1), nil
		}
		return i, nil
	}
	if i == -1 {
		return 1 - 2*(j&1), nil
	}
	out := any(int64(1))
	for range min(j, 64) {
		var err error
		if out, err = mulInt(out.(int64), i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func floatArithmetic(op string, x, y float64) (any, error) {
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "**":
		if x == 0 && y < 0 || x < 0 && y != math.Trunc(y) {
			return nil, errorf("%s cannot be raised to the power %s", floatRepr(x), floatRepr(y))
		}
		return math.Pow(x, y), nil
	}
	if y == 0 {
		return nil, errorf("float division by zero")
	}
	if op == "/" {
		return x / y, nil
	}
	m := math.Mod(x, y)
	q := (x - m) / y
	if m != 0 && (m < 0) != (y < 0) {
		m, q = m+y, q-1
	}
	if op == "%" {
		return m, nil
	}
	if f := math.Floor(q); q-f > 0.5 {
		return f + 1, nil
	}
	return math.Floor(q), nil
}

// sameText gives s the kind of text that like has.
func sameText(like any, s string) any {
	if _, ok := like.(markup); ok {
		return markup(s)
	}
	return s
}

// escape replaces what HTML reads as its own.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", ">", "&gt;", "<", "&lt;", "'", "&#39;", `"`, "&#34;").Replace(s)
}
