package node

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode"

	"github.com/pelletier/go-toml/v2"

	"github.com/covey-network/covey/node/gateway"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
)

const configFile = "config.toml"

// ConfigVersion is the layout of config.toml written and read now.
const ConfigVersion = 1

// Config says how a node runs. Default gives it; the file config.toml in the data
// directory, COVEY_… variables and flags change it, in this order.
type Config struct {
	Layout  int     `toml:"version"` // ConfigVersion
	Name    string  `toml:"name"`    // of the machine, for people; empty: its host name
	API     API     `toml:"api"`
	Network Network `toml:"network"`
	Limits  Limits  `toml:"limits"`

	fileAddr string // of the API, as the file had it; "" without a file

	DataDir string       `toml:"-"`
	Join    string       `toml:"-"` // join token; needed once, see host.OpenCredentials
	Offline bool         `toml:"-"` // no network: a node for one command
	Version string       `toml:"-"` // of the program
	Log     *slog.Logger `toml:"-"` // nil discards
	// Builtin writes the files of the model that the program carries into a folder: what an
	// import without a path imports, and the first use of the name BuiltinModel unless peers
	// have a model of that name. Nil: none.
	Builtin func(dir string) error `toml:"-"`
}

// API is the HTTP side.
type API struct {
	Addr     string   `toml:"addr"`
	Hosts    []string `toml:"hosts"`    // further host names it may be asked for
	Keys     []string `toml:"keys"`     // SHA-256 of API keys, in hex
	Origins  []string `toml:"origins"`  // sites whose pages may ask models, as https://chat.example; "*": all
	Insecure bool     `toml:"insecure"` // beyond loopback without TLS
}

// Network is the side of the peers.
type Network struct {
	Listen    []string `toml:"listen" comment:"port 0: one that the node chooses once and keeps"`
	Announce  []string `toml:"announce"` // told to peers instead of what it listens at
	Bootstrap []string `toml:"bootstrap"`
	MDNS      bool     `toml:"mdns"`
	DHT       bool     `toml:"dht"`
	NAT       bool     `toml:"nat"`
	Proxy     string   `toml:"proxy" comment:"HTTP proxy for peers that are not reached directly, as http://HOST:PORT; empty: that of HTTPS_PROXY, off: none"`
	Relay     string   `toml:"relay"` // whether it carries others' connections: auto (while it can be reached), on, off
}

// Limits are what the owner lends.
type Limits struct {
	Cores      int  `toml:"cores" comment:"0: all"`
	Memory     Size `toml:"memory" comment:"for models and sessions; 0B: half of the machine's"`
	Disk       Size `toml:"disk" comment:"0B: what is free, less a reserve"`
	Upload     Size `toml:"upload" comment:"per second; 0B: no limit"`
	Relay      Size `toml:"relay" comment:"per second, of connections carried for others; 0B: 8MiB"`
	RelayDaily Size `toml:"relay_daily" comment:"the same per day; 0B: 16GiB"`
	RelayPeers int  `toml:"relay_peers" comment:"that are reached through this node; 0: 256"`
}

// Default returns the configuration of an ordinary node.
func Default() *Config {
	net := host.Default()
	name, err := os.Hostname()
	if err != nil || len(name) > protocol.MaxTextVersion {
		name = ""
	}
	return &Config{
		Layout: ConfigVersion, Name: name, API: API{Addr: gateway.DefaultAddr},
		Network: Network{Listen: net.Listen, MDNS: net.MDNS, DHT: net.DHT, NAT: net.NAT, Relay: net.Relay},
	}
}

