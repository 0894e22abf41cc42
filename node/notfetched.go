package node

import (
	"errors"
	"fmt"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/exchange"
)

// toldError is an error in the words that whoever asked is told; it is still what it was.
type toldError struct {
	text string
	error
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.error }

// notFetched tells by its name first that blocks of a model could not be had, why, and what to do.
// Other errors stay as they are.
func (r *running) notFetched(name string, id cid.Cid, err error) error {
	var missing *exchange.MissingError
	if !errors.As(err, &missing) {
		return err
	}
	short := " (" + catalog.Short(id) + ")"
	if name == id.String() {
		short = ""
	}
	why := r.nobody(id)
	if several, ok := missing.Err.(interface{ Unwrap() []error }); ok && why == "" {
		why = fmt.Sprintf("; %v", several.Unwrap()[0])
	}
	blocks := "a block"
	if n := len(missing.CIDs); n > 1 {
		blocks = fmt.Sprintf("%d blocks", n)
	}
	if r.reachProblem() == "" { // which says what to do
		why += "; the same command goes on when a peer that has them is reached (covey peers)"
	}
	return &toldError{fmt.Sprintf("%s%s: %s could not be fetched%s", name, short, blocks, why), err}
}
