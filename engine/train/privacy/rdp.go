package privacy

import "math"

// sampled returns the Rényi divergence of an order that one step adds: of the Gaussian mechanism
// of sensitivity 1 and deviation noise on samples that each take part with probability rate
// (Mironov, Talwar, Zhang 2019, arXiv 1908.10530). Infinite where it cannot be told.
func sampled(rate, noise, order float64) float64 {
	switch {
	case rate == 0:
		return 0
	case noise == 0:
		return math.Inf(1)
	case rate == 1:
		return order / (2 * noise * noise)
	}
	a := logMomentWhole
	if order != math.Trunc(order) {
		a = logMoment
	}
	if e := a(rate, noise, order) / (order - 1); e >= 0 {
		return e
	}
	return math.Inf(1) // not a number, or below zero: too few digits
}

// logMomentWhole is the logarithm of the moment A of a whole order: the sum of section 3.3 of the
// paper over all binomial terms.
func logMomentWhole(rate, noise, order float64) float64 {
	sum := math.Inf(-1)
	for i := 0.0; i <= order; i++ {
		term := logBinomial(order, i) + i*math.Log(rate) + (order-i)*math.Log1p(-rate) + i*(i-1)/(2*noise*noise)
		sum = logAdd(sum, term)
	}
	return sum
}

// enough is how small the logarithm of a term of logMoment is that ends the sum: beyond, terms
// only get smaller. Opacus has the same.
const enough = -30

// logMoment is the logarithm of the moment A of any order above 1: the line is cut where the two
// densities meet, and each half is a series of binomial terms whose signs change in the end
// (section 3.3 of the paper).
func logMoment(rate, noise, order float64) float64 {
	meet := noise*noise*math.Log(1/rate-1) + 0.5
	scale := math.Sqrt2 * noise
	var sums [2][2]float64 // of the halves, terms that are added and those that are taken off
	for i := range sums {
		sums[i] = [2]float64{math.Inf(-1), math.Inf(-1)}
	}
	logBin, sign := 0.0, 0 // of order over i
	for i := 0.0; ; i++ {
		j := order - i
		left := logBin + i*math.Log(rate) + j*math.Log1p(-rate) + (i*i-i)/(2*noise*noise) + logHalfErfc((i-meet)/scale)
		right := logBin + j*math.Log(rate) + i*math.Log1p(-rate) + (j*j-j)/(2*noise*noise) + logHalfErfc((meet-j)/scale)
		sums[0][sign] = logAdd(sums[0][sign], left)
		sums[1][sign] = logAdd(sums[1][sign], right)
		if i > order && max(left, right) < enough {
			break
		}
		// order over i+1 is that over i times (order-i) / (i+1).
		logBin += math.Log(math.Abs(j)) - math.Log(i+1)
		if j < 0 {
			sign = 1 - sign
		}
	}
	return logAdd(logSub(sums[0][0], sums[0][1]), logSub(sums[1][0], sums[1][1]))
}

// logBinomial is the logarithm of n over k.
func logBinomial(n, k float64) float64 {
	return lgamma(n+1) - lgamma(k+1) - lgamma(n-k+1)
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}

// farTail is where erfc is close to what a float64 can hold; beyond, its series is exact.
const farTail = 25

// logHalfErfc is the logarithm of erfc(x)/2.
func logHalfErfc(x float64) float64 {
	if x < farTail {
		return math.Log(math.Erfc(x) / 2)
	}
	y := 1 / (2 * x * x) // Abramowitz and Stegun 7.1.23
	return -x*x - math.Log(2*x*math.Sqrt(math.Pi)) + math.Log1p(-y*(1-3*y*(1-5*y*(1-7*y))))
}

// logAdd is the logarithm of the sum of what a and b are the logarithms of.
func logAdd(a, b float64) float64 {
	a, b = max(a, b), min(a, b)
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// logSub is the logarithm of the difference; not a number where b is larger.
func logSub(a, b float64) float64 {
	switch {
	case math.IsInf(b, -1):
		return a
	case a == b:
		return math.Inf(-1)
	}
	return a + math.Log(-math.Expm1(b-a))
}
