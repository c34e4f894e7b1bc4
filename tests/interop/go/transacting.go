package main

import (
	"context"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func transacting() []scenario {
	return []scenario{
		{name: "transaction-commit", run: transactionCommit},
		{name: "transaction-rollback", run: transactionRollback},
		{name: "transaction-checked", run: transactionChecked},
	}
}

// outcome tells one state at once and another when asked.
type outcome struct {
	now, asked primitive.LocalTransactionState
	mutex      sync.Mutex
	checks     []time.Time
}

func (o *outcome) ExecuteLocalTransaction(*primitive.Message) primitive.LocalTransactionState {
	return o.now
}

func (o *outcome) CheckLocalTransaction(*primitive.MessageExt) primitive.LocalTransactionState {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.checks = append(o.checks, time.Now())
	return o.asked
}

func (o *outcome) askedAt() []time.Time {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return append([]time.Time(nil), o.checks...)
}

func sendHalf(p rocketmq.TransactionProducer, m *primitive.Message, wanted primitive.LocalTransactionState) {
	sent, err := p.SendMessageInTransaction(context.Background(), m)
	must(err, "send in a transaction")
	equal(primitive.SendOK, sent.Status, "status of the half")
	equal(wanted, sent.State, "state of the transaction")
}

func transactionCommit(l *lab) {
	in := &inbox{}
	p := l.transactions(&outcome{now: primitive.CommitMessageState})
	sendHalf(p, message(l.topic(), "k"), primitive.CommitMessageState)
	l.consume(l.topic(), all, in.listener)
	in.exactly([]string{"k"}, soon)
}

func transactionRollback(l *lab) {
	in := &inbox{}
	rolled := l.transactions(&outcome{now: primitive.RollbackMessageState})
	sendHalf(rolled, message(l.topic(), "never"), primitive.RollbackMessageState)
	l.send(l.producer(), l.topic(), "behind")
	l.consume(l.topic(), all, in.listener)
	in.exactly([]string{"behind"}, soon)
}

// transactionChecked: an outcome that is not known is asked for after six seconds, and not before.
func transactionChecked(l *lab) {
	in := &inbox{}
	answers := &outcome{now: primitive.UnkonwnState, asked: primitive.CommitMessageState}
	p := l.transactions(answers)
	started := time.Now()
	sendHalf(p, message(l.topic(), "k"), primitive.UnkonwnState)
	l.consume(l.topic(), all, in.listener)
	in.exactly([]string{"k"}, 45*time.Second)
	asked := answers.askedAt()
	equal(1, len(asked), "checks")
	check(asked[0].Sub(started) >= 6*time.Second, "asked after %v", asked[0].Sub(started))
}
