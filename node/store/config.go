package store

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	cid "github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/shirou/gopsutil/v4/disk"
)

// Config is what a Store needs to know.
type Config struct {
	// Dir is the data directory, made if absent. One process has it open at a time.
	Dir string
	// Limit is how many bytes the store may occupy on disk; 0 is no limit.
	Limit int64
	// MarginBytes and MarginPercent say how much of the disk stays free whatever the
	// limit: the greater of the two, and not less than the database needs for files of its
	// own. Zero values mean 512 MiB, of a disk of less than 2 GiB a quarter (Linux), and 5 %.
	MarginBytes   int64
	MarginPercent float64
	// Links returns what a block of structure refers to: further blocks of structure and
	// plain blocks. Nil means that pins protect only the pinned block.
	Links func(data []byte) (nodes, leaves []cid.Cid, err error)
	// InUse returns what GC keeps beside what is pinned, as far as it is here, with all that it
	// reaches. Nil is nothing. It is not called before Open has returned.
	InUse func() []cid.Cid
	// OnQuarantine, if not nil, is called for every block found damaged, without locks.
	OnQuarantine func(Quarantined)
	// Every is how often Run reclaims space; 0 means 10 minutes.
	Every time.Duration
	// Log gets what the operator should know; nil discards it.
	Log *slog.Logger
	// Registry gets the metrics; nil keeps none.
	Registry prometheus.Registerer
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Space returns the free and total bytes of the disk that holds a directory; nil asks
	// the operating system.
	Space func(dir string) (free, total int64, err error)

	tuning *tuning // nil is the default; benchmarks compare others
}

// The least that stays free on a disk, for its other users too.
const (
	defaultMarginBytes   = 512 << 20
	smallDiskPart        = 4 // of a small disk not more than a quarter
	defaultMarginPercent = 5
	defaultEvery         = 10 * time.Minute
)

// Validate reports every field that is out of range.
func (c *Config) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("no directory"))
	}
	if c.Limit < 0 {
		errs = append(errs, fmt.Errorf("limit of %d bytes", c.Limit))
	}
	if c.MarginBytes < 0 || c.MarginPercent < 0 || c.MarginPercent >= 100 {
		errs = append(errs, fmt.Errorf("margin of %d bytes or %g %%", c.MarginBytes, c.MarginPercent))
	}
	if c.Every < 0 {
		errs = append(errs, fmt.Errorf("interval of %v", c.Every))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.MarginPercent == 0 {
		c.MarginPercent = defaultMarginPercent
	}
	if c.Every == 0 {
		c.Every = defaultEvery
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Space == nil {
		c.Space = DiskSpace
	}
	if c.tuning == nil {
		t := defaultTuning()
		c.tuning = &t
	}
	return c
}

// DiskSpace returns the free and total bytes of the disk that holds a directory.
func DiskSpace(dir string) (free, total int64, err error) {
	u, err := disk.Usage(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("ask for free space of %q: %w", dir, err)
	}
	return int64(u.Free), int64(u.Total), nil
}
