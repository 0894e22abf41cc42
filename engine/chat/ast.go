package chat

// stmt is a statement of a template.
type stmt interface {
	pos() int
	exec(r *run, s *scope, out *writer) (flow, error)
}

// expr is an expression of a template.
type expr interface {
	pos() int
	eval(r *run, s *scope) (any, error)
}

// at is the line of a node.
type at int

func (a at) pos() int { return int(a) }

type (
	textStmt struct {
		at
		text string
	}
	printStmt struct {
		at
		value expr
	}
	ifStmt struct {
		at
		cond       expr
		then, rest []stmt // an elif is an if in rest
	}
	forStmt struct {
		at
		target      target
		items, cond expr // cond may be nil
		body, rest  []stmt
	}
	setStmt struct {
		at
		target target
		value  expr
	}
	setBlockStmt struct {
		at
		target target
		filter expr // applied to a heldExpr, or nil
		body   []stmt
	}
	macroStmt struct {
		at
		macro *macroDef
	}
	callStmt struct {
		at
		call   *callExpr
		caller *macroDef
	}
	filterStmt struct {
		at
		filter expr
		body   []stmt
	}
	withStmt struct {
		at
		targets []target
		values  []expr
		body    []stmt
	}
	flowStmt struct { // break, continue
		at
		flow flow
	}
)

// target is what a value is assigned to: a name, a namespace's attribute, or several of these.
type target struct {
	name, attr string
	several    []target
}

// macroDef is the text of a macro, or of the body of a call block.
type macroDef struct {
	name     string
	params   []string
	defaults []expr // of the last parameters
	body     []stmt
	// What the body uses of the names every macro has; extra arguments are errors otherwise.
	varargs, kwargs, caller bool
}

type (
	constExpr struct {
		at
		value any
	}
	nameExpr struct {
		at
		name string
	}
	listExpr struct {
		at
		items []expr
	}
	tupleExpr struct {
		at
		items []expr
	}
	dictExpr struct {
		at
		keys, values []expr
	}
	attrExpr struct {
		at
		of   expr
		name string
	}
	itemExpr struct {
		at
		of, index expr
	}
	sliceExpr struct {
		at
		from, to, step expr
	} // each may be nil
	callExpr struct {
		at
		fn   expr
		args callArgs
	}
	filterExpr struct {
		at
		of   expr
		name string
		args callArgs
	}
	testExpr struct {
		at
		of   expr
		name string
		args callArgs
	}
	unaryExpr struct {
		at
		op string // "-" "+" "not"
		of expr
	}
	binaryExpr struct {
		at
		op          string // + - * / // % ** and or
		left, right expr
	}
	concatExpr struct {
		at
		items []expr
	}
	compareExpr struct {
		at
		first expr
		ops   []string // == != < <= > >= in, "not in"
		rest  []expr
	}
	condExpr struct {
		at
		cond, then, rest expr
	} // rest may be nil
	heldExpr struct{ at } // the text of the block around it
)

type callArgs struct {
	pos      []expr
	names    []string
	named    []expr
	more     expr // *x
	moreName expr // **x
}
