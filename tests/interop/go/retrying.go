package main

import (
	"context"
	"strings"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func retrying() []scenario {
	return []scenario{
		{name: "retry-then-dead-letter", run: retryThenDeadLetter},
		{name: "retry-at-chosen-level", run: retryAtChosenLevel},
		{name: "dead-letter-at-once", run: deadLetterAtOnce},
		{name: "orderly-dead-letter", run: orderlyDeadLetter},
	}
}

func retryThenDeadLetter(l *lab) {
	p := l.producer()
	m := message(l.topic(), "poison").WithTag("the-tag")
	m.WithProperty("colour", "grün")
	sent := sendOne(p, m)
	in := &inbox{}
	l.consume(l.topic(), all, in.failing(0), consumer.WithMaxReconsumeTimes(1))
	tries := in.await(2, 45*time.Second)
	for i, got := range tries {
		equal(int32(i), got.ReconsumeTimes, "reconsume times")
		equal(l.topic(), got.Topic, "topic that the listener sees")
		equal(sent.MsgID, got.MsgId, "message id")
		equal("the-tag", got.GetTags(), "tag")
		equal("grün", got.GetProperty("colour"), "property")
	}
	pause := tries[1].at.Sub(tries[0].at)
	check(pause >= 10*time.Second, "the retry came after %v, before its 10 s", pause)
	// Not with the client's next round of looking for queues, which comes after 20 s.
	check(pause < 20*time.Second, "the retry came after %v, long after its 10 s", pause)
	equal("%RETRY%"+l.group(), tries[1].GetProperty("REAL_TOPIC"), "topic of the retry")
	dead := l.deadLetter()
	equal(int32(2), dead.ReconsumeTimes, "how often the dead letter failed")
	equal(l.topic(), dead.GetProperty(primitive.PropertyRetryTopic), "topic that the dead letter came from")
	equal(sent.OffsetMsgID, dead.GetProperty(primitive.PropertyOriginMessageId), "id of the original")
	equal("body of poison", string(dead.Body), "body of the dead letter")
	equal(2, len(in.all()), "tries with at most one retry")
}

func retryAtChosenLevel(l *lab) {
	l.send(l.producer(), l.topic(), "k")
	in := &inbox{}
	l.consume(l.topic(), all, in.failing(1))
	tries := in.await(3, soon)
	for i := 1; i < 3; i++ {
		pause := tries[i].at.Sub(tries[i-1].at)
		check(pause >= time.Second, "retry %d came after %v, before its 1 s", i, pause)
	}
}

func deadLetterAtOnce(l *lab) {
	l.send(l.producer(), l.topic(), "poison")
	in := &inbox{}
	l.consume(l.topic(), all, in.failing(-1))
	in.await(1, soon)
	dead := l.deadLetter()
	equal("poison", dead.GetKeys(), "keys of the dead letter")
	equal(int32(1), dead.ReconsumeTimes, "how often the dead letter failed")
	equal(1, len(in.all()), "tries")
}

func orderlyDeadLetter(l *lab) {
	p := l.producer()
	l.send(p, l.topic(), "poison", "fine")
	in := &inbox{}
	l.consume(l.topic(), all, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		in.add(messages...)
		if strings.HasPrefix(messages[0].GetKeys(), "poison") {
			return consumer.SuspendCurrentQueueAMoment, nil
		}
		return consumer.ConsumeSuccess, nil
	}, consumer.WithConsumerOrder(true), consumer.WithMaxReconsumeTimes(2),
		consumer.WithSuspendCurrentQueueTimeMillis(100*time.Millisecond))
	dead := l.deadLetter()
	equal("poison", dead.GetKeys(), "keys of the dead letter")
	equal(l.topic(), dead.GetProperty(primitive.PropertyRetryTopic), "topic that the dead letter came from")
	// The client sends back what stands in the queue, whose count knows nothing of the tries in place.
	equal(int32(1), dead.ReconsumeTimes, "how often the dead letter failed")
	until(soon, "the message behind it", func() bool {
		return strings.Contains(strings.Join(in.keys(), " "), "fine")
	})
}

// deadLetter reads the dead-letter topic of the group as anyone would: with another group.
func (l *lab) deadLetter() received {
	topic := "%DLQ%" + l.group()
	until(45*time.Second, "a topic "+topic, func() bool {
		_, topics := l.topics()
		return topics[topic]
	})
	dead := &inbox{}
	l.consume(topic, all, dead.listener, consumer.WithGroupName(l.group()+"-dead"))
	return dead.await(1, soon)[0]
}
