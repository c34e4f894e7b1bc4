package main

import (
	"context"
	"sort"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func pulling() []scenario {
	return []scenario{
		{name: "pull-from", run: pullFrom},
		{name: "pull-committed", run: pullCommitted},
		{name: "pull-poll", run: pullPoll},
		{name: "pull-poll-assigned", run: pullPollAssigned},
	}
}

// filled is a topic with these keys, all in one queue, and that queue.
func (l *lab) filled(keys []string) *primitive.MessageQueue {
	var batch []*primitive.Message
	for _, key := range keys {
		batch = append(batch, message(l.topic(), key))
	}
	sent, err := l.producer().SendSync(context.Background(), batch...)
	must(err, "batch")
	return sent.MessageQueue
}

// pullFrom reads at chosen offsets, below and above what there is as well.
func pullFrom(l *lab) {
	keys := numbered("k", 10)
	queue := l.filled(keys)
	c := l.pull()
	must(c.Subscribe(l.topic(), all), "subscription")
	must(c.Start(), "start")
	got := pulled(c.PullFrom(context.Background(), queue, 3, 4))
	equal(primitive.PullFound, got.Status, "status")
	equal(int64(7), got.NextBeginOffset, "next offset")
	equal(int64(0), got.MinOffset, "lowest offset")
	equal(int64(10), got.MaxOffset, "highest offset")
	equal(4, len(got.GetMessageExts()), "messages")
	for i, m := range got.GetMessageExts() {
		equal(keys[3+i], m.GetKeys(), "keys")
		equal(int64(3+i), m.QueueOffset, "offset")
	}
	above := pulled(c.PullFrom(context.Background(), queue, 99, 4))
	equal(primitive.PullOffsetIllegal, above.Status, "status above the end")
	equal(int64(10), above.NextBeginOffset, "next offset above the end")

	at, err := c.OffsetForTimestamp(queue, got.GetMessageExts()[0].StoreTimestamp+60_000)
	must(err, "search by time")
	equal(int64(10), at, "offset of a time to come")
	at, err = c.OffsetForTimestamp(queue, 0)
	must(err, "search by time")
	equal(int64(0), at, "offset of the beginning of time")
}

func pulled(got *primitive.PullResult, err error) *primitive.PullResult {
	must(err, "pull")
	return got
}

// pullCommitted: what the group has consumed is stored when its consumer goes, and its next one begins there.
func pullCommitted(l *lab) {
	keys := numbered("k", 10)
	queue := l.filled(keys)
	c := l.pull()
	must(c.Subscribe(l.topic(), all), "subscription")
	must(c.Start(), "start")
	poll(c, keys)
	must(c.PersistOffset(context.Background(), l.topic()), "store of the offset")
	must(c.Shutdown(), "shutdown")
	other := l.pull()
	must(other.Subscribe(l.topic(), all), "subscription")
	must(other.Start(), "start")
	until(soon, "the offset of the group", func() bool {
		at, err := other.CurrentOffset(queue)
		return err == nil && at == 10
	})
}

// pullPoll: the client shares the queues and hands out what it has, and acknowledges by itself.
func pullPoll(l *lab) {
	keys := numbered("k", 10)
	l.filled(keys)
	c := l.pull()
	must(c.Subscribe(l.topic(), all), "subscription")
	must(c.Start(), "start")
	poll(c, keys)
}

func pullPollAssigned(l *lab) {
	keys := numbered("k", 10)
	queue := l.filled(keys)
	c := l.pull()
	must(c.Assign(l.topic(), []*primitive.MessageQueue{queue}), "assignment")
	must(c.Start(), "start")
	poll(c, keys)
}

type poller interface {
	Poll(context.Context, time.Duration) (*consumer.ConsumeRequest, error)
	ACK(context.Context, *consumer.ConsumeRequest, consumer.ConsumeResult)
}

func poll(c poller, keys []string) {
	var got []string
	until(soon, "all messages by polling", func() bool {
		request, err := c.Poll(context.Background(), time.Second)
		if consumer.IsNoNewMsgError(err) {
			return false
		}
		must(err, "poll")
		for _, m := range request.GetMsgList() {
			got = append(got, m.GetKeys())
		}
		c.ACK(context.Background(), request, consumer.ConsumeSuccess)
		return len(got) >= len(keys)
	})
	sort.Strings(got)
	for i, key := range sorted(keys) {
		equal(key, got[i], "keys polled")
	}
}
