package node

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"os"
)

// proxyOff is the setting of no proxy, whatever the environment says.
const proxyOff = "off"

// parseProxy reads network.proxy; nil: none is set.
func (c *Config) parseProxy() (*url.URL, error) {
	text := c.Network.Proxy
	if text == "" || text == proxyOff {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		// The text may hold a password, and so may the error.
		return nil, fmt.Errorf("network.proxy is no address like http://HOST:PORT; %q is no proxy", proxyOff)
	}
	return u, nil
}

// environmentProxy is what the environment says, as others read it.
func environmentProxy() string { return cmp.Or(os.Getenv("HTTPS_PROXY"), os.Getenv("https_proxy")) }

// proxyIgnored reports whether the environment names a proxy that this program does not speak to.
func (c *Config) proxyIgnored() bool {
	text := environmentProxy()
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" { // HOST:PORT, as http.ProxyFromEnvironment takes it
		u, err = url.Parse("http://" + text)
	}
	return text != "" && c.Network.Proxy == "" && (err != nil || u.Scheme != "http")
}

// proxy returns how to find the proxy to a peer's address, from the settings or as curl and
// others do from HTTPS_PROXY and NO_PROXY; nil: there is none.
func (c *Config) proxy() (func(target string) (*url.URL, error), error) {
	set, err := c.parseProxy()
	switch {
	case err != nil || c.Network.Proxy == proxyOff:
		return nil, err
	case set != nil:
		return func(string) (*url.URL, error) { return set, nil }, nil
	case environmentProxy() == "":
		return nil, nil
	}
	return func(target string) (*url.URL, error) {
		u, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: target}})
		if u != nil && u.Scheme != "http" {
			return nil, nil // no other kind is spoken
		}
		return u, err
	}, nil
}
