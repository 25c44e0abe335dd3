package opcua

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Front passes connections on to a server, and holds or cuts them when told to.
type Front struct {
	listener net.Listener
	target   string
	done     sync.WaitGroup

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]struct{}
	frozen bool
	thawed chan struct{} // closed while not frozen
	closed bool
}

// OpenFront listens at addr for connections to target.
func OpenFront(addr, target string) (*Front, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	f := &Front{listener: l, target: target, conns: map[net.Conn]struct{}{}, thawed: make(chan struct{})}
	close(f.thawed)
	f.done.Go(f.accept)
	return f, nil
}

// Addr returns the address to connect to.
func (f *Front) Addr() string { return f.listener.Addr().String() }

// Freeze holds all bytes, as a server that hangs or a line that swallows. New connections are taken, and get no answer.
func (f *Front) Freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.frozen {
		f.frozen, f.thawed = true, make(chan struct{})
	}
}

// Thaw lets bytes pass again, those held first.
func (f *Front) Thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frozen {
		f.frozen = false
		close(f.thawed)
	}
}

// Reset cuts all connections as a peer that crashed does. New ones pass.
func (f *Front) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = c.Close()
	}
}

// Close ends all connections.
func (f *Front) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	_ = f.listener.Close()
	f.Reset()
	f.Thaw()
	f.done.Wait()
}

func (f *Front) accept() {
	for {
		c, err := f.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			f.done.Go(func() { f.forward(c) })
		}
	}
}

func (f *Front) forward(c net.Conn) {
	defer f.drop(c)
	if !f.keep(c) {
		return
	}
	t, err := net.DialTimeout("tcp", f.target, 2*time.Second)
	if err != nil {
		return
	}
	defer f.drop(t)
	if !f.keep(t) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { f.pipe(t, c) })
	both.Go(func() { f.pipe(c, t) })
	both.Wait()
}

// pipe copies until one side ends, then ends both. What is read while frozen goes on when it is over.
func (f *Front) pipe(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		<-f.gate()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = to.Close()
	_ = from.Close()
}

func (f *Front) gate() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.thawed
}

func (f *Front) keep(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.conns[c] = struct{}{}
	return true
}

func (f *Front) drop(c net.Conn) {
	_ = c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}
