package wire_test

import (
	"bytes"
	"testing"

	"github.com/covey-network/covey/protocol/wire"
)

// FuzzDecode feeds the same bytes to every message: what decodes must be valid, and must
// encode to bytes that decode to the same bytes again.
func FuzzDecode(f *testing.F) {
	for _, e := range examples(f) {
		b, err := wire.Encode(e.made)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range empties() {
			if wire.Decode(data, m) != nil {
				continue
			}
			b, err := wire.Encode(m)
			if err != nil {
				t.Fatalf("%T decodes but does not encode: %v", m, err)
			}
			if err := wire.Decode(b, m); err != nil {
				t.Fatalf("%T: %x does not decode: %v", m, b, err)
			}
			again, err := wire.Encode(m)
			if err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%T: %x becomes %x: %v", m, b, again, err)
			}
		}
	})
}

func empties() []wire.Message {
	return []wire.Message{
		new(wire.Grant), new(wire.Membership), new(wire.Hello), new(wire.Token), new(wire.Revocation), new(wire.Error),
		new(wire.BlocksRequest), new(wire.BlocksMissing), new(wire.InferOpen), new(wire.InferOpened), new(wire.InferStep),
		new(wire.InferResult), new(wire.InferClose), new(wire.Advert),
	}
}

// FuzzParseToken checks that what parses has one text form.
func FuzzParseToken(f *testing.F) {
	text, err := token(f).Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("covey1")
	f.Fuzz(func(t *testing.T, in string) {
		tok, err := wire.ParseToken(in)
		if err != nil {
			return
		}
		if _, err := tok.Text(); err != nil {
			t.Fatalf("parses but has no text: %v", err)
		}
	})
}

// FuzzOpenAdvert looks for panics behind the signature check.
func FuzzOpenAdvert(f *testing.F) {
	b, err := wire.SignAdvert(key(peerA), advert())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := wire.OpenAdvert(data, wire.SwarmIDOf(public(swarmKey)))
		if err == nil && a.Validate() != nil {
			t.Fatal("an invalid advert opens")
		}
	})
}
