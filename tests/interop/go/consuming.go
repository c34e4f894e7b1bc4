package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func consuming() []scenario {
	return []scenario{
		{name: "consume-shared", run: consumeShared},
		{name: "consume-takeover", run: consumeTakeover},
		{name: "consume-goes-on", run: consumeGoesOn},
		{name: "consume-broadcast", run: consumeBroadcast},
		{name: "consume-young-topic", run: consumeYoungTopic},
		{name: "consume-long-poll", run: consumeLongPoll},
		{name: "consume-suspended", run: consumeSuspended},
		{name: "filter-tags", run: filterTags},
		{name: "filter-sql", run: filterSQL},
	}
}

// consumeShared: two members of a group get each message once, and both get some.
func consumeShared(l *lab) {
	p := l.producer()
	l.send(p, l.topic(), "first")
	one, two := &inbox{}, &inbox{}
	l.consume(l.topic(), all, one.listener)
	one.await(1, soon)
	l.consume(l.topic(), all, two.listener)
	sent := 1
	until(soon, "the second member gets messages", func() bool {
		l.send(p, l.topic(), fmt.Sprint("k", sent))
		sent++
		return len(two.all()) > 0
	})
	before := len(one.all())
	until(soon, "the first goes on", func() bool {
		l.send(p, l.topic(), fmt.Sprint("k", sent))
		sent++
		return len(one.all()) > before
	})
	seen := func() map[string]bool {
		keys := map[string]bool{}
		for _, key := range append(one.keys(), two.keys()...) {
			keys[key] = true
		}
		return keys
	}
	until(soon, "all of the messages", func() bool { return len(seen()) == sent })
}

// consumeTakeover: what one member had is read by the other when it goes.
func consumeTakeover(l *lab) {
	p := l.producer()
	l.send(p, l.topic(), "first")
	one, two := &inbox{}, &inbox{}
	leaver := l.consume(l.topic(), all, one.listener)
	one.await(1, soon)
	l.consume(l.topic(), all, two.listener)
	sent := 0
	until(soon, "both have queues", func() bool {
		l.send(p, l.topic(), fmt.Sprint("a", sent))
		sent++
		return len(two.all()) > 0
	})
	must(leaver.Shutdown(), "shutdown")
	left := len(one.all())
	keys := numbered("after", 8)
	l.send(p, l.topic(), keys...)
	has := func(key string) bool {
		for _, got := range two.keys() {
			if got == key {
				return true
			}
		}
		return false
	}
	for _, key := range keys {
		until(soon, key+" at the member that is left", func() bool { return has(key) })
	}
	equal(left, len(one.all()), "messages of the member that has left")
}

// consumeGoesOn: a group reads on behind what it had committed. The client takes down how far it is after its listener
// has returned, and one that is shut down in between says less than it has read: that member's work comes again, and so
// the change of members is tried again. A broker that forgets what was committed fails every time.
func consumeGoesOn(l *lab) {
	p := l.producer()
	var before []string
	for try := 0; ; try++ {
		keys := numbered(fmt.Sprintf("r%d-", try), 6)
		l.send(p, l.topic(), keys...)
		in := &inbox{}
		c := l.consume(l.topic(), all, in.listener)
		for _, key := range keys {
			until(soon, key, func() bool { return slices.Contains(in.keys(), key) })
		}
		time.Sleep(200 * time.Millisecond)
		must(c.Shutdown(), "shutdown")
		got := fmt.Sprint(sorted(in.keys()))
		if try > 0 && got == fmt.Sprint(keys) {
			return
		}
		check(try < 5, "read again behind what was committed, five times; the last: %v after %v", got, before)
		before = keys
	}
}

func consumeBroadcast(l *lab) {
	keys := numbered("k", 8)
	one, two := &inbox{}, &inbox{}
	p := l.producer()
	l.send(p, l.topic(), keys...)
	for _, in := range []*inbox{one, two} {
		l.consume(l.topic(), all, in.listener, consumer.WithConsumerModel(consumer.BroadCasting))
	}
	one.exactly(keys, soon)
	two.exactly(keys, soon)
}

// consumeYoungTopic: a new group starts at the beginning of a topic that is young, whatever it asks for, as on a stock
// broker that has the topic in memory.
func consumeYoungTopic(l *lab) {
	keys := numbered("k", 4)
	l.send(l.producer(), l.topic(), keys...)
	in := &inbox{}
	l.consume(l.topic(), all, in.listener, consumer.WithConsumeFromWhere(consumer.ConsumeFromLastOffset))
	in.exactly(keys, soon)
}

// consumeLongPoll: messages that come while the consumer waits are there at once, not at the next rounds, which come every
// 20 s.
func consumeLongPoll(l *lab) {
	p := l.producer()
	l.send(p, l.topic(), "first")
	in := &inbox{}
	l.consume(l.topic(), all, in.listener)
	in.await(1, soon)
	started := time.Now()
	for i := 0; i < 5; i++ {
		l.send(p, l.topic(), fmt.Sprint("k", i))
		in.await(i+2, soon)
	}
	check(time.Since(started) < 15*time.Second, "five messages, one after the other, took %v", time.Since(started))
}

func consumeSuspended(l *lab) {
	p := l.producer()
	l.send(p, l.topic(), "first")
	in := &inbox{}
	c := l.consume(l.topic(), all, in.listener)
	in.await(1, soon)
	c.Suspend()
	l.send(p, l.topic(), "meanwhile")
	c.Resume()
	in.exactly([]string{"first", "meanwhile"}, soon)
}

func filterTags(l *lab) {
	p := l.producer()
	var wanted []string
	for _, tag := range []string{"paid", "open", "refunded", "", "Paid"} {
		m := message(l.topic(), "key-"+tag)
		if tag != "" {
			m.WithTag(tag)
		}
		sendOne(p, m)
		if tag == "paid" || tag == "refunded" {
			wanted = append(wanted, "key-"+tag)
		}
	}
	in := &inbox{}
	l.consume(l.topic(), consumer.MessageSelector{Type: consumer.TAG, Expression: "paid || refunded"}, in.listener)
	in.exactly(wanted, soon)
}

func filterSQL(l *lab) {
	p := l.producer()
	for i, colour := range []string{"red", "green", "blue", "green"} {
		m := message(l.topic(), fmt.Sprint("k", i))
		m.WithProperty("colour", colour)
		m.WithProperty("size", fmt.Sprint(i))
		sendOne(p, m)
	}
	in := &inbox{}
	l.consume(l.topic(), consumer.MessageSelector{
		Type: consumer.SQL92, Expression: "colour = 'green' AND size BETWEEN 2 AND 9",
	}, in.listener)
	in.exactly([]string{"k3"}, soon)
}

// failing takes everything in and has every message come again, at that delay level.
func (in *inbox) failing(level int) listener {
	return func(ctx context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		in.add(messages...)
		if told, ok := primitive.GetConcurrentlyCtx(ctx); ok && level != 0 {
			told.DelayLevelWhenNextConsume = level
		}
		return consumer.ConsumeRetryLater, nil
	}
}
