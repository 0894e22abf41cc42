package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

var update = flag.Bool("update", false, "rewrite the vectors in the spec pages")

// vectorLine is how many characters of a vector stand in one line of a page.
const vectorLine = 140

// specVectors returns the vectors of each page by the line in front of them.
func specVectors(t *testing.T) map[string]map[string]string {
	t.Helper()
	encode := func(m wire.Message) []byte {
		b, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	whole := func(typ frame.Type, parts ...[]byte) string {
		var buf bytes.Buffer
		w := frame.NewWriter(&buf)
		if err := errors.Join(w.Write(typ, parts...), w.Flush()); err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(buf.Bytes())
	}
	tensor := func(shape []int, x ...float32) string {
		data, err := binary.Append(nil, binary.LittleEndian, x)
		if err != nil {
			t.Fatal(err)
		}
		in := frame.Tensor{DType: frame.F32, Shape: shape, Data: data}
		head, err := in.Header()
		if err != nil {
			t.Fatal(err)
		}
		return whole(wire.TypeTensor, head, in.Data)
	}
	made := func(name string) []byte { return encode(examples(t)[name].made) }
	text, err := token(t).Text()
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := wire.SignRevocation(key(swarmKey), examples(t)["revocation"].made.(*wire.Revocation))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]map[string]string{
		"frame.md": {
			"Close without a reason (type 36, an empty map)": whole(wire.TypeInferClose, encode(&wire.InferClose{})),
			`Error busy, "full", after 500 ms`:               whole(wire.TypeError, encode(&wire.Error{Code: wire.CodeBusy, Message: "full", RetryAfterMs: 500})),
			"Tensor of float32, 2 x 3, with 1, -2.5, +Inf, a NaN with payload 1, 0, -0": tensor([]int{2, 3},
				1, -2.5, float32(math.Inf(1)), math.Float32frombits(0x7fc00001), 0, float32(math.Copysign(0, -1))),
		},
		"hello.md": {
			"Grant, bytes that are signed": hex.EncodeToString(made("grant")),
			"Membership of peer A":         hex.EncodeToString(made("membership")),
			"Hello of peer A, whole frame": whole(wire.TypeHello, made("hello")),
			"Error foreign, whole frame":   whole(wire.TypeError, encode(wire.Errorf(wire.CodeForeign, "%v", wire.ErrForeign))),
		},
		"token.md": {
			"Token, bytes":                      hex.EncodeToString(made("token")),
			"Token, text":                       text,
			"Revocation, bytes that are signed": hex.EncodeToString(revoked.Payload),
			"Revocation, signature":             hex.EncodeToString(revoked.Signature),
			"Revocation, whole frame":           whole(wire.TypeRevocation, encode(&wire.SignedRevocation{Signed: revoked})),
		},
		"renew.md": {
			"Renew, whole frame, from peer A with the membership of hello":                 whole(wire.TypeRenew, made("membership")),
			"Renewed, whole frame, from the founder: until 90 days later":                  whole(wire.TypeRenewed, made("renewed")),
			"Renewed, whole frame, from peer A as a deputy to peer B: until 30 days later": whole(wire.TypeRenewed, made("of deputy")),
		},
		"adverts.md": {
			"Advert, bytes that are signed":                            hex.EncodeToString(made("advert")),
			"Lost peer, bytes that are signed: peer A has lost peer B": hex.EncodeToString(made("lost")),
			"Advert, signature":                                        hex.EncodeToString(signatureOf(t)),
		},
		"infer.md": {
			"Open to peer A": whole(wire.TypeInferOpen, made("infer open")),
			"Opened":         whole(wire.TypeInferOpened, made("infer opened")),
			"Step 1 of three tokens, which wants the next one": whole(wire.TypeInferStep,
				encode(&wire.InferStep{Seq: 1, Tokens: []int32{1, 300, 70000}, Want: wire.WantToken, PromptLen: 3})),
			"Hidden state of 1 x 2, 0.5 and -1":   tensor([]int{1, 2}, 0.5, -1),
			"Result":                              whole(wire.TypeInferResult, made("infer result")),
			"Progress while peer B is waited for": whole(wire.TypeProgress, made("infer progress")),
			"Error upstream at step 3, peer B":    whole(wire.TypeError, made("error")),
			"Close":                               whole(wire.TypeInferClose, made("infer close")),
		},
	}
}

