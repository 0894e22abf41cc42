// Package data turns files into the batches that training reads: folders of images by
// class, text packed to sequences of tokens, and tables of separated values as people export them.
//
// A [Dataset] is a numbered set of samples ([Folder], [Text], [Table], or a [Subset] of
// one). A [Loader] decides which samples make up a batch: it shuffles by (seed, epoch),
// keeps the part of one peer out of several, and its [Iterator] prepares batches ahead on
// goroutines of its own. What an iterator gives depends on the dataset, the configuration and
// the [Cursor] it starts from, never on the number of workers: random draws of a sample
// come from (seed, epoch, sample) and all arithmetic is written so that every machine
// computes the same bits. The one part that is not ours is image/jpeg, whose bits may
// change between releases of Go.
//
// A file that cannot be read or decoded is a [Bad] sample: reported with its name and the
// reason, skipped and counted. Sizes are checked against limits before memory is taken.
//
// Images are made as Pillow 13.0 and torchvision 0.29 make them. Resizing, cropping and
// flipping of the same RGB pixels give Pillow's bits, affine transforms differ by at most
// one step of 255, all formats but JPEG decode to Pillow's pixels and JPEG to within 3 steps of
// 255 (19 values of 20 are equal: the inverse transforms of image/jpeg and libjpeg round apart).
//
// Datasets and pipelines are safe for concurrent use; an iterator belongs to one goroutine.
// The package imports nothing of ours; training and serving prepare their inputs with it.
package data
