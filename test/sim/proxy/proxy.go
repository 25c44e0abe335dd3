// Package proxy is a TCP proxy on loopback that can cut, stall and lose: for links in tests and in the demo.
package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy forwards connections to one address.
type Proxy struct {
	listener net.Listener
	target   string
	done     sync.WaitGroup

	mu    sync.Mutex // guards what follows
	cut   bool
	conns map[net.Conn]struct{}
}

// Start listens on a free loopback port.
func Start(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, conns: map[net.Conn]struct{}{}}
	p.done.Go(p.accept)
	return p, nil
}

// Addr returns host:port to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut resets all connections and refuses new ones until Heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for c := range p.conns {
		reset(c)
	}
}

// Reset resets all connections; new ones pass.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		reset(c)
	}
}

// Heal lets connections pass again.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Close ends the proxy with all its connections.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Cut()
	p.done.Wait()
}

func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.done.Go(func() { p.forward(c) })
	}
}

func (p *Proxy) forward(c net.Conn) {
	if !p.keep(c) {
		reset(c)
		return
	}
	defer p.drop(c)
	t, err := net.DialTimeout("tcp", p.target, 2*time.Second)
	if err != nil || !p.keep(t) {
		return
	}
	defer p.drop(t)
	var both sync.WaitGroup
	both.Go(func() { pipe(t, c) })
	both.Go(func() { pipe(c, t) })
	both.Wait()
}

// pipe copies until one side ends, then ends the other.
func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from) // a cut connection is what this proxy is for
	if t, ok := to.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
