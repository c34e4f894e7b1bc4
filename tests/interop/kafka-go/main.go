// The stock clients for Go against a broker that already runs: franz-go, which speaks the newest versions of everything
// and reads strictly, and segmentio's kafka-go, which speaks old ones.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var address = os.Getenv("KAFKA_ADDR")

func client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address), kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)...)
}

var born = time.UnixMilli(1_700_000_000_000)

// records are null, empty and binary, which are three things.
func records(topic string) []*kgo.Record {
	headers := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}, {Key: "a", Value: []byte{0, 255}}, {Key: "c", Value: []byte{}}}
	all := []*kgo.Record{
		{Key: []byte("key"), Value: []byte("value")},
		{Value: []byte("no key")},
		{Key: []byte("tombstone")},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte{255, 0}, Value: []byte{0, 1, 255}},
	}
	for at, record := range all {
		record.Topic, record.Headers, record.Timestamp = topic, headers, born.Add(time.Duration(at)*time.Millisecond)
	}
	return all
}

func consume(ctx context.Context, topic string, count int, options ...kgo.Opt) ([]*kgo.Record, error) {
	start := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}
	reader, err := client(append(options, kgo.ConsumePartitions(start))...)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var got []*kgo.Record
	for len(got) < count {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return got, err
		}
		got = append(got, fetches.Records()...)
	}
	return got, nil
}

func same(got, want []*kgo.Record) error {
	if err := expect("how many", len(got), len(want)); err != nil {
		return err
	}
	for at, record := range want {
		if err := first(
			expect("key", got[at].Key, record.Key),
			expect("value", got[at].Value, record.Value),
			expect("headers", got[at].Headers, record.Headers),
			expect("offset", got[at].Offset, int64(at)),
			expect("time", got[at].Timestamp.UnixMilli(), record.Timestamp.UnixMilli()),
		); err != nil {
			return fmt.Errorf("record %d: %w", at, err)
		}
	}
	return nil
}

func codecs() map[string]kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
}

func thereAndBack(ctx context.Context, options ...kgo.Opt) error {
	topic := unique()
	producer, err := client(options...)
	if err != nil {
		return err
	}
	defer producer.Close()
	sent := records(topic)
	if err := producer.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return err
	}
	got, err := consume(ctx, topic, len(sent), options...)
	if err != nil {
		return err
	}
	return same(got, records(topic))
}

// many records through several connections and partitions, with batches in flight.
func many(ctx context.Context) error {
	const count, partitions = 20_000, 4
	topic := unique()
	producer, err := client(kgo.ProducerLinger(5 * time.Millisecond))
	if err != nil {
		return err
	}
	defer producer.Close()
	failures := make(chan error, count)
	for at := range count {
		record := &kgo.Record{Topic: topic, Partition: int32(at % partitions), Value: fmt.Appendf(nil, "%08d", at)}
		producer.Produce(ctx, record, func(_ *kgo.Record, err error) { failures <- err })
	}
	if err := producer.Flush(ctx); err != nil {
		return err
	}
	for range count {
		if err := <-failures; err != nil {
			return err
		}
	}
	group, err := client(kgo.ConsumerGroup(unique()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer group.Close()
	last, seen := map[int32]string{}, 0
	for seen < count {
		fetches := group.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			if value := string(record.Value); value <= last[record.Partition] && last[record.Partition] != "" {
				return fmt.Errorf("%s after %s", value, last[record.Partition])
			}
			last[record.Partition] = string(record.Value)
			seen++
		}
	}
	return group.CommitUncommittedOffsets(ctx)
}

// transactions are committed and aborted in turn by one producer; who reads what is committed sees every second.
func transactions(ctx context.Context) error {
	topic := unique()
	producer, err := client(kgo.TransactionalID(unique()))
	if err != nil {
		return err
	}
	defer producer.Close()
	for at, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		record := &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%d", at)}
		if err := first(producer.BeginTransaction(), producer.ProduceSync(ctx, record).FirstErr()); err != nil {
			return err
		}
		if err := producer.EndTransaction(ctx, end); err != nil {
			return err
		}
	}
	committed, err := consume(ctx, topic, 2, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	everything, err := consume(ctx, topic, 4)
	return first(err, expect("committed", values(committed), []string{"1", "3"}),
		expect("everything", values(everything), []string{"0", "1", "2", "3"}))
}

func values(records []*kgo.Record) []string {
	var all []string
	for _, record := range records {
		all = append(all, string(record.Value))
	}
	return all
}

// truncation: with an epoch beside an offset the client first asks where that epoch ended, and says so when that lies before.
func truncation(ctx context.Context) error {
	topic := unique()
	plain, err := client()
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := plain.ProduceSync(ctx, records(topic)...).FirstErr(); err != nil {
		return err
	}
	var asked kadm.OffsetForLeaderEpochRequest
	asked.Add(topic, 0, 0)
	asked.Add(topic, 1, 7)
	told, err := kadm.NewClient(plain).OffsetForLeaderEpoch(ctx, asked)
	if err != nil {
		return err
	}
	ends, unknown := told[topic][0], told[topic][1]
	if err := first(ends.Err, unknown.Err, expect("epoch", ends.LeaderEpoch, int32(0)), expect("its end", ends.EndOffset, int64(5)),
		expect("an epoch that never was", unknown.LeaderEpoch, int32(-1)), expect("its end", unknown.EndOffset, int64(-1))); err != nil {
		return err
	}
	behind := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(100).WithEpoch(0)}}
	reader, err := client(kgo.ConsumePartitions(behind))
	if err != nil {
		return err
	}
	defer reader.Close()
	var lost *kgo.ErrDataLoss
	if err := reader.PollFetches(ctx).Err(); !errors.As(err, &lost) {
		return fmt.Errorf("an offset behind the end: %v", err)
	}
	return first(expect("asked for", lost.ConsumedTo, int64(100)), expect("goes on at", lost.ResetTo, int64(5)))
}

