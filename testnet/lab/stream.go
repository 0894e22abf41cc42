package lab

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	"github.com/quic-go/quic-go"
)

// streamProtocol names what the two ends of stream speak.
const streamProtocol = "covey-lab"

// stream moves n bytes from one host to another over one QUIC stream of the library that nodes use,
// and returns how long that takes from the handshake's end.
func (l *Lab) stream(ctx context.Context, from, to string, fromIP, toIP net.IP, n int64) (took time.Duration, err error) {
	server, err := l.udp(from, fromIP)
	if err != nil {
		return 0, err
	}
	defer server.Close()
	client, err := l.udp(to, toIP)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	serverTLS, err := selfSigned()
	if err != nil {
		return 0, err
	}
	listener, err := quic.Listen(server, serverTLS, &quic.Config{})
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	sent := make(chan error, 1)
	ctx, end := context.WithCancel(ctx)
	defer end()
	go func() { sent <- send(ctx, listener, n) }()
	took, err = receive(ctx, client, server.LocalAddr(), n)
	end()
	return took, errors.Join(err, <-sent)
}

// udp opens a socket on a host.
func (l *Lab) udp(host string, ip net.IP) (c *net.UDPConn, err error) {
	err = inSpace(l.prefix+host, func() error {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: ip})
		return err
	})
	return c, err
}

// send answers the first stream with n bytes.
func send(ctx context.Context, l *quic.Listener, n int64) error {
	c, err := l.Accept(ctx)
	if err != nil {
		return err
	}
	s, err := c.AcceptStream(ctx)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(s, zeros{}, n); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	<-ctx.Done() // until the other end has it all
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// receive takes what send sends.
func receive(ctx context.Context, from *net.UDPConn, to net.Addr, n int64) (time.Duration, error) {
	c, err := quic.Dial(ctx, from, to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{streamProtocol}}, &quic.Config{}) // what it carries is nothing
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.CloseWithError(0, "") }()
	begin := time.Now()
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.Close(); err != nil { // now the other end hears of it
		return 0, err
	}
	got, err := io.Copy(io.Discard, s)
	if err == nil && got != n {
		err = fmt.Errorf("%d bytes of %d came", got, n)
	}
	return time.Since(begin), err
}

// selfSigned returns a certificate that nobody checks.
func selfSigned() (*tls.Config, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, NextProtos: []string{streamProtocol}}, nil
}
