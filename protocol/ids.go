package protocol

import "strings"

// The stream protocols. The version changes only when a peer of the old version could not
// make sense of the new one; everything else is a capability.
const (
	// Hello is spoken first on every connection: version and proof of membership.
	Hello = "/covey/hello/1.0.0"
	// Blocks moves content-addressed blocks.
	Blocks = "/covey/blocks/1.0.0"
	// Infer runs a session on a stage of a model.
	Infer = "/covey/infer/1.0.0"
	// Adverts hands the adverts that a peer knows to one that has just arrived.
	Adverts = "/covey/adverts/1.0.0"
	// Swap is Adverts without those that the other side has already, since capability 6.
	Swap = "/covey/adverts/1.1.0"
	// Renew gives a member a grant of its own that lasts longer, since capability 4.
	Renew = "/covey/renew/1.0.0"
	// Revoke hands on the list of the grants and peers that were taken off, since capability 4.
	Revoke = "/covey/revoke/1.0.0"
	// Bye tells a peer that its connection is surplus and ends, since capability 6.
	Bye = "/covey/bye/1.0.0"
	// Train moves slices of updates, results and certificates between the members of a job, since
	// capability 7.
	Train = "/covey/train/1.0.0"
	// Agree carries what members of a job sign, from one to another, since capability 8.
	Agree = "/covey/agree/1.0.0"
	// DHTPrefix keeps our routing table apart from every other network's.
	DHTPrefix = "/covey"
)

// mdnsLabel is how many characters of the swarm's text form fit into a service name:
// DNS-SD allows 15 after the underscore (RFC 6763, section 7).
const mdnsLabel = 9

// MDNSService returns the service name under which the peers of a swarm find each other on
// a local network. It differs between swarms, so that two in one house do not knock at
// each other's doors.
func MDNSService(swarm string) string {
	return "_covey-" + swarm[:min(len(swarm), mdnsLabel)] + "._udp"
}

// AdvertTopic returns the gossip topic of a swarm's capacity adverts. The swarm's text
// form keeps two swarms that share a peer apart.
func AdvertTopic(swarm string) string { return "/covey/" + swarm + "/advert/1.0.0" }

// LostTopic returns the gossip topic on which the peers of a swarm tell of those that they no
// longer reach.
func LostTopic(swarm string) string { return "/covey/" + swarm + "/lost/1.0.0" }

// TopicPrefix is what the topics of a swarm begin with that not every peer of it joins.
func TopicPrefix(swarm string) string { return "/covey/" + swarm + "/train/" }

// JobsTopic returns the gossip topic on which jobs are announced.
func JobsTopic(swarm string) string { return TopicPrefix(swarm) + "jobs/1.0.0" }

// JobTopic returns the gossip topic of the members of a job, by its hash in hexadecimal.
func JobTopic(swarm, job string) string { return TopicPrefix(swarm) + job + "/1.0.0" }

// IsOurs reports whether a protocol identifier is one of this network's stream protocols.
func IsOurs(id string) bool { return strings.HasPrefix(id, "/covey/") }
