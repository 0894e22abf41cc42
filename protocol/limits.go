package protocol

import "time"

// Sizes of frames, in bytes. A reader checks them before it allocates.
const (
	// MaxFrame bounds every frame, type byte included, whatever its type: the largest
	// tensor and its header.
	MaxFrame = MaxTensor + MaxTensorHeader + 1
	// MaxTensor bounds the data of a tensor frame: 512 positions of width 16384 in float32.
	MaxTensor = 32 << 20
	// MaxTensorHeader bounds dtype, rank and dimensions in front of the data.
	MaxTensorHeader = 2 + MaxTensorRank*10
	// MaxTensorRank is enough for (batch, heads, positions, width).
	MaxTensorRank = 4
	// MaxHello bounds a hello: a membership is 300 to 600 bytes, the rest is room to grow.
	MaxHello = 4 << 10
	// MaxGrantBytes bounds a signed grant, MaxIssuer that of the deputy who signed one: both
	// and the rest of a hello fit into MaxHello.
	MaxGrantBytes = 2 << 10
	MaxIssuer     = 1 << 10
	// MaxRevocation bounds a signed list of revocations: 1024 grants and as many peers.
	MaxRevocation = 64 << 10
	// MaxControl bounds the small control messages: errors, closes, acknowledgements.
	MaxControl = 8 << 10
	// MaxBlock is the largest block: 1 MiB keeps verification fine-grained and the loss of
	// one transfer small.
	MaxBlock = 1 << 20
	// MaxBlocksRequest bounds a request of MaxBlockCIDs identifiers of 36 bytes and framing.
	MaxBlocksRequest = 16 << 10
	// MaxInferOpen bounds an open with MaxHops hops and their addresses.
	MaxInferOpen = 64 << 10
	// MaxInferStep bounds a step of MaxStepTokens token ids of at most five bytes.
	MaxInferStep = 32 << 10
	// MaxInferResult bounds a result of MaxStepTokens samples of which few carry logprobs.
	MaxInferResult = 256 << 10
	// MaxAdvert bounds a signed advert. Gossip floods every message to every peer, and
	// GossipSub drops messages over its own limit silently.
	MaxAdvert = 64 << 10
	// AdvertSum is how many bytes of the SHA-256 of a signed advert tell it apart in a swap.
	AdvertSum = 8
	// MaxLost bounds a signed word of a lost peer: it has a membership in it, as a hello has.
	MaxLost = MaxHello
	// MaxToken bounds the text of a join token: it is pasted by hand.
	MaxToken = 8 << 10
)

// Counts and text lengths inside messages.
const (
	// MaxBlockCIDs is the longest list in one blocks request: 256 MiB in flight at most.
	MaxBlockCIDs = 256
	// MaxHops is the longest chain: more would spend its time on the network.
	MaxHops = 64
	// MaxStepTokens is the largest prefill chunk; longer prompts take several steps.
	MaxStepTokens = 4096
	// MaxDraftTokens is the longest step that wants a token after each position: the logits
	// of a draft take a vocabulary of floats for each of its tokens.
	MaxDraftTokens = 64
	// MaxSessionTokens is the longest context a session may ask for.
	MaxSessionTokens = 1 << 20
	// MaxBlocksOfModel bounds block numbers: no published model has a tenth of it.
	MaxBlocksOfModel = 4096
	// MaxLogprobs is the OpenAI limit of alternatives at each position.
	MaxLogprobs = 20
	// MaxTextVersion, MaxTextMessage and MaxTextName bound short texts in bytes.
	MaxTextVersion = 64
	MaxTextMessage = 1 << 10
	MaxTextName    = 128
	// MaxRoles and MaxScopes bound the short lists of words in hellos and grants.
	MaxRoles  = 8
	MaxScopes = 8
	// MaxWord bounds a role or a scope.
	MaxWord = 16
	// MaxAddrs bounds the addresses of one peer, MaxTextAddr the text of one address.
	MaxAddrs    = 16
	MaxTextAddr = 256
	// MaxAdverts bounds how many peers' adverts a peer keeps, and hands on at once.
	MaxAdverts = 4096
	// MaxAdvertBytes bounds the adverts a peer keeps, as they were sent: 4 KiB for each of 4096
	// peers. They take about four times as much when they are read.
	MaxAdvertBytes = 16 << 20
	// MaxGrantAdverts, MaxGrantAdvertBytes and MaxGrantModels bound what a peer keeps of the
	// peers that came with one invitation: one token cannot fill the table. A lecture hall is
	// 256 machines, with 10 models each.
	MaxGrantAdverts     = 512
	MaxGrantAdvertBytes = 2 << 20
	MaxGrantModels      = 4096
	// MaxAdvertModels, MaxAdvertRanges, MaxAdvertRTTs and MaxAdvertUnreached bound the lists of
	// an advert so that a full one stays below MaxAdvert.
	MaxAdvertModels    = 64
	MaxAdvertRanges    = 16
	MaxAdvertRTTs      = 64
	MaxAdvertUnreached = 32
	// MaxQueue bounds the steps that an advert says are waiting.
	MaxQueue = 1 << 16
)

