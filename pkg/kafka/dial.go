package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// dialLimit bounds a connection's begin, its TLS handshake included.
const dialLimit = 5 * time.Second

// dialer returns how a broker is reached by the address that the cluster names it by. Through a relay its certificate is
// still the broker's own, for that name.
func (c *Config) dialer() (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	var secure *tls.Config
	if c.TLS != nil {
		var err error
		if secure, err = c.TLS.Config(); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialLimit)
		defer cancel()
		to := address
		if other, ok := c.Dial[address]; ok {
			to = other
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, to)
		if err != nil || secure == nil {
			return conn, err
		}
		return handshake(ctx, conn, secure, address)
	}, nil
}

// handshake makes a connection to the broker of this address a secured one, and closes it where that fails.
func handshake(ctx context.Context, conn net.Conn, secure *tls.Config, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	own := secure.Clone()
	own.ServerName = host
	secured := tls.Client(conn, own)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}
