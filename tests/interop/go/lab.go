package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/google/uuid"
)

// soon is generous: a client whose first look or heartbeat comes to nothing, on a machine that stands still, tries again
// after up to half a minute.
const soon = 60 * time.Second

// lab makes the clients of one scenario and shuts them down, newest first. Every client has an instance name of its
// own: clients of one name share an id, and two members of one group must not.
type lab struct {
	settings settings
	name     string
	run      string
	mutex    sync.Mutex
	open     []func() error
	// Made at first use.
	chooser    rocketmq.Producer
	whereFound string
}

func newLab(settings settings, name string) *lab {
	return &lab{settings: settings, name: name, run: uuid.NewString()[:8]}
}

func (l *lab) topic() string { return "go-" + l.name + "-" + l.run }
func (l *lab) group() string { return "G_go-" + l.name + "-" + l.run }

func (l *lab) onClose(action func() error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.open = append(l.open, action)
}

func (l *lab) close() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for i := len(l.open) - 1; i >= 0; i-- {
		// What has failed already is not told again.
		_ = l.open[i]()
	}
	l.open = nil
}

func (l *lab) resolver() primitive.NsResolver {
	return primitive.NewPassthroughResolver([]string{l.settings.nameServer})
}

func (l *lab) credentials() primitive.Credentials {
	return primitive.Credentials{AccessKey: l.settings.user, SecretKey: l.settings.secret}
}

func (l *lab) producerOptions(more []producer.Option) []producer.Option {
	return append([]producer.Option{
		producer.WithGroupName("P_go-" + l.name + "-" + l.run),
		producer.WithInstanceName(uuid.NewString()),
		producer.WithNsResolver(l.resolver()),
		producer.WithCredentials(l.credentials()),
		producer.WithTls(l.settings.tls),
		producer.WithRetry(2),
		producer.WithSendMsgTimeout(10 * time.Second),
	}, more...)
}

func (l *lab) producer(options ...producer.Option) rocketmq.Producer {
	p, err := rocketmq.NewProducer(l.producerOptions(options)...)
	must(err, "a producer")
	must(p.Start(), "start of a producer")
	l.onClose(p.Shutdown)
	return p
}

func (l *lab) transactions(listener primitive.TransactionListener) rocketmq.TransactionProducer {
	p, err := rocketmq.NewTransactionProducer(listener, l.producerOptions(nil)...)
	must(err, "a producer of transactions")
	must(p.Start(), "start of a producer of transactions")
	l.onClose(p.Shutdown)
	return p
}

func (l *lab) consumerOptions(more []consumer.Option) []consumer.Option {
	return append([]consumer.Option{
		consumer.WithGroupName(l.group()),
		consumer.WithInstance(uuid.NewString()),
		consumer.WithNsResolver(l.resolver()),
		consumer.WithCredentials(l.credentials()),
		consumer.WithTls(l.settings.tls),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, more...)
}

// all is the selector that lets everything through.
var all = consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}

type listener = func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)

func (l *lab) consume(topic string, selector consumer.MessageSelector, listen listener, options ...consumer.Option) rocketmq.PushConsumer {
	c, err := rocketmq.NewPushConsumer(l.consumerOptions(options)...)
	must(err, "a push consumer")
	must(c.Subscribe(topic, selector, listen), "subscription to "+topic)
	must(c.Start(), "start of a push consumer")
	l.onClose(c.Shutdown)
	return c
}

func (l *lab) pull(options ...consumer.Option) rocketmq.PullConsumer {
	c, err := rocketmq.NewPullConsumer(l.consumerOptions(options)...)
	must(err, "a pull consumer")
	l.onClose(c.Shutdown)
	return c
}

// send sends one message for each key and gives the results.
func (l *lab) send(p rocketmq.Producer, topic string, keys ...string) []*primitive.SendResult {
	var results []*primitive.SendResult
	for _, key := range keys {
		results = append(results, sendOne(p, message(topic, key)))
	}
	return results
}

func sendOne(p rocketmq.Producer, m *primitive.Message) *primitive.SendResult {
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	sent, err := p.SendSync(ctx, m)
	must(err, "send")
	equal(primitive.SendOK, sent.Status, "status of the send")
	return sent
}

func message(topic, key string) *primitive.Message {
	return primitive.NewMessage(topic, []byte("body of "+key)).WithKeys([]string{key})
}

// numbered gives names with numbers.
func numbered(prefix string, n int) []string {
	var names []string
	for i := 0; i < n; i++ {
		names = append(names, fmt.Sprintf("%s%d", prefix, i))
	}
	return names
}

// received is a message, and when it came.
type received struct {
	*primitive.MessageExt
	at time.Time
}

// inbox is what listeners got, in order.
type inbox struct {
	mutex sync.Mutex
	got   []received
}

func (in *inbox) add(messages ...*primitive.MessageExt) {
	in.mutex.Lock()
	defer in.mutex.Unlock()
	for _, m := range messages {
		in.got = append(in.got, received{m, time.Now()})
	}
}

// listener takes everything in and is content.
func (in *inbox) listener(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	in.add(messages...)
	return consumer.ConsumeSuccess, nil
}

func (in *inbox) all() []received {
	in.mutex.Lock()
	defer in.mutex.Unlock()
	return append([]received(nil), in.got...)
}

func (in *inbox) keys() []string {
	var keys []string
	for _, m := range in.all() {
		keys = append(keys, m.GetKeys())
	}
	return keys
}

// await waits for that many messages, and gives all that are there.
func (in *inbox) await(n int, patience time.Duration) []received {
	end := time.Now().Add(patience)
	for {
		got := in.all()
		if len(got) >= n {
			return got
		}
		check(time.Now().Before(end), "%d messages within %v, wanted %d: %v", len(got), patience, n, in.keys())
		time.Sleep(20 * time.Millisecond)
	}
}

// exactly waits for the messages with these keys, in any order, and nothing else.
func (in *inbox) exactly(keys []string, patience time.Duration) []received {
	got := in.await(len(keys), patience)
	equal(fmt.Sprint(sorted(keys)), fmt.Sprint(sorted(in.keys())), "keys received")
	return got
}
