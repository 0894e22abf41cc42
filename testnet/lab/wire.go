package lab

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// Wire is a long line: kernels of containers often have no netem, so this program carries what
// passes it from one virtual device (TAP) to another. It has no rate of its own.
type Wire struct {
	Delay time.Duration // each way
	Loss  float64       // the part of the packets that gets lost each way: 0 to 1
	Seed  uint64        // of what gets lost
}

// Validate reports a wire that cannot be.
func (w Wire) Validate() error {
	if w.Delay < 0 || w.Loss < 0 || w.Loss > 1 {
		return fmt.Errorf("wire of delay %s and loss %v", w.Delay, w.Loss)
	}
	return nil
}

const (
	wireQueue = 1 << 14  // packets under way, each way; more are lost
	wireFrame = 64 << 10 // bytes of a packet, at most
)

// packet is on its way.
type packet struct {
	due  time.Time
	data []byte
}

// carry moves packets one way until src is closed. One write is one packet. What dst does not take
// is lost.
func (w Wire) carry(dst io.Writer, src io.Reader, rng *rand.Rand) {
	queue := make(chan packet, wireQueue)
	var writer sync.WaitGroup
	writer.Go(func() {
		for p := range queue {
			time.Sleep(time.Until(p.due))
			_, _ = dst.Write(p.data) // a device that is down takes none
		}
	})
	buf := make([]byte, wireFrame)
	for {
		n, err := src.Read(buf)
		if err != nil {
			break
		}
		if rng.Float64() < w.Loss {
			continue
		}
		select {
		case queue <- packet{time.Now().Add(w.Delay), bytes.Clone(buf[:n])}:
		default: // the queue is full
		}
	}
	close(queue)
	writer.Wait()
}

// stretched is a wire that carries.
type stretched struct {
	ends [2]io.ReadWriteCloser
	runs sync.WaitGroup
}

// stretch carries what passes between the devices of two namespaces, until it is closed.
func (w Wire) stretch(space, dev, farSpace, farDev string) (_ *stretched, err error) {
	near, err := openTap(space, dev)
	if err != nil {
		return nil, err
	}
	far, err := openTap(farSpace, farDev)
	if err != nil {
		_ = near.Close()
		return nil, err
	}
	s := &stretched{ends: [2]io.ReadWriteCloser{near, far}}
	s.runs.Go(func() { w.carry(far, near, rand.New(rand.NewPCG(w.Seed, 0))) })
	s.runs.Go(func() { w.carry(near, far, rand.New(rand.NewPCG(w.Seed, 1))) })
	return s, nil
}

// close ends the wire; what is under way is lost.
func (s *stretched) close() {
	for _, e := range s.ends {
		_ = e.Close()
	}
	s.runs.Wait()
}
