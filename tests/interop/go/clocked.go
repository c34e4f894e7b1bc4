package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// clocked is what needs a broker whose clock it may set, that holds no queue for young and that has small segments
// (../java/clock.sh).
func clocked(settings settings) []scenario {
	skip := ""
	if settings.clock == "" {
		skip = "CLOCK is not set: no clock to set"
	}
	return []scenario{
		{name: "clock-places", run: places, skip: skip},
	}
}

// places: where a new group starts, and where one goes on whose place retention has let go. One after the other, as there
// is one clock.
func places(l *lab) {
	l.fromWhere()
	l.belowTheMinimum()
}

// clock is the broker's: that of the machine, and so much.
type clock struct {
	file  string
	ahead time.Duration
}

func (l *lab) clock() *clock {
	text, err := os.ReadFile(l.settings.clock)
	must(err, "the clock's file")
	seconds, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(err, "the clock's file")
	return &clock{l.settings.clock, time.Duration(seconds) * time.Second}
}

func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

func (c *clock) forward(by time.Duration) {
	c.ahead += by
	next := c.file + ".new"
	must(os.WriteFile(next, []byte(fmt.Sprintf("+%d\n", int(c.ahead.Seconds()))), 0o600), "the clock's file")
	must(os.Rename(next, c.file), "the clock's file")
}

// topicOf is another topic of the scenario.
func (l *lab) topicOf(what string) string { return l.topic() + "-" + what }

func (l *lab) fromWhere() {
	topic, clock, p := l.topicOf("where"), l.clock(), l.producer()
	past := clock.now().Add(-time.Hour)
	older, newer := numbered("older", 8), numbered("newer", 8)
	l.send(p, topic, older...)
	clock.forward(time.Hour)
	between := clock.now()
	clock.forward(time.Hour)
	l.send(p, topic, newer...)
	every := append(append([]string{}, older...), newer...)

	type start struct {
		name   string
		wanted []string
		got    *inbox
	}
	var starts []start
	begin := func(name string, wanted []string, where consumer.ConsumeFromWhere, at time.Time) {
		in := &inbox{}
		l.consume(topic, all, in.listener, consumer.WithGroupName(l.group()+name),
			consumer.WithConsumeFromWhere(where),
			// The client reads it as a time of UTC, where the one for Java reads its own zone's.
			consumer.WithConsumeTimestamp(at.UTC().Format("20060102150405")))
		starts = append(starts, start{name, wanted, in})
	}
	begin("first", every, consumer.ConsumeFromFirstOffset, past)
	begin("last", nil, consumer.ConsumeFromLastOffset, past)
	begin("past", every, consumer.ConsumeFromTimestamp, past)
	begin("between", newer, consumer.ConsumeFromTimestamp, between)
	begin("future", nil, consumer.ConsumeFromTimestamp, clock.now().Add(time.Hour))
	// A consumer has a place in each queue once a mark has come from each.
	marks := 0
	mark := func() {
		for queue := 0; queue < 4; queue++ {
			l.sendTo(topic, queue, fmt.Sprint("mark", marks), nil)
			marks++
		}
	}
	until(soon, "marks in every queue for everyone", func() bool {
		mark()
		for _, s := range starts {
			queues := map[int]bool{}
			for _, got := range s.got.all() {
				if strings.HasPrefix(got.GetKeys(), "mark") {
					queues[got.Queue.QueueId] = true
				}
			}
			if len(queues) < 4 {
				return false
			}
		}
		return true
	})
	mark()
	for _, s := range starts {
		var keys []string
		until(soon, "the last marks", func() bool {
			last := 0
			keys = nil
			for _, key := range s.got.keys() {
				if !strings.HasPrefix(key, "mark") {
					keys = append(keys, key)
				} else if n, _ := strconv.Atoi(key[len("mark"):]); n >= marks-4 {
					last++
				}
			}
			return last == 4
		})
		equal(fmt.Sprint(sorted(s.wanted)), fmt.Sprint(sorted(keys)), "messages of the group that began at "+s.name)
	}
}

// sendTo sends one message to that queue.
func (l *lab) sendTo(topic string, queue int, key string, body []byte) *primitive.SendResult {
	m := message(topic, key)
	if body != nil {
		m.Body = body
	}
	m.Queue = &primitive.MessageQueue{Topic: topic, BrokerName: l.brokerName(), QueueId: queue}
	return sendOne(l.byQueue(), m)
}

// belowTheMinimum: retention lets go what a group was to read next; it goes on with what is there, each message once.
func (l *lab) belowTheMinimum() {
	topic, clock := l.topicOf("below"), l.clock()
	l.send(l.producer(), topic, "makes-the-topic")
	for i := 0; i < 10; i++ {
		l.sendTo(topic, 0, fmt.Sprint("read", i), nil)
	}
	early, late := &inbox{}, &inbox{}
	c := l.consume(topic, all, early.listener)
	until(soon, "what was there", func() bool { return strings.Contains(strings.Join(early.keys(), " "), "read9") })
	time.Sleep(200 * time.Millisecond)
	must(c.Shutdown(), "shutdown")

	noise := make([]byte, 100_000)
	for i := 0; i < 40; i++ {
		rand.New(rand.NewSource(int64(i))).Read(noise)
		l.sendTo(topic, 0, fmt.Sprint("goes", i), bytes.Clone(noise))
	}
	clock.forward(4 * 24 * time.Hour)
	queue := l.sendTo(topic, 0, "kept", nil).MessageQueue
	reader := l.pull(consumer.WithGroupName(l.group() + "-reader"))
	must(reader.Subscribe(topic, all), "subscription")
	must(reader.Start(), "start")
	lowest := func() int64 {
		time.Sleep(200 * time.Millisecond)
		l.sendTo(topic, 0, "another", nil)
		return pulled(reader.PullFrom(context.Background(), queue, 0, 1)).MinOffset
	}
	// Retention takes two rounds, a second apart: what is before the older of two checkpoints goes.
	var first int64
	since := time.Now()
	until(soon, "the queue begins behind the group, and stays so", func() bool {
		if at := lowest(); at != first {
			first, since = at, time.Now()
		}
		return first > 11 && time.Since(since) > 3*time.Second
	})
	l.consume(topic, all, late.listener)
	until(soon, "the group goes on", func() bool {
		lowest()
		return len(late.all()) > 0
	})
	end := l.sendTo(topic, 0, "end", nil).QueueOffset
	until(soon, "the last message", func() bool { return strings.Contains(strings.Join(late.keys(), " "), "end") })
	begin := lowest()
	seen := map[int64]int{}
	for _, got := range append(early.all(), late.all()...) {
		if got.Queue.QueueId == 0 {
			seen[got.QueueOffset]++
			equal(1, seen[got.QueueOffset], fmt.Sprint("how often message ", got.QueueOffset, " came"))
		}
	}
	for offset := begin; offset <= end; offset++ {
		equal(1, seen[offset], fmt.Sprint("how often message ", offset, " of ", begin, " to ", end, " came"))
	}
}

// byQueue is a producer that sends to the queue that the message names.
func (l *lab) byQueue() rocketmq.Producer {
	if l.chooser == nil {
		l.chooser = l.producer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	}
	return l.chooser
}
