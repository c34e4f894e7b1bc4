package main

import (
	"context"

	"github.com/segmentio/kafka-go"
)

// segmentio's client writes and reads: another reader of batches, and older versions.
func segmentio(ctx context.Context) error {
	topic := unique()
	writer := &kafka.Writer{Addr: kafka.TCP(address), Topic: topic, Balancer: &kafka.Hash{}, AllowAutoTopicCreation: true, RequiredAcks: kafka.RequireAll, Compression: kafka.Lz4, MaxAttempts: 10}
	defer writer.Close()
	sent := []kafka.Message{
		{Key: []byte("a"), Value: []byte("1"), Headers: []kafka.Header{{Key: "h", Value: []byte{0, 255}}, {Key: "h", Value: []byte("2")}}},
		{Key: []byte("a"), Value: []byte("2")},
		{Key: []byte("a")},
	}
	if err := writer.WriteMessages(ctx, sent...); err != nil {
		return err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{address}, Topic: topic, GroupID: unique(), StartOffset: kafka.FirstOffset})
	defer reader.Close()
	for _, want := range sent {
		got, err := reader.ReadMessage(ctx)
		if err := first(err, expect("key", string(got.Key), string(want.Key)), expect("value", string(got.Value), string(want.Value)),
			expect("headers", len(got.Headers), len(want.Headers))); err != nil {
			return err
		}
		for at, header := range want.Headers {
			if err := expect("header", got.Headers[at], header); err != nil {
				return err
			}
		}
	}
	return nil
}
