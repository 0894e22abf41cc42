package wire

import (
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
)

// The frame types, one space for all protocols. No number is reused.
const (
	TypeHello frame.Type = 1 // Hello
	TypeError frame.Type = 2 // Error: on any protocol

	TypeBlocksRequest frame.Type = 16 // BlocksRequest
	TypeBlock         frame.Type = 17 // a block: digest and bytes, see AppendBlockHead
	TypeBlocksMissing frame.Type = 18 // BlocksMissing

	TypeInferOpen   frame.Type = 32 // InferOpen
	TypeInferOpened frame.Type = 33 // InferOpened
	TypeInferStep   frame.Type = 34 // InferStep
	TypeInferResult frame.Type = 35 // InferResult
	TypeInferClose  frame.Type = 36 // InferClose
	TypeTensor      frame.Type = 37 // a tensor, after a step or result that announces it
	TypeProgress    frame.Type = 38 // InferProgress

	TypeAdvert     frame.Type = 48 // a signed advert, as it is gossiped
	TypeAdvertSums frame.Type = 49 // what tells the adverts apart that a peer has, protocol.AdvertSum bytes each

	TypeRenew   frame.Type = 64 // Membership: the one to renew
	TypeRenewed frame.Type = 65 // Membership: the new one

	TypeRevocation frame.Type = 66 // SignedRevocation
)

// HelloLimits returns what either side of a hello stream accepts.
func HelloLimits() frame.Limits {
	return frame.Limits{TypeHello: protocol.MaxHello, TypeError: protocol.MaxControl}
}

// AdvertsLimits returns what the asking side of an adverts stream accepts.
func AdvertsLimits() frame.Limits {
	return frame.Limits{TypeAdvert: protocol.MaxAdvert, TypeError: protocol.MaxControl}
}

// SwapLimits returns what either side of a swap stream accepts.
func SwapLimits() frame.Limits {
	return frame.Limits{TypeAdvert: protocol.MaxAdvert, TypeAdvertSums: protocol.MaxAdverts * protocol.AdvertSum, TypeError: protocol.MaxControl}
}

// RenewServerLimits returns what the granting side of a renew stream accepts.
func RenewServerLimits() frame.Limits {
	return frame.Limits{TypeRenew: protocol.MaxHello, TypeError: protocol.MaxControl}
}

// RenewClientLimits returns what the asking side of a renew stream accepts.
func RenewClientLimits() frame.Limits {
	return frame.Limits{TypeRenewed: protocol.MaxHello, TypeError: protocol.MaxControl}
}

// RevokeLimits returns what the receiving side of a revoke stream accepts.
func RevokeLimits() frame.Limits {
	return frame.Limits{TypeRevocation: protocol.MaxRevocation, TypeError: protocol.MaxControl}
}

// BlocksServerLimits returns what the serving side of a blocks stream accepts.
func BlocksServerLimits() frame.Limits {
	return frame.Limits{TypeBlocksRequest: protocol.MaxBlocksRequest, TypeError: protocol.MaxControl}
}

// BlocksClientLimits returns what the asking side of a blocks stream accepts.
func BlocksClientLimits() frame.Limits {
	return frame.Limits{
		TypeBlock:         BlockHeadSize + protocol.MaxBlock,
		TypeBlocksMissing: protocol.MaxBlocksRequest,
		TypeError:         protocol.MaxControl,
	}
}

// InferServerLimits returns what a worker accepts from the side that opened the session.
// maxTensor is the largest tensor payload of the stage, header included: a worker that
// knows its model gives less than protocol.MaxTensor.
func InferServerLimits(maxTensor int) frame.Limits {
	return frame.Limits{
		TypeInferOpen:  protocol.MaxInferOpen,
		TypeInferStep:  protocol.MaxInferStep,
		TypeInferClose: protocol.MaxControl,
		TypeError:      protocol.MaxControl,
		TypeTensor:     min(maxTensor, protocol.MaxTensor+protocol.MaxTensorHeader),
	}
}

// InferClientLimits returns what the side that opened the session accepts.
func InferClientLimits(maxTensor int) frame.Limits {
	return frame.Limits{
		TypeInferOpened: protocol.MaxControl,
		TypeInferResult: protocol.MaxInferResult,
		TypeProgress:    protocol.MaxControl,
		TypeInferClose:  protocol.MaxControl,
		TypeError:       protocol.MaxControl,
		TypeTensor:      min(maxTensor, protocol.MaxTensor+protocol.MaxTensorHeader),
	}
}
