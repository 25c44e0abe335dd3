package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.etcd.io/bbolt"

	"github.com/holdfast-mesh/holdfast/pkg/telemetry"
)

const (
	bareClient = "bare"
	bareBucket = "record"
	bareCommit = 500 // records in one commit, as many as the agent's MQTT source gathers
	bareFlight = 2000
)

// pipeline is what somebody writes who needs no more than that: a message is acknowledged once it is synced to the disk,
// read from there, and sent with acks=all by an idempotent producer. It has none of the rest: no mapping, no check, no
// hash, no lanes, no sealed files, no acked position that survives a restart.
type pipeline struct {
	db     *bbolt.DB
	client *kgo.Client
	fill   *filler
	in     chan paho.Message
	grown  chan struct{} // has room for one: something was committed
	stored atomic.Uint64
}

// bare runs the pipeline until ctx ends.
func bare(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet(roleBare, flag.ContinueOnError)
	dir := f.String("dir", "", "folder of the queue")
	mqtt := f.String("mqtt", "", "URL of the broker")
	brokers := f.String("kafka", "", "brokers of Kafka")
	via := f.String("via", "", "address at which each of them is reached")
	shape := f.String("shape", "", "file with the shape of the records; empty = the raw payload")
	if err := f.Parse(args); err != nil {
		return err
	}
	s, err := readShape(*shape)
	if err != nil {
		return err
	}
	p := &pipeline{fill: newFiller(s), in: make(chan paho.Message, 2*bareFlight), grown: make(chan struct{}, 1)}
	if p.db, err = openBucket(filepath.Join(*dir, "bare.db")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.db.Close()) }()
	p.client, err = kgo.NewClient(kgo.SeedBrokers(seeds(*brokers)...), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(bareFlight), kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()),
		kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, *via)
		}))
	if err != nil {
		return err
	}
	defer p.client.Close()
	return p.run(ctx, *mqtt)
}

func openBucket(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true, NoStatistics: true})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte(bareBucket))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// run works until ctx ends or something fails.
func (p *pipeline) run(ctx context.Context, mqtt string) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var all sync.WaitGroup
	defer all.Wait()
	defer fail(nil)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	all.Go(func() {
		fail(telemetry.Serve(ctx, listener, telemetry.NewServer(http.HandlerFunc(p.metrics), zerolog.Nop())))
	})
	all.Go(func() { fail(p.commit(ctx)) })
	all.Go(func() { fail(p.send(ctx, fail)) })
	client, err := p.subscribe(mqtt)
	if err != nil {
		return err
	}
	defer client.Disconnect(250)
	log := zerolog.New(os.Stderr)
	log.Info().Str(telemetry.KeyAddress, listener.Addr().String()).Msg("ready")
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (p *pipeline) metrics(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintf(w, "bare_stored %d\n", p.stored.Load())
}

func (p *pipeline) subscribe(url string) (paho.Client, error) {
	o := sessionOptions(url, bareClient).SetAutoAckDisabled(true).SetOrderMatters(true)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { p.in <- m })
	client := paho.NewClient(o)
	if t := client.Connect(); t.Wait() && t.Error() != nil {
		return nil, t.Error()
	}
	t := client.Subscribe(topicResult, 1, nil)
	t.Wait()
	return client, t.Error()
}

// sessionOptions are those of a client whose session the broker keeps.
func sessionOptions(url, id string) *paho.ClientOptions {
	return paho.NewClientOptions().AddBroker(url).SetClientID(id).SetProtocolVersion(4).SetCleanSession(false).SetAutoReconnect(false)
}

// commit stores what waits, one transaction after the other, and acknowledges it.
func (p *pipeline) commit(ctx context.Context) error {
	for {
		var group []paho.Message
		select {
		case <-ctx.Done():
			return nil
		case m := <-p.in:
			group = append(group, m)
		}
		for len(group) < bareCommit && len(p.in) > 0 {
			group = append(group, <-p.in)
		}
		if err := p.db.Update(func(tx *bbolt.Tx) error { return p.put(tx.Bucket([]byte(bareBucket)), group) }); err != nil {
			return err
		}
		for _, m := range group {
			m.Ack()
		}
		p.stored.Add(uint64(len(group)))
		select {
		case p.grown <- struct{}{}:
		default:
		}
	}
}

func (p *pipeline) put(b *bbolt.Bucket, group []paho.Message) error {
	b.FillPercent = 0.95
	seq := p.stored.Load()
	for _, m := range group {
		seq++
		if err := b.Put(binary.BigEndian.AppendUint64(nil, seq), p.encode(m.Payload())); err != nil {
			return err
		}
	}
	return nil
}

// encode packs key, headers and value, each behind its length.
func (p *pipeline) encode(payload []byte) []byte {
	out := appendText(nil, keyOf(payload))
	headers := p.fill.headers()
	out = binary.AppendUvarint(out, uint64(len(headers)))
	for _, h := range headers {
		out = appendText(appendText(out, []byte(h.Key)), h.Value)
	}
	return appendText(out, p.fill.value(payload))
}

func appendText(out, text []byte) []byte {
	return append(binary.AppendUvarint(out, uint64(len(text))), text...)
}

// decode unpacks what encode packed; it copies, since the bucket's memory ends with the transaction.
func decode(b []byte) *kgo.Record {
	next := func() uint64 {
		n, size := binary.Uvarint(b)
		b = b[size:]
		return n
	}
	text := func() []byte {
		n := next()
		t := append([]byte(nil), b[:n]...)
		b = b[n:]
		return t
	}
	r := &kgo.Record{Topic: topicQuality(), Key: text()}
	r.Headers = make([]kgo.RecordHeader, next())
	for i := range r.Headers {
		r.Headers[i] = kgo.RecordHeader{Key: string(text()), Value: text()}
	}
	r.Value = text()
	return r
}

// send reads what is stored, in order, and sends it.
func (p *pipeline) send(ctx context.Context, fail context.CancelCauseFunc) error {
	sent := uint64(0)
	for {
		page, err := p.page(sent)
		if err != nil {
			return err
		}
		for _, r := range page {
			p.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
				if err != nil && ctx.Err() == nil {
					fail(fmt.Errorf("send: %w", err))
				}
			})
		}
		sent += uint64(len(page))
		if len(page) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.grown:
		}
	}
}

// page returns up to bareCommit records behind seq.
func (p *pipeline) page(seq uint64) (page []*kgo.Record, err error) {
	err = p.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bareBucket)).Cursor()
		for k, v := c.Seek(binary.BigEndian.AppendUint64(nil, seq+1)); k != nil && len(page) < bareCommit; k, v = c.Next() {
			page = append(page, decode(v))
		}
		return nil
	})
	return page, err
}
