package catalog

import (
	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/protocol/wire"
)

// Parse reads a manifest without a store.
func Parse(root []byte, get func(cid.Cid) ([]byte, error)) (*wire.Manifest, model.Config, error) {
	o, err := parse(root, get)
	if err != nil {
		return nil, model.Config{}, err
	}
	return o.manifest, o.config, nil
}

// RangeBytes is PartBytes of a manifest.
func RangeBytes(m *wire.Manifest, r wire.Range) int64 { return rangeBytes(m, r) }
