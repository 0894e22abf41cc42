package main

import (
	"testing"
	"time"

	"github.com/covey-network/covey/node/api"
)

func TestPathText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		path api.Path
		want string
	}{
		{api.Path{State: "direct"}, "direct"},
		{api.Path{State: "relayed", Via: "p", ViaName: "attic"}, "relayed via attic"},
		{api.Path{State: "unreachable", Reason: "no answer"}, "unreachable: no answer"},
		{api.Path{State: "lost", Since: time.Now().Add(-2 * time.Second)}, "lost 2 s ago, being dialled again"},
	} {
		if got := pathText(&tt.path); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.path, got, tt.want)
		}
	}
}
