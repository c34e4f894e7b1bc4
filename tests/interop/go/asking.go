package main

import (
	"context"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func asking() []scenario {
	return []scenario{
		{name: "request-reply", run: requestReply},
		{name: "request-reply-async", run: requestReplyAsync},
		{name: "request-timeout", run: requestTimeout},
	}
}

// answering is a consumer that answers each request with its body behind "re: ".
func (l *lab) answering(replies rocketmq.Producer) {
	l.consume(l.topic(), all, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, m := range messages {
			if m.GetProperty(primitive.PropertyCorrelationID) == "" {
				continue
			}
			reply, err := consumer.CreateReplyMessage(m, nil)
			if err != nil {
				return consumer.ConsumeRetryLater, err
			}
			reply.Body = append([]byte("re: "), m.Body...)
			// The asker may be gone, or not have told the broker about itself yet; it asks again.
			_, _ = replies.SendSync(context.Background(), reply)
		}
		return consumer.ConsumeSuccess, nil
	})
}

// answered is a producer that can be answered: the client tells the broker about itself a second after its start and then
// every half minute, if it has sent something there by then.
func (l *lab) answered() rocketmq.Producer {
	p := l.producer()
	l.send(p, l.topic(), "makes-the-topic")
	l.answering(l.producer())
	until(45*time.Second, "an answer", func() bool {
		_, err := p.Request(context.Background(), time.Second, primitive.NewMessage(l.topic(), []byte("anyone there?")))
		return err == nil
	})
	return p
}

func requestReply(l *lab) {
	asker := l.answered()
	for _, question := range []string{"one", "two"} {
		reply, err := asker.Request(context.Background(), 20*time.Second, primitive.NewMessage(l.topic(), []byte(question)))
		must(err, "request")
		equal("re: "+question, string(reply.Body), "reply")
	}
}

func requestReplyAsync(l *lab) {
	asker := l.answered()
	answers := make(chan string, 1)
	must(asker.RequestAsync(context.Background(), 20*time.Second, func(_ context.Context, reply *primitive.Message, err error) {
		if err != nil {
			answers <- err.Error()
		} else {
			answers <- string(reply.Body)
		}
	}, primitive.NewMessage(l.topic(), []byte("one"))), "request")
	select {
	case answer := <-answers:
		equal("re: one", answer, "reply")
	case <-time.After(soon):
		check(false, "no reply")
	}
}

func requestTimeout(l *lab) {
	asker := l.producer()
	l.send(asker, l.topic(), "makes-the-topic")
	_, err := asker.Request(context.Background(), time.Second, primitive.NewMessage(l.topic(), []byte("nobody answers")))
	check(err != nil, "an answer that nobody gave")
}
