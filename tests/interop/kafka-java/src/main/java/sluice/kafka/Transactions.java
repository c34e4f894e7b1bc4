package sluice.kafka;

import static sluice.kafka.Records.bytes;
import static sluice.kafka.Runner.expect;
import static sluice.kafka.Runner.unique;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;

/** Transactions, and what readers see of them. */
final class Transactions {
    private Transactions() {}

    private static KafkaProducer<byte[], byte[]> producer(Clients clients, String name) {
        KafkaProducer<byte[], byte[]> producer = clients.with("transactional.id", name).producer();
        producer.initTransactions();
        return producer;
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, String topic, String... values) throws Exception {
        for (String value : values) {
            producer.send(new ProducerRecord<>(topic, 0, null, bytes(value))).get();
        }
    }

    /** Everything to the end of the first partition. */
    private static List<String> read(Clients clients, String topic) {
        List<String> values = new ArrayList<>();
        TopicPartition first = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> consumer = clients.consumer()) {
            consumer.assign(List.of(first));
            consumer.seekToBeginning(List.of(first));
            long end = consumer.endOffsets(List.of(first)).get(first);
            while (consumer.position(first) < end) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    values.add(new String(record.value(), StandardCharsets.UTF_8));
                }
            }
        }
        return values;
    }

    static void commitAndAbort(Clients clients) throws Exception {
        String topic = unique();
        Clients committed = clients.with("isolation.level", "read_committed");
        try (KafkaProducer<byte[], byte[]> producer = producer(clients, unique())) {
            producer.beginTransaction();
            send(producer, topic, "a", "b");
            expect("open", read(committed, topic), List.of());
            expect("open, to who wants all", read(clients, topic), List.of("a", "b"));
            producer.commitTransaction();
            producer.beginTransaction();
            send(producer, topic, "gone");
            producer.abortTransaction();
            expect("committed", read(committed, topic), List.of("a", "b"));
            producer.beginTransaction();
            send(producer, topic, "c");
            producer.commitTransaction();
            expect("behind what was aborted", read(committed, topic), List.of("a", "b", "c"));
            expect("everything", read(clients, topic), List.of("a", "b", "gone", "c"));
        }
    }

    static void zombie(Clients clients) throws Exception {
        String topic = unique();
        String name = unique();
        try (KafkaProducer<byte[], byte[]> old = producer(clients, name)) {
            old.beginTransaction();
            send(old, topic, "zombie");
            try (KafkaProducer<byte[], byte[]> fresh = producer(clients, name)) {
                boolean fenced = false;
                try {
                    old.commitTransaction();
                } catch (ProducerFencedException | InvalidProducerEpochException error) {
                    fenced = true;
                }
                expect("fenced", fenced, true);
                fresh.beginTransaction();
                send(fresh, topic, "alive");
                fresh.commitTransaction();
            }
        }
        expect("committed", read(clients.with("isolation.level", "read_committed"), topic), List.of("alive"));
    }

    static void offsets(Clients clients) throws Exception {
        String source = unique();
        String sink = unique();
        try (KafkaProducer<byte[], byte[]> plain = clients.producer()) {
            send(plain, source, "1", "2", "3");
        }
        Clients member = clients.with("group.id", unique()).with("auto.offset.reset", "earliest").with("enable.auto.commit", "false");
        TopicPartition first = new TopicPartition(source, 0);
        try (KafkaConsumer<byte[], byte[]> consumer = member.consumer(); KafkaProducer<byte[], byte[]> producer = producer(clients, unique())) {
            consumer.subscribe(List.of(source));
            for (boolean commit : new boolean[] {false, true}) {
                int seen = 0;
                while (seen < 3) {
                    seen += consumer.poll(Duration.ofMillis(500)).count();
                }
                producer.beginTransaction();
                send(producer, sink, "out");
                producer.sendOffsetsToTransaction(Map.of(first, new OffsetAndMetadata(3)), consumer.groupMetadata());
                if (commit) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                    expect("after an abort", consumer.committed(java.util.Set.of(first)).get(first), null);
                    consumer.seekToBeginning(List.of(first));
                }
            }
            expect("after a commit", consumer.committed(java.util.Set.of(first)).get(first).offset(), 3L);
        }
        expect("what came of it", read(clients.with("isolation.level", "read_committed"), sink), List.of("out"));
    }
}
