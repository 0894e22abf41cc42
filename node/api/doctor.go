package api

import "time"

// States of a finding.
const (
	FindingOK      = "ok"
	FindingWarn    = "warn"    // works, but not as well as it could, or not for long
	FindingFail    = "fail"    // does not work
	FindingUnknown = "unknown" // could not be told
)

// Finding is what a check found.
type Finding struct {
	Check string `json:"check"`
	State string `json:"state"`
	Code  string `json:"code,omitempty"` // of a trouble with the membership, for programs: one of Trouble…
	What  string `json:"what"`           // in a line, with numbers
	Do    string `json:"do,omitempty"`   // in a line; empty if nothing is to be done
}

// Diagnosis is what covey doctor found.
type Diagnosis struct {
	Running  bool          `json:"running"` // a node runs, and was asked
	DataDir  string        `json:"data_dir"`
	Took     time.Duration `json:"took_ns"`
	Findings []Finding     `json:"findings"`
}

// Failed lists the findings that fail.
func (d *Diagnosis) Failed() (out []Finding) {
	for _, f := range d.Findings {
		if f.State == FindingFail {
			out = append(out, f)
		}
	}
	return out
}

// SecondNode tells a node that another one was started on its data directory and refused.
type SecondNode struct {
	PID int `json:"pid"`
}
