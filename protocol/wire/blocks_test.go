package wire_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// TestBlocksVectors holds the frames in the spec page to the code: each is written, found
// in the page, read back and written again.
func TestBlocksVectors(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../spec/blocks.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(page), "\n", "")
	data := []byte("covey")
	id := wire.CIDOf(data)
	busy := wire.Errorf(wire.CodeBusy, "too many streams")
	busy.RetryAfterMs = 1000
	for _, c := range []struct {
		name string
		typ  frame.Type
		msg  wire.Message // nil for a block
		back wire.Message
	}{
		{"request", wire.TypeBlocksRequest, &wire.BlocksRequest{ID: 1, CIDs: []cid.Cid{id}, Priority: wire.PriorityLoad}, &wire.BlocksRequest{}},
		{"block", wire.TypeBlock, nil, nil},
		{"missing", wire.TypeBlocksMissing, &wire.BlocksMissing{ID: 1, CIDs: []cid.Cid{id}, Code: wire.CodeNotHosting}, &wire.BlocksMissing{}},
		{"error", wire.TypeError, busy, &wire.Error{}},
	} {
		payload := append(bytes.Clone(wire.BlockHead(id)), data...)
		if c.msg != nil {
			if payload, err = wire.Encode(c.msg); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		w := frame.NewWriter(&out)
		if err := w.Write(c.typ, payload); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if h := hex.EncodeToString(out.Bytes()); !strings.Contains(text, "`"+h+"`") {
			t.Errorf("the spec lacks the %s `%s`", c.name, h)
		}
		limits := wire.BlocksClientLimits()
		if c.typ == wire.TypeBlocksRequest {
			limits = wire.BlocksServerLimits()
		}
		typ, got, err := frame.NewReader(&out, limits).Next()
		if err != nil || typ != c.typ {
			t.Fatalf("%s: type %d, %v", c.name, typ, err)
		}
		if c.msg == nil {
			named, err := wire.BlockCID(got[:wire.BlockHeadSize])
			if err != nil || named != id || wire.CIDOf(got[wire.BlockHeadSize:]) != id {
				t.Errorf("block: names %s, %v", named, err)
			}
			continue
		}
		if err := wire.Decode(got, c.back); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if again, err := wire.Encode(c.back); err != nil || !bytes.Equal(again, payload) {
			t.Errorf("%s: written again %x, %v", c.name, again, err)
		}
	}
	if !strings.Contains(text, id.String()) {
		t.Errorf("the spec lacks %s", id)
	}
}
