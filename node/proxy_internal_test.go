package node

import "testing"

// TestProxyIgnored warns of a proxy in the environment exactly if net/http, which reads it, would not speak to it as HTTP.
func TestProxyIgnored(t *testing.T) {
	for text, ignored := range map[string]bool{
		"": false, "http://proxy.example:3128": false, "proxy.example:3128": false, "127.0.0.1:3128": false,
		"socks5://proxy.example:1080": true, "https://proxy.example:443": true,
	} {
		t.Setenv("HTTPS_PROXY", text)
		var c Config
		if got := c.proxyIgnored(); got != ignored {
			t.Errorf("%q: ignored %v", text, got)
		}
	}
}
