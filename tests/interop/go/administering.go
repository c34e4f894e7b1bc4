package main

import (
	"context"
	"net"
	"time"

	"github.com/apache/rocketmq-client-go/v2/admin"
)

func administering() []scenario {
	return []scenario{
		{name: "admin-topics", run: adminTopics},
		{name: "admin-groups", run: adminGroups},
	}
}

type tool interface {
	CreateTopic(context.Context, ...admin.OptionCreate) error
	DeleteTopic(context.Context, ...admin.OptionDelete) error
	FetchAllTopicList(context.Context) (*admin.TopicList, error)
	GetAllSubscriptionGroup(context.Context, string, time.Duration) (*admin.SubscriptionGroupWrapper, error)
}

// topics gives a tool, and the names of all topics.
func (l *lab) topics() (tool, map[string]bool) {
	a, err := admin.NewAdmin(admin.WithResolver(l.resolver()), admin.WithCredentials(l.credentials()),
		admin.WithTls(l.settings.tls))
	must(err, "a tool")
	// The client signs what its tool asks only once it has asked for groups.
	_, err = a.GetAllSubscriptionGroup(context.Background(), l.broker(), 5*time.Second)
	must(err, "list of groups")
	list, err := a.FetchAllTopicList(context.Background())
	must(err, "list of topics")
	names := map[string]bool{}
	for _, name := range list.TopicList {
		names[name] = true
	}
	return a, names
}

// broker is the address of the broker: either listener answers every request.
func (l *lab) broker() string {
	host, port, err := net.SplitHostPort(l.settings.nameServer)
	must(err, "address")
	return net.JoinHostPort(host, port)
}

func adminTopics(l *lab) {
	a, topics := l.topics()
	check(!topics[l.topic()], "the topic is there already")
	must(a.CreateTopic(context.Background(), admin.WithTopicCreate(l.topic()), admin.WithBrokerAddrCreate(l.broker()),
		admin.WithReadQueueNums(3), admin.WithWriteQueueNums(3)), "creation")
	_, topics = l.topics()
	check(topics[l.topic()], "the topic is not there")
	c := l.pull()
	must(c.Subscribe(l.topic(), all), "subscription")
	must(c.Start(), "start")
	queues, err := c.GetTopicRouteInfo(l.topic())
	must(err, "route")
	equal(3, len(queues), "queues")
	must(a.DeleteTopic(context.Background(), admin.WithTopicDelete(l.topic()), admin.WithBrokerAddrDelete(l.broker()),
		admin.WithNameSrvAddr([]string{l.settings.nameServer})), "deletion")
	_, topics = l.topics()
	check(!topics[l.topic()], "the topic is still there")
}

func adminGroups(l *lab) {
	l.send(l.producer(), l.topic(), "first")
	in := &inbox{}
	l.consume(l.topic(), all, in.listener)
	in.await(1, soon)
	a, _ := l.topics()
	groups, err := a.GetAllSubscriptionGroup(context.Background(), l.broker(), 5*time.Second)
	must(err, "groups")
	group, known := groups.SubscriptionGroupTable[l.group()]
	check(known, "the group is not in the list")
	equal(16, group.RetryMaxTimes, "most retries")
}
