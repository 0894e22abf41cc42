//go:build !amd64 || noasm

package digest

const pairs, sixteen = false, false

func addPair(_, _ []byte, _ *state) { panic("digest: no pairs") }

func addSixteen(_ *[Lanes][]byte, _ *states) { panic("digest: no sixteen") }
