package runner

import (
	"net"
	"testing"
)

// TestDialler asks who has dialled: it was this process, which is no node, also while there
// is a node that has not started.
func TestDialler(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s := &Swarm{procs: map[string]*Process{"later": {}}}
	if name, err := s.dialler(in.(*net.TCPConn)); err != nil || name != "" {
		t.Errorf("dialled by %q, %v", name, err)
	}
}
