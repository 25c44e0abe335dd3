package console

import (
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// knocks limits how often one address may try to log in, whatever names it tries: the lock of a name is the API's.
type knocks struct {
	mu  sync.Mutex // guards all
	all map[string]*rate.Limiter
}

// A person mistypes a few times; a shift that logs in behind one proxy at six o'clock must get in, too.
const (
	knockBurst = 20
	knockEvery = 3 * time.Second
	maxKnocks  = 10_000 // addresses
)

// allow tells whether the sender of a request may try now.
func (k *knocks) allow(r *http.Request, now time.Time) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.all[host]
	if l == nil {
		if len(k.all) >= maxKnocks || k.all == nil {
			k.all = map[string]*rate.Limiter{} // forgetting gives a few more tries, and the names stay locked
		}
		l = rate.NewLimiter(rate.Every(knockEvery), knockBurst)
		k.all[host] = l
	}
	return l.AllowN(now, 1)
}
