package store

import "testing"

// TestRunsFitIntoLogFiles adds up what a log file of values may get: it must stay below what
// the file is mapped at.
func TestRunsFitIntoLogFiles(t *testing.T) {
	t.Parallel()
	for _, lean := range []bool{false, true} {
		files := defaultTuning()
		s := &Store{cfg: Config{Dir: t.TempDir(), tuning: &files}}
		if s.lean.Store(lean); lean {
			files = s.leanTuning()
		}
		entries := max(1, int64(s.runBytes())/files.valueThreshold)
		run := max(int64(s.runBytes())+entries*(maxEntry-1<<20), maxEntry)
		if got := files.vlogFile + run; got >= 2*files.vlogFile {
			t.Errorf("lean %t: a log file of %d bytes gets a run of %d", lean, files.vlogFile, run)
		}
	}
}
