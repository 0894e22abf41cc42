// Package mlp runs perceptrons on the rows of a table: what the columns mean, then linear
// layers with an activation between them, which score labels or predict a number. [Config]
// describes a model, [Stage] is a loaded one; it takes any number of rows at once and is for
// one call at a time. Perceptrons on images belong to package vision.
package mlp