// signatureOf returns the signature of the example advert, which stands at the end of what
// is gossiped.
func signatureOf(t *testing.T) []byte {
	t.Helper()
	b, err := wire.SignAdvert(key(peerA), advert())
	if err != nil {
		t.Fatal(err)
	}
	return b[len(b)-64:]
}

// TestSpecVectors holds the vectors in the spec pages to the code, in both directions.
func TestSpecVectors(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?m)^([^\n]+):\n```\n((?:[0-9a-z]+\n)*)```$")
	for page, vectors := range specVectors(t) {
		path := filepath.Join("..", "spec", page)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if id := advert().Models[0].Model.String(); page == "adverts.md" && !strings.Contains(string(data), id) {
			t.Errorf("%s: the model's identifier is %s", page, id)
		}
		seen := 0
		out := block.ReplaceAllStringFunc(string(data), func(found string) string {
			m := block.FindStringSubmatch(found)
			want, known := vectors[m[1]]
			if !known {
				t.Errorf("%s: %q is not made by the code", page, m[1])
				return found
			}
			seen++
			if got := strings.ReplaceAll(m[2], "\n", ""); got != want && !*update {
				t.Errorf("%s: %s:\ngot  %s\nwant %s", page, m[1], got, want)
			}
			return m[1] + ":\n```\n" + wrap(want) + "```"
		})
		if seen != len(vectors) {
			t.Errorf("%s: %d vectors in the page, %d in the code", page, seen, len(vectors))
		}
		if *update {
			if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
}

func wrap(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n := min(vectorLine, len(s))
		b.WriteString(s[:n] + "\n")
		s = s[n:]
	}
	return b.String()
}

// TestSpecVectorsDecode reads the vectors as a peer would.
func TestSpecVectorsDecode(t *testing.T) {
	t.Parallel()
	v := specVectors(t)
	limits := frame.Limits{
		wire.TypeHello: 1 << 12, wire.TypeError: 1 << 13, wire.TypeInferOpen: 1 << 16, wire.TypeInferOpened: 1 << 13,
		wire.TypeRenew: 1 << 12, wire.TypeRenewed: 1 << 12, wire.TypeRevocation: 1 << 16,
		wire.TypeInferStep: 1 << 15, wire.TypeInferResult: 1 << 18, wire.TypeInferClose: 1 << 13,
	}
	for _, c := range []struct {
		page, name string
		m          wire.Message
	}{
		{"hello.md", "Hello of peer A, whole frame", new(wire.Hello)},
		{"hello.md", "Error foreign, whole frame", new(wire.Error)},
		{"renew.md", "Renewed, whole frame, from peer A as a deputy to peer B: until 30 days later", new(wire.Membership)},
		{"token.md", "Revocation, whole frame", new(wire.SignedRevocation)},
		{"infer.md", "Open to peer A", new(wire.InferOpen)},
		{"infer.md", "Opened", new(wire.InferOpened)},
		{"infer.md", "Step 1 of three tokens, which wants the next one", new(wire.InferStep)},
		{"infer.md", "Result", new(wire.InferResult)},
		{"infer.md", "Close", new(wire.InferClose)},
	} {
		b, err := hex.DecodeString(v[c.page][c.name])
		if err != nil {
			t.Fatal(err)
		}
		_, payload, err := frame.NewReader(bytes.NewReader(b), limits).Next()
		if err == nil {
			err = wire.Decode(payload, c.m)
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	h := new(wire.Hello)
	b, err := hex.DecodeString(v["hello.md"]["Membership of peer A"])
	if err == nil {
		err = wire.Decode(b, &h.Membership)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Membership.Verify(wire.SwarmIDOf(public(swarmKey)), wire.PeerIDOf(public(peerA)), start); err != nil {
		t.Error(err)
	}
	if _, err := wire.ParseToken(v["token.md"]["Token, text"]); err != nil {
		t.Error(err)
	}
}