// ReadConfig reads config.toml in a data directory, if it is there, over the defaults, and
// the environment over both.
func ReadConfig(dir string) (*Config, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory %q: %w", dir, err)
	}
	c := Default()
	c.DataDir = abs
	path := filepath.Join(abs, configFile)
	data, err := os.ReadFile(path)
	if err == nil {
		dec := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
		if err = dec.Decode(c); err != nil {
			var strict *toml.StrictMissingError
			if errors.As(err, &strict) {
				return nil, fmt.Errorf("read %s: unknown settings:\n%s", path, strict.String())
			}
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		c.fileAddr = c.API.Addr
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return c, c.readEnv()
}

func (c *Config) readEnv() error {
	for _, e := range []struct {
		name string
		to   *string
	}{{"COVEY_NAME", &c.Name}, {"COVEY_API", &c.API.Addr}} {
		if v := os.Getenv(e.name); v != "" {
			*e.to = v
		}
	}
	for _, e := range []struct {
		name string
		to   *Size
	}{{"COVEY_MEMORY", &c.Limits.Memory}, {"COVEY_DISK", &c.Limits.Disk}, {"COVEY_UPLOAD", &c.Limits.Upload}} {
		if v := os.Getenv(e.name); v != "" {
			if err := e.to.UnmarshalText([]byte(v)); err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
		}
	}
	return nil
}

// Print writes the configuration as it would stand in config.toml.
func (c *Config) Print(w io.Writer) error {
	shown := *c
	if u, err := c.parseProxy(); err == nil && u != nil {
		shown.Network.Proxy = u.Redacted()
	}
	return toml.NewEncoder(w).Encode(&shown)
}

// leastMemory is the least that can be meant as memory to lend.
const leastMemory = 1 << 20

// leastRelay is the least that can be meant as bytes a second to relay.
const leastRelay = 128 << 10

// Validate reports all problems.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Layout != ConfigVersion {
		bad("version is %d, this program reads %d", c.Layout, ConfigVersion)
	}
	if len(c.Name) > protocol.MaxTextVersion || strings.ContainsFunc(c.Name, unicode.IsControl) {
		bad("name %q is no name to show: at most %d bytes, without control characters", c.Name, protocol.MaxTextVersion)
	}
	if c.DataDir == "" {
		bad("data directory is not set")
	}
	if c.Limits.Cores < 0 || c.Limits.Cores > runtime.NumCPU() {
		bad("limits.cores is %d, the machine has %d", c.Limits.Cores, runtime.NumCPU())
	}
	if m := c.Limits.Memory; m > 0 && m < leastMemory {
		text, _ := m.MarshalText()
		bad("limits.memory is %s: no model fits into less than %d MiB", text, leastMemory>>20)
	}
	if min(c.Limits.Memory, c.Limits.Disk, c.Limits.Upload, c.Limits.Relay, c.Limits.RelayDaily, Size(c.Limits.RelayPeers)) < 0 {
		bad("a limit is negative")
	}
	if n := c.Limits.Relay; n > 0 && n < leastRelay {
		text, _ := n.MarshalText()
		bad("limits.relay is %s a second: nothing useful passes below %d KiB; network.relay = \"off\" carries nothing", text, leastRelay>>10)
	}
	if err := c.checkDisk(); err != nil {
		errs = append(errs, err)
	}
	if r := c.Network.Relay; r != host.RelayAuto && r != host.RelayOn && r != host.RelayOff {
		bad("network.relay is %q, want %s, %s or %s", r, host.RelayAuto, host.RelayOn, host.RelayOff)
	}
	if n := c.Limits.RelayDaily; n > 0 && n < leastMemory {
		text, _ := n.MarshalText()
		bad("limits.relay_daily is %s: too little for anything; network.relay = \"off\" carries nothing", text)
	}
	if _, err := c.parseProxy(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.keys(); err != nil {
		errs = append(errs, err)
	}
	for i, o := range c.API.Origins {
		if err := gateway.CheckOrigin(o); err != nil {
			bad("api.origins[%d] in %s: %w", i, filepath.Join(c.DataDir, configFile), err)
		}
	}
	if err := gateway.CheckAddr(c.API.Addr, len(c.API.Keys), c.API.Insecure); err != nil {
		if path := filepath.Join(c.DataDir, configFile); c.API.Addr == c.fileAddr {
			err = fmt.Errorf("%w (settings are in %s)", err, path)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkDisk refuses a limit that is more than the whole disk of the data directory, which need
// not exist yet. What a disk does not tell is not checked.
func (c *Config) checkDisk() error {
	if c.Limits.Disk <= 0 || c.DataDir == "" {
		return nil
	}
	for dir := c.DataDir; ; dir = filepath.Dir(dir) {
		_, total, err := store.DiskSpace(dir)
		if err == nil && total > 0 && int64(c.Limits.Disk) > total {
			text, _ := c.Limits.Disk.MarshalText()
			return fmt.Errorf("limits.disk is %s, the whole disk of %s has %s: lend less with --disk, or leave it out for what is free, less a reserve",
				text, c.DataDir, store.BytesText(total))
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (c *Config) keys() ([][32]byte, error) {
	var out [][32]byte
	for i, k := range c.API.Keys {
		b, err := hex.DecodeString(k)
		if err != nil || len(b) != 32 {
			return nil, fmt.Errorf("api.keys[%d] in %s is not a SHA-256 in hex: put the key's hash there, not the key: printf %%s KEY | sha256sum | cut -d' ' -f1", i, filepath.Join(c.DataDir, configFile))
		}
		out = append(out, [32]byte(b))
	}
	return out, nil
}

// The rhythm of adverts. All hear each of them, so what all pay grows with the peers: a slow
// refresh, of which two can be lost before a peer is forgotten, and an advert at once when
// something has changed that others need.
const (
	advertEvery  = 180 * time.Second // give or take advertJitter, so that those that start together do not stay so
	advertJitter = 30 * time.Second
	advertTTL    = 600 * time.Second
	advertPause  = 300 * time.Millisecond // between two that changes cause
	advertLook   = 5 * time.Second        // how often it looks whether something has changed
	// advertMinor is the least time between two adverts for what changes all the time, as the room
	// for sessions does.
	advertMinor = 10 * time.Second
)
