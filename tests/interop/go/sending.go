package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func sending() []scenario {
	return []scenario{
		{name: "send-sync", run: sendSync},
		{name: "send-async", run: sendAsync},
		{name: "send-oneway", run: sendOneWay},
		{name: "send-batch", run: sendBatch},
		{name: "send-compressed", run: sendCompressed},
		{name: "send-too-large-refused", run: sendTooLarge},
		{name: "send-chosen-queue", run: sendChosenQueue},
		{name: "delay-level", run: delayLevel},
		{name: "delay-millis", run: delayMillis},
		{name: "namespace", run: inNamespace},
		{name: "trace", run: traced},
	}
}

func sendSync(l *lab) {
	m := primitive.NewMessage(l.topic(), []byte("drei Tees, ☕")).WithTag("paid").WithKeys([]string{"order-1", "blue"})
	m.WithProperty("colour", "grün")
	sent := sendOne(l.producer(), m)
	check(sent.MsgID != "" && sent.OffsetMsgID != "", "ids in %v", sent)
	equal(int64(0), sent.QueueOffset, "offset of the first message")

	in := &inbox{}
	l.consume(l.topic(), all, in.listener)
	got := in.await(1, soon)[0]
	equal("drei Tees, ☕", string(got.Body), "body")
	equal("paid", got.GetTags(), "tag")
	equal("order-1 blue", got.GetKeys(), "keys")
	equal("grün", got.GetProperty("colour"), "property")
	equal(sent.MsgID, got.MsgId, "message id")
	equal(sent.OffsetMsgID, got.OffsetMsgId, "offset id")
	equal(sent.MessageQueue.QueueId, got.Queue.QueueId, "queue")
	equal(int32(0), got.ReconsumeTimes, "reconsume times")
	check(got.StoreTimestamp >= got.BornTimestamp-1000, "stored %d, born %d", got.StoreTimestamp, got.BornTimestamp)
}

func sendAsync(l *lab) {
	p := l.producer()
	keys := numbered("k", 20)
	var sent sync.WaitGroup
	errors := make(chan error, len(keys))
	for _, key := range keys {
		sent.Add(1)
		must(p.SendAsync(context.Background(), func(_ context.Context, result *primitive.SendResult, err error) {
			errors <- err
			sent.Done()
		}, message(l.topic(), key)), "hand over")
	}
	sent.Wait()
	close(errors)
	for err := range errors {
		must(err, "asynchronous send")
	}
	in := &inbox{}
	l.consume(l.topic(), all, in.listener)
	in.exactly(keys, soon)
}

func sendOneWay(l *lab) {
	p := l.producer()
	keys := numbered("k", 6)
	// A consumer does not start without a topic, and nothing says when a one-way message has made one.
	_, err := p.SendSync(context.Background(), message(l.topic(), keys[0]))
	must(err, "send")
	for _, key := range keys[1:] {
		must(p.SendOneWay(context.Background(), message(l.topic(), key)), "one-way send")
	}
	in := &inbox{}
	l.consume(l.topic(), all, in.listener)
	in.exactly(keys, soon)
}

func sendBatch(l *lab) {
	var batch []*primitive.Message
	keys := numbered("k", 10)
	for _, key := range keys {
		batch = append(batch, message(l.topic(), key).WithTag("t-"+key))
	}
	sent, err := l.producer().SendSync(context.Background(), batch...)
	must(err, "batch")
	equal(primitive.SendOK, sent.Status, "status of the batch")
	in := &inbox{}
	l.consume(l.topic(), all, in.listener)
	for _, got := range in.exactly(keys, soon) {
		equal("body of "+got.GetKeys(), string(got.Body), "body")
		equal("t-"+got.GetKeys(), got.GetTags(), "tag")
		equal(sent.MessageQueue.QueueId, got.Queue.QueueId, "queue of a batch")
	}
}

func sendCompressed(l *lab) {
	body := bytes.Repeat([]byte("all work and no play "), 10_000)
	sendOne(l.producer(producer.WithCompressMsgBodyOverHowmuch(1000)), primitive.NewMessage(l.topic(), body))
	in := &inbox{}
	l.consume(l.topic(), all, in.listener)
	got := in.await(1, soon)[0]
	check(bytes.Equal(body, got.Body), "%d bytes instead of %d", len(got.Body), len(body))
}

func sendTooLarge(l *lab) {
	p := l.producer(producer.WithCompressMsgBodyOverHowmuch(1<<30), producer.WithRetry(0))
	_, err := p.SendSync(context.Background(), primitive.NewMessage(l.topic(), make([]byte, 5<<20)))
	check(err != nil, "five MiB were taken")
	check(strings.Contains(err.Error(), "13"), "refused with %v, not with 13", err)
}

func sendChosenQueue(l *lab) {
	p := l.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	sendOne(l.producer(), message(l.topic(), "makes-the-topic"))
	m := message(l.topic(), "chosen")
	m.Queue = &primitive.MessageQueue{Topic: l.topic(), BrokerName: l.brokerName(), QueueId: 2}
	equal(2, sendOne(p, m).MessageQueue.QueueId, "queue")
}

// brokerName is learnt from a first send, as nothing else of the client tells it.
func (l *lab) brokerName() string {
	if l.whereFound == "" {
		l.whereFound = sendOne(l.producer(), message(l.topic(), "where")).MessageQueue.BrokerName
	}
	return l.whereFound
}

func delayLevel(l *lab) {
	in := &inbox{}
	p := l.producer()
	l.send(p, l.topic(), "at-once")
	l.consume(l.topic(), all, in.listener)
	in.await(1, soon)
	started := time.Now()
	sendOne(p, message(l.topic(), "later").WithDelayTimeLevel(2))
	got := in.await(2, soon)[1]
	late := got.at.Sub(started)
	check(late >= 5*time.Second, "level 2 came after %v", late)
	check(late < 20*time.Second, "level 2 came after %v", late)
}

func delayMillis(l *lab) {
	in := &inbox{}
	p := l.producer()
	l.send(p, l.topic(), "at-once")
	l.consume(l.topic(), all, in.listener)
	in.await(1, soon)
	due := time.Now().Add(2345 * time.Millisecond)
	sendOne(p, message(l.topic(), "later").WithDelayTimestamp(due))
	got := in.await(2, soon)[1]
	check(got.StoreTimestamp >= due.UnixMilli(), "stored %d ms before its time", due.UnixMilli()-got.StoreTimestamp)
	check(got.at.Before(due.Add(15*time.Second)), "came %v after its time", got.at.Sub(due))
}

func inNamespace(l *lab) {
	in := &inbox{}
	l.send(l.producer(producer.WithNamespace("INST_go")), l.topic(), "k")
	l.consume(l.topic(), all, in.listener, consumer.WithNamespace("INST_go"))
	in.exactly([]string{"k"}, soon)
	_, topics := l.topics()
	check(topics["INST_go%"+l.topic()], "there is no topic INST_go%%%s", l.topic())
}

// traced looks at what the client's own trace leaves in the trace topic.
func traced(l *lab) {
	config := &primitive.TraceConfig{
		Access: primitive.Local, Resolver: l.resolver(), Credentials: l.credentials(),
	}
	traces := &inbox{}
	l.consume("RMQ_SYS_TRACE_TOPIC", all, traces.listener)
	sent := l.send(l.producer(producer.WithTrace(config)), l.topic(), "k")[0]
	until(soon, "a trace of "+sent.MsgID, func() bool {
		for _, trace := range traces.all() {
			if bytes.Contains(trace.Body, []byte(sent.MsgID)) {
				return true
			}
		}
		return false
	})
}
