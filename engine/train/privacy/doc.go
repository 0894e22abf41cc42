// Package privacy bounds what numbers tell of the samples that they were learned from: an
// accountant of (epsilon, delta) differential privacy for training with clipped gradients of
// single samples, Gaussian noise and batches drawn by chance (DP-SGD, Abadi et al. 2016, arXiv
// 1607.00133), and the source of that noise and chance.
//
// The main types are [Accountant] and [Source]. What an accountant says holds for whoever sees
// all that came of the steps, but not the source's seed: two sets of samples that differ in one
// sample, which one has and the other has not, make any of it about as likely, up to a factor of
// e to the epsilon and but for a probability of delta.
//
// Neither type is safe for concurrent use. Importers are engine/train and those who train.
package privacy
