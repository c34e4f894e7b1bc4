package sluice.kafka;

import static sluice.kafka.Runner.expect;
import static sluice.kafka.Runner.failure;
import static sluice.kafka.Runner.unique;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.LogTruncationException;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** Records there and back. */
final class Records {
    private static final long TIME = 1_700_000_000_000L;

    private Records() {}

    static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    /** Null, empty and binary are three things. */
    private static List<byte[][]> pairs() {
        return List.of(
            new byte[][] {bytes("key"), bytes("value")},
            new byte[][] {null, bytes("no key")},
            new byte[][] {bytes("tombstone"), null},
            new byte[][] {new byte[0], new byte[0]},
            new byte[][] {{(byte) 255, 0}, {0, 1, (byte) 255}});
    }

    private static List<Header> headers() {
        return List.of(new RecordHeader("a", bytes("1")), new RecordHeader("b", (byte[]) null),
            new RecordHeader("a", new byte[] {0, (byte) 255}), new RecordHeader("c", new byte[0]));
    }

    static void thereAndBack(Clients clients) throws Exception {
        String topic = unique();
        List<byte[][]> pairs = pairs();
        try (KafkaProducer<byte[], byte[]> producer = clients.producer()) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (byte[][] pair : pairs) {
                sent.add(producer.send(new ProducerRecord<>(topic, 0, TIME + sent.size(), pair[0], pair[1], headers())));
            }
            producer.flush();
            for (int at = 0; at < sent.size(); at++) {
                expect("offset", sent.get(at).get().offset(), (long) at);
                expect("time", sent.get(at).get().timestamp(), TIME + at);
            }
        }
        List<ConsumerRecord<byte[], byte[]>> got = clients.read(topic, pairs.size());
        expect("how many", got.size(), pairs.size());
        for (int at = 0; at < got.size(); at++) {
            ConsumerRecord<byte[], byte[]> record = got.get(at);
            expect("key", record.key(), pairs.get(at)[0]);
            expect("value", record.value(), pairs.get(at)[1]);
            expect("offset", record.offset(), (long) at);
            expect("time", record.timestamp(), TIME + at);
            expect("headers", List.of(record.headers().toArray()), headers());
        }
    }

    /** Batches in flight over several partitions, idempotent, of which none is lost or twice there. */
    static void many(Clients clients) throws Exception {
        int count = 20_000;
        String topic = unique();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        Clients idempotent = clients.with("enable.idempotence", "true").with("acks", "all").with("linger.ms", "5");
        try (KafkaProducer<byte[], byte[]> producer = idempotent.producer()) {
            for (int at = 0; at < count; at++) {
                sent.add(producer.send(new ProducerRecord<>(topic, at % 4, null, bytes(String.format("%08d", at)))));
            }
            producer.flush();
            for (Future<RecordMetadata> one : sent) {
                one.get();
            }
        }
        List<ConsumerRecord<byte[], byte[]>> got = clients.read(topic, count / 4);
        expect("how many", got.size(), count / 4);
        for (int at = 0; at < got.size(); at++) {
            expect("value", new String(got.get(at).value(), StandardCharsets.UTF_8), String.format("%08d", 4 * at));
        }
    }

    static void big(Clients clients) throws Exception {
        String topic = unique();
        byte[] value = new byte[900_000];
        new java.util.Random(7).nextBytes(value);
        try (KafkaProducer<byte[], byte[]> producer = clients.producer()) {
            producer.send(new ProducerRecord<>(topic, 0, bytes("k"), value)).get();
            producer.send(new ProducerRecord<>(topic, 0, bytes("l"), bytes("after"))).get();
        }
        Clients small = clients.with("max.partition.fetch.bytes", "1000");
        List<ConsumerRecord<byte[], byte[]>> got = small.read(topic, 2);
        expect("value", got.get(0).value(), value);
        expect("the next", got.get(1).value(), bytes("after"));
    }

    /** With an epoch beside an offset the client first asks where that epoch ended, and says so when that lies before. */
    static void truncation(Clients clients) throws Exception {
        String topic = unique();
        try (KafkaProducer<byte[], byte[]> producer = clients.producer()) {
            for (int at = 0; at < 5; at++) {
                producer.send(new ProducerRecord<>(topic, 0, null, bytes("v" + at))).get();
            }
        }
        TopicPartition first = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> consumer = clients.with("auto.offset.reset", "none").consumer()) {
            consumer.assign(List.of(first));
            consumer.seek(first, new OffsetAndMetadata(3, Optional.of(0), ""));
            ConsumerRecords<byte[], byte[]> got = ConsumerRecords.empty();
            while (got.isEmpty()) {
                got = consumer.poll(Duration.ofMillis(500));
            }
            ConsumerRecord<byte[], byte[]> record = got.iterator().next();
            expect("offset", record.offset(), 3L);
            expect("epoch", record.leaderEpoch(), Optional.of(0));
            consumer.seek(first, new OffsetAndMetadata(100, Optional.of(0), ""));
            Throwable why = failure("an offset behind the end", () -> {
                while (!Thread.interrupted()) {
                    consumer.poll(Duration.ofMillis(500));
                }
                return null;
            });
            expect("why", why.getClass(), LogTruncationException.class);
            OffsetAndMetadata end = ((LogTruncationException) why).divergentOffsets().get(first);
            expect("where", end.offset(), 5L);
        }
    }

    /** A group: subscribe, commit, go on. */
    static void group(Clients clients) throws Exception {
        String topic = unique();
        try (KafkaProducer<byte[], byte[]> producer = clients.producer()) {
            for (int at = 0; at < 8; at++) {
                producer.send(new ProducerRecord<>(topic, at % 4, null, bytes("v" + at))).get();
            }
        }
        Clients member = clients.with("group.id", unique()).with("auto.offset.reset", "earliest").with("enable.auto.commit", "false");
        for (int turn = 0; turn < 2; turn++) {
            try (KafkaConsumer<byte[], byte[]> consumer = member.consumer()) {
                consumer.subscribe(List.of(topic));
                int seen = 0;
                while (seen < (turn == 0 ? 8 : 1)) {
                    seen += consumer.poll(Duration.ofMillis(500)).count();
                }
                expect("read in turn " + turn, seen, turn == 0 ? 8 : 1);
                consumer.commitSync();
                Map<TopicPartition, Long> ends = consumer.endOffsets(List.of(new TopicPartition(topic, 0)));
                expect("end", ends.get(new TopicPartition(topic, 0)), 2L + turn);
            }
            try (KafkaProducer<byte[], byte[]> producer = clients.producer()) {
                producer.send(new ProducerRecord<>(topic, 0, null, bytes("next"))).get();
            }
        }
    }
}
