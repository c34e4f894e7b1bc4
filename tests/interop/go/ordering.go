package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func ordering() []scenario {
	return []scenario{
		{name: "orderly-by-sharding-key", run: orderlyBySharding},
		{name: "orderly-retry-in-place", run: orderlyRetryInPlace},
		{name: "orderly-takeover", run: orderlyTakeover},
	}
}

// orderlyBySharding: messages of one sharding key come in order, to one listener at a time.
func orderlyBySharding(l *lab) {
	p := l.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	const each = 10
	shards := numbered("shard", 4)
	for i := 0; i < each; i++ {
		for _, shard := range shards {
			sendOne(p, message(l.topic(), fmt.Sprintf("%s/%d", shard, i)).WithShardingKey(shard))
		}
	}
	in := &inbox{}
	l.consume(l.topic(), all, in.listener, consumer.WithConsumerOrder(true))
	got := in.await(each*len(shards), soon)
	next := map[string]int{}
	for _, m := range got {
		shard := m.GetShardingKey()
		equal(fmt.Sprintf("%s/%d", shard, next[shard]), m.GetKeys(), "next of its shard")
		next[shard]++
	}
}

// orderlyRetryInPlace: what fails is tried again where it is, and nothing behind it comes before.
func orderlyRetryInPlace(l *lab) {
	p := l.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	keys := numbered("k", 4)
	for _, key := range keys {
		sendOne(p, message(l.topic(), key).WithShardingKey("one"))
	}
	in := &inbox{}
	var tries atomic.Int32
	l.consume(l.topic(), all, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		if messages[0].GetKeys() == "k1" && tries.Add(1) < 3 {
			return consumer.SuspendCurrentQueueAMoment, nil
		}
		in.add(messages...)
		return consumer.ConsumeSuccess, nil
	}, consumer.WithConsumerOrder(true), consumer.WithSuspendCurrentQueueTimeMillis(100*time.Millisecond))
	in.await(len(keys), soon)
	equal(fmt.Sprint(keys), fmt.Sprint(in.keys()), "keys in order")
	equal(int32(3), tries.Load(), "tries")
}

// orderlyTakeover: the queue locks of a member that goes are free at once.
func orderlyTakeover(l *lab) {
	p := l.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	send := func(key string) { sendOne(p, message(l.topic(), key).WithShardingKey("one")) }
	send("k0")
	one, two := &inbox{}, &inbox{}
	c := l.consume(l.topic(), all, one.listener, consumer.WithConsumerOrder(true))
	one.await(1, soon)
	must(c.Shutdown(), "shutdown")
	send("k1")
	l.consume(l.topic(), all, two.listener, consumer.WithConsumerOrder(true))
	two.exactly([]string{"k1"}, soon)
}
