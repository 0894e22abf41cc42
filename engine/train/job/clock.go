package job

import "time"

// clock measures the rate of a run. Validations do not count.
type clock struct {
	now   func() time.Time
	last  time.Time
	rate  float64 // samples a second, mean of about the last window
	speed float64 // steps a second, likewise
	steps int     // since the beginning
}

// window is how far back a rate looks.
const window = 10 * time.Second

func newClock(now func() time.Time) *clock {
	if now == nil {
		now = time.Now
	}
	return &clock{now: now}
}

func (c *clock) begin() { c.last = c.now() }

// pause leaves out the time since the last step.
func (c *clock) pause() { c.last = c.now() }

// step takes a step of some samples and returns the rate and the time that is left.
func (c *clock) step(step, steps, samples int) (rate float64, left time.Duration) {
	now := c.now()
	took := now.Sub(c.last)
	c.last = now
	c.steps++
	if took <= 0 {
		return c.rate, 0
	}
	if c.steps == 1 { // it makes the graph too
		c.rate, c.speed = float64(samples)/took.Seconds(), 1/took.Seconds()
		return c.rate, 0
	}
	share := min(1, took.Seconds()/window.Seconds())
	if c.steps < 20 {
		share = max(share, 1/float64(c.steps-1))
	}
	c.rate += share * (float64(samples)/took.Seconds() - c.rate)
	c.speed += share * (1/took.Seconds() - c.speed)
	if c.speed > 0 && steps > step {
		left = time.Duration(float64(steps-step) / c.speed * float64(time.Second))
	}
	return c.rate, left
}
