// Package vision runs networks that classify images: a list of layers, from which ResNets
// and plain convolutional networks are made. [Config] is the list together with how a picture
// becomes the numbers that the first layer takes; [ResNet] writes the list of a residual
// network as torchvision and timm have it.
//
// The main type is [Stage], a whole model: image models are not split. It holds weights and
// scratch memory and is for one call at a time. A batch norm is folded into the convolution
// before it while loading, in float64. Every output of a convolution is one chain of fused
// multiply-adds, so scores have the same bits on every instruction set and for any number of
// threads.
package vision