// Limits of manifests.
const (
	// MaxModelBytes bounds the tensors of a model: 16 TiB is far above what is published,
	// and sums of it cannot overflow.
	MaxModelBytes = 16 << 40
	// MaxModelConfig bounds the JSON of a model's configuration.
	MaxModelConfig = 256 << 10
	// MaxChatTemplate bounds a chat template; the longest published ones have 30 KiB.
	MaxChatTemplate = 256 << 10
	// MaxTokenizer bounds a tokenizer's data, as engine/token does; the largest published
	// ones have 35 MB.
	MaxTokenizer = 96 << 20
	// MaxEOSIDs bounds the tokens that end a text.
	MaxEOSIDs = 64
	// MaxManifestLists bounds the part lists of a manifest: 64 MiB name 2 TiB of weights.
	MaxManifestLists = 64
	// MaxPartTensors bounds the tensors of one part: 512 experts of 8 tensors each.
	MaxPartTensors = 4096
)

// Limits of training together.
const (
	// MaxTrainMembers bounds the members that average at once: each holds a slice and signs.
	MaxTrainMembers = 64
	// MaxTrainPeers bounds the members of a job.
	MaxTrainPeers = 4096
	// MaxTrainValues bounds the floats of an update: 4 billion parameters.
	MaxTrainValues = 4 << 30
	// MaxTrainSlice bounds the bytes of one encoded slice.
	MaxTrainSlice = 16 << 30
	// MaxTrainRounds, MaxTrainViews and MaxTrainSteps bound counters.
	MaxTrainRounds = 1 << 32
	MaxTrainViews  = 1 << 20
	MaxTrainSteps  = 1 << 40
	// MaxTrainSpec and MaxTrainSchema bound the parts of a job, MaxTrainJob all of it: a block.
	MaxTrainSpec   = 256 << 10
	MaxTrainSchema = 512 << 10
	MaxTrainJob    = MaxBlock
	// MaxTrainSmall bounds the small messages: with a membership in them, or hashes.
	MaxTrainSmall = MaxHello
	// MaxTrainColumns bounds the columns of a table whose scale is agreed, MaxTrainJoin a wish to join,
	// which has the moments of each.
	MaxTrainColumns = 1024
	MaxTrainJoin    = 36 << 10
	// MaxTrainInline is the largest vector of a member of gossip that goes in a message,
	// MaxTrainMessage bounds messages on a topic or told a peer: a vector, or a proposal and what
	// it rests on.
	MaxTrainInline  = 256 << 10
	MaxTrainMessage = 436 << 10
	// MaxTrainChanges bounds the members that come, or are expelled, in one round.
	MaxTrainChanges = 16
	// MaxTrainEvidence bounds one message that proves a lie, MaxTrainOutcome an outcome.
	MaxTrainEvidence = MaxTrainSmall
	MaxTrainOutcome  = 256 << 10
	// MaxTrainBundle bounds the messages that are sent together: a proposal, and what it rests on.
	MaxTrainBundle = 4*MaxTrainMembers + 1
	// MaxTrainWords is how many messages both ends of a line remember.
	MaxTrainWords = 32
	// MaxTrainData is the largest piece of a slice in one frame, MaxTrainChain the longest list of
	// certificates in one answer.
	MaxTrainData  = 1 << 20
	MaxTrainChain = 64
	// MaxTrainBoard bounds the announcements of jobs in one answer.
	MaxTrainBoard = 256
	// TrainStateLife is how long the blocks of a state stay where somebody asked for them.
	TrainStateLife = 10 * time.Minute
	// MaxTrainRound bounds how long a round may last.
	MaxTrainRound = 24 * time.Hour
)

// Strangers: peers whose hello has not been accepted yet.
const (
	// MaxStrangers bounds connections of strangers; beyond it the oldest one is closed. An
	// honest peer is none for longer than two round trips.
	MaxStrangers = 128
	// MaxStrangerStreams bounds the streams of one stranger that wait for its hello,
	// MaxWaitingStreams those of all: each holds a goroutine and buffers.
	MaxStrangerStreams = 16
	MaxWaitingStreams  = 512
)

// Times.
const (
	// HelloTimeout is how long a new connection may stay without a verified hello.
	HelloTimeout = 10 * time.Second
	// StreamOpenTimeout bounds dialling and protocol negotiation of one stream.
	StreamOpenTimeout = 10 * time.Second
	// StreamIdleTimeout is the default deadline of one read or write on a stream.
	StreamIdleTimeout = 30 * time.Second
	// MaxClockSkew is how far peers' clocks may be apart: home machines without NTP.
	MaxClockSkew = 2 * time.Minute
	// MaxAdvertTTL bounds how long a silent peer stays in other peers' tables.
	MaxAdvertTTL = 10 * time.Minute
	// InferIdleTimeout is how long an inference session may be without a frame between two
	// steps, or a result without being taken: sessions hold memory.
	InferIdleTimeout = 2 * time.Minute
	// MinProgress and MaxProgress bound how often an open may ask for progress.
	MinProgress = 50 * time.Millisecond
	MaxProgress = time.Minute
	// MaxStepTime bounds the time of one token through one block that an advert tells.
	MaxStepTime = time.Hour
	// MaxInferTimeout bounds the life of one inference session.
	MaxInferTimeout = 24 * time.Hour
	// MaxGrant bounds the life of a grant: a leaked one ends some day.
	MaxGrant = 10 * 365 * 24 * time.Hour
	// MembershipLife is how long a renewed membership lasts unless the swarm's owner says
	// otherwise: a machine may be off for a season, and one that was sold is out in a quarter.
	MembershipLife = 90 * 24 * time.Hour
)
