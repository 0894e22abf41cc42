package catalog_test

import (
	"context"
	"fmt"
	"os"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/demo"
)

func ExampleCatalog_ImportFiles() {
	dir, err := os.MkdirTemp("", "catalog-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := demo.Write(dir); err != nil {
		fmt.Println(err)
		return
	}
	s, err := store.Open(store.Config{Dir: dir + "/store", Links: wire.Links, MarginBytes: 64 << 20, MarginPercent: 0.1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	c, err := catalog.New(catalog.Config{Store: s})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := c.ImportFiles(context.Background(), dir, "demo", "q8_0", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	held := c.Held(m)
	fmt.Println(m.Name, m.Manifest.Quantization, held)
	// Output: demo Q8_0 [{0 4 true true}]
}
