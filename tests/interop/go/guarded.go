package main

import (
	"context"
	"strings"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// guarded is what only a broker shows that asks who is there.
func guarded(settings settings) []scenario {
	skip := ""
	if settings.user == "" {
		skip = "without ACL_USER"
	}
	return []scenario{
		{name: "acl-known", run: known, skip: skip},
		{name: "acl-wrong-secret", run: wrongSecret, skip: skip},
		{name: "acl-unsigned", run: unsigned, skip: skip},
		{name: "acl-forbidden-topic", run: forbidden, skip: skip},
	}
}

// known: signed requests of every kind pass: send, heartbeat, route, pull, commit.
func known(l *lab) {
	in := &inbox{}
	l.send(l.producer(), l.topic(), "a", "b")
	c := l.consume(l.topic(), all, in.listener)
	in.exactly([]string{"a", "b"}, soon)
	must(c.Shutdown(), "shutdown")
	l.send(l.producer(), l.topic(), "c")
	again := &inbox{}
	l.consume(l.topic(), all, again.listener)
	again.exactly([]string{"c"}, soon)
}

func wrongSecret(l *lab) {
	l.send(l.producer(), l.topic(), "makes-the-topic")
	l.refused(l.topic(), primitive.Credentials{AccessKey: l.settings.user, SecretKey: "wrong"})
}

func unsigned(l *lab) {
	l.send(l.producer(), l.topic(), "makes-the-topic")
	l.refused(l.topic(), primitive.Credentials{})
}

func forbidden(l *lab) {
	l.send(l.producer(), "forbidden", "makes-the-topic")
	limited := primitive.Credentials{AccessKey: l.settings.limitedUser, SecretKey: l.settings.limitedSecret}
	l.refused("forbidden", limited)
	sendOne(l.producer(producer.WithCredentials(limited)), message(l.topic(), "else"))
	in := &inbox{}
	l.consume(l.topic(), all, in.listener, consumer.WithCredentials(limited))
	in.exactly([]string{"else"}, soon)
}

// refused: with these credentials nothing is sent to the topic, and the client says something of the kind.
func (l *lab) refused(topic string, credentials primitive.Credentials) {
	p := l.producer(producer.WithCredentials(credentials), producer.WithRetry(0))
	_, err := p.SendSync(context.Background(), message(topic, "refused"))
	check(err != nil, "it was sent")
	check(!strings.Contains(err.Error(), "timeout"), "no clear refusal: %v", err)
}
