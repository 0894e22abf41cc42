package digest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dumb is the root as its definition says.
func dumb(message []byte) [32]byte {
	b := binary.LittleEndian.AppendUint64([]byte("covey/train/data/1\x00"), uint64(len(message)))
	for len(message) > 0 {
		n := min(65536, len(message))
		leaf := sha256.Sum256(message[:n])
		b, message = append(b, leaf[:]...), message[n:]
	}
	return sha256.Sum256(b)
}

// TestTree hashes messages that come in parts of all sizes, of lengths around whole pieces.
func TestTree(t *testing.T) {
	t.Parallel()
	const p = PieceBytes
	rng := rand.New(rand.NewPCG(1, 2))
	message := make([]byte, 7*p+100)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(message)
	for _, n := range []int{0, 1, 63, p - 1, p, p + 1, 2*p - 1, 2 * p, 2*p + 1, 3 * p, 4 * p, 4*p + 7, 7*p + 100} {
		want := dumb(message[:n])
		if got := Root(message[:n]); got != want {
			t.Errorf("%d bytes at once: %x, want %x", n, got, want)
		}
		tree := new(Tree)
		for at := 0; at < n; at = min(n, at+1+rng.IntN(p)) {
			tree.Add(message[:at])
		}
		if got := tree.Root(message[:n]); got != want {
			t.Errorf("%d bytes in parts: %x, want %x", n, got, want)
		}
	}
}

// TestSpecDataHash compares with the page of the protocol.
func TestSpecDataHash(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "protocol", "spec", "train.md"))
	if err != nil {
		t.Fatal(err)
	}
	root := Root(bytes.Repeat([]byte{7}, 65538))
	if !strings.Contains(string(page), "Data hash of 65,538 bytes, each of them 7:\n```\n"+hex.EncodeToString(root[:])+"\n```") {
		t.Errorf("%x is not what protocol/spec/train.md says", root)
	}
}

// TestTreeOfParts: no part of a message, nor what is hashed of it, has the root of the message.
func TestTreeOfParts(t *testing.T) {
	t.Parallel()
	message := make([]byte, 2*PieceBytes)
	root := Root(message)
	a, b := sha256.Sum256(message[:PieceBytes]), sha256.Sum256(message[PieceBytes:])
	for name, other := range map[string][]byte{
		"one byte less": message[1:], "one byte more": append(message[:len(message):len(message)], 0), "its hashes": append(a[:], b[:]...), "one piece": message[:PieceBytes],
	} {
		if Root(other) == root {
			t.Errorf("%s: the same root", name)
		}
	}
}
