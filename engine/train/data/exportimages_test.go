package data

import "context"

// FingerprintOf is [Folder.Fingerprint] with the limit of what is read whole.
func FingerprintOf(f *Folder, whole int64) (string, error) {
	return f.fingerprint(context.Background(), whole)
}

// TakeFrom takes bytes of a budget and returns what gives them back.
func TakeFrom(b *Budget, bytes int64) (give func()) { return b.take(bytes) }

// MemoryOf returns the memory that decoding a file may take.
func MemoryOf(file []byte) (int64, error) {
	p, err := openPicture(file, 0)
	if err != nil {
		return 0, err
	}
	return p.bytes, nil
}
