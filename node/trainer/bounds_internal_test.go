package trainer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// settings returns settings that are valid.
func settings(t *testing.T) train.Settings {
	t.Helper()
	j := new(job.Job)
	j.Train.Steps = 1000
	s, err := settingsOf(j, 1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func announcement(peer string, n int, issued int64) *train.Announce {
	return &train.Announce{Peer: wire.PeerID(peer), Job: train.HashOf(fmt.Append(nil, n)), Name: fmt.Sprint("job ", n), Issued: issued}
}

// TestBoardIsBounded has peers announce more than is kept, of one peer and of all.
func TestBoardIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000, 0)
	b := newBoard(func() time.Time { return now })
	took := 0
	for i := range 2 * maxOfPeer {
		if b.put(announcement("one", i, 1), nil) {
			took++
		}
	}
	if took != maxOfPeer || len(b.list) != maxOfPeer {
		t.Errorf("%d announcements of one peer are taken, want %d", took, maxOfPeer)
	}
	for i := range 2 * maxBoard {
		b.put(announcement(fmt.Sprint("peer ", i), i, 1), nil)
	}
	if len(b.list) != maxBoard {
		t.Errorf("%d announcements are kept, want %d", len(b.list), maxBoard)
	}
	if b.put(announcement("one", 0, 1), nil) || !b.put(announcement("one", 0, 2), nil) {
		t.Error("an announcement that is no news is taken, or one that is news is not")
	}
	now = now.Add(announced + time.Second)
	if !b.put(announcement("new", 1, 1), nil) || len(b.list) != 1 {
		t.Errorf("%d announcements after their time, want 1", len(b.list))
	}
}

// TestFewAnnounce leaves it to others to announce a job while two of them do.
func TestFewAnnounce(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000, 0)
	b := newBoard(func() time.Time { return now })
	job := announcement("one", 1, 1).Job
	lately := func(want int, why string) {
		t.Helper()
		if got := b.lately(job, "me", announceEvery); got != want {
			t.Errorf("%s: %d others announce the job, want %d", why, got, want)
		}
	}
	lately(0, "nobody")
	for _, p := range []string{"me", "one", "two"} {
		b.put(announcement(p, 1, 1), nil)
	}
	b.put(announcement("three", 2, 1), nil) // another job
	lately(2, "two")
	now = now.Add(announceEvery)
	b.put(announcement("two", 1, 2), nil)
	now = now.Add(time.Second)
	lately(1, "one of them is silent")
	s := &session{me: "c", job: &train.Job{Initiator: "a"}}
	v := &view{members: []wire.PeerID{"a", "b", "c"}}
	if got := s.patience(v); got != 3*tellEvery {
		t.Errorf("the third member waits for %v", got)
	}
	if s.me = "a"; s.patience(v) != 0 {
		t.Error("the initiator waits")
	}
}

// TestInitiatorIsAskedFirst while it announces its job, and last when it does not.
func TestInitiatorIsAskedFirst(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000, 0)
	b := newBoard(func() time.Time { return now })
	b.put(announcement("a", 1, 1), nil)
	b.put(announcement("z", 1, 1), nil)
	id := announcement("z", 1, 1).Job
	if got := fmt.Sprint(b.peers(id, "z"), b.peers(id, "m")); got != fmt.Sprint([]wire.PeerID{"z", "a"}, []wire.PeerID{"a", "z", "m"}) {
		t.Errorf("peers %s", got)
	}
}

// TestRecordIsBounded adds more events than are kept: the last steps, and all validations, are.
func TestRecordIsBounded(t *testing.T) {
	t.Parallel()
	r := newRecord()
	const each = 10 * keptSteps
	for i := range each {
		r.add(Event{Step: &job.Progress{Step: i}})
		if i%keptSteps == 0 {
			r.add(Event{Validation: &job.Validation{Step: i}})
		}
	}
	for range 2 * keptLeftOut {
		r.add(Event{LeftOut: &LeftOut{}})
	}
	events, err := r.after(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var steps, validations, leftOut int
	for i, e := range events {
		if i > 0 && e.Seq <= events[i-1].Seq {
			t.Fatalf("event %d follows event %d", e.Seq, events[i-1].Seq)
		}
		switch {
		case e.Step != nil:
			steps++
		case e.Validation != nil:
			validations++
		case e.LeftOut != nil:
			leftOut++
		}
	}
	if steps < keptSteps || steps >= 2*keptSteps || validations != 10 || leftOut != keptLeftOut {
		t.Errorf("%d steps, %d validations, %d left out are kept", steps, validations, leftOut)
	}
	if step, v := r.last(); step.Step != each-1 || v.Step != 9*keptSteps {
		t.Errorf("the last step is %d, the last validation %d", step.Step, v.Step)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.after(ctx, events[len(events)-1].Seq); err == nil {
		t.Error("there are events after the last one")
	}
}