func administrates(ctx context.Context) error {
	plain, err := client()
	if err != nil {
		return err
	}
	defer plain.Close()
	admin, topic := kadm.NewClient(plain), unique()
	hour := "3600000"
	made, err := admin.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": &hour}, topic)
	if err := first(err, made.Err); err != nil {
		return err
	}
	if _, err := admin.CreateTopic(ctx, 3, 1, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("made twice: %v", err)
	}
	compact := "compact"
	if _, err := admin.CreateTopic(ctx, 1, 1, map[string]*string{"cleanup.policy": &compact}, unique()); !errors.Is(err, kerr.InvalidConfig) {
		return fmt.Errorf("compaction: %v", err)
	}
	details, err := admin.ListTopics(ctx, topic)
	if err := first(err, details[topic].Err, expect("partitions", len(details[topic].Partitions), 3)); err != nil {
		return err
	}
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	for _, config := range configs[0].Configs {
		if config.Key == "retention.ms" && config.MaybeValue() != hour {
			return expect("retention.ms", config.MaybeValue(), hour)
		}
	}
	grown, err := admin.CreatePartitions(ctx, 2, topic)
	if err := first(err, grown.Error()); err != nil {
		return err
	}
	if err := plain.ProduceSync(ctx, records(topic)...).FirstErr(); err != nil {
		return err
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	end, _ := ends.Lookup(topic, 0)
	if err := first(err, expect("end", end.Offset, int64(5))); err != nil {
		return err
	}
	var below kadm.Offsets
	below.Add(kadm.Offset{Topic: topic, Partition: 0, At: 2})
	cut, err := admin.DeleteRecords(ctx, below)
	if err := first(err, cut.Error()); err != nil {
		return err
	}
	brokers, err := admin.ListBrokers(ctx)
	if err := first(err, expect("brokers", len(brokers), 1)); err != nil {
		return err
	}
	gone, err := admin.DeleteTopics(ctx, topic)
	return first(err, gone.Error())
}

func main() {
	if os.Getenv("TLS_CLIENT_CERT") != "" {
		secure() // the others speak plain text; here is who may come in, and how
	} else {
		for name, codec := range codecs() {
			scenario("franz-codec-"+name, func(ctx context.Context) error {
				return thereAndBack(ctx, kgo.ProducerBatchCompression(codec))
			})
		}
		scenario("franz-acks-1", func(ctx context.Context) error {
			return thereAndBack(ctx, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
		})
		scenario("franz-many", many)
		scenario("franz-transactions", transactions)
		scenario("franz-truncation", truncation)
		scenario("franz-administrates", administrates)
		scenario("segmentio-there-and-back", segmentio)
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if passed == 0 || failed > 0 {
		os.Exit(1)
	}
}
