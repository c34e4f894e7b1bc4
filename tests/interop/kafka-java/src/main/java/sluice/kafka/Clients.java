package sluice.kafka;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The stock clients, with what all of them are told. */
final class Clients {
    private final Map<String, String> more;

    Clients(Map<String, String> more) {
        this.more = more;
    }

    Clients with(String name, String value) {
        Map<String, String> all = new java.util.HashMap<>(more);
        all.put(name, value);
        return new Clients(all);
    }

    private Properties settings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("KAFKA_ADDR"));
        settings.put("request.timeout.ms", "15000");
        settings.put("default.api.timeout.ms", "20000");
        settings.putAll(more);
        return settings;
    }

    KafkaProducer<byte[], byte[]> producer() {
        Properties settings = settings();
        settings.remove("default.api.timeout.ms");
        settings.put("max.block.ms", "20000");
        settings.put("delivery.timeout.ms", "20000");
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    KafkaConsumer<byte[], byte[]> consumer() {
        return new KafkaConsumer<>(settings(), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    Admin admin() {
        return Admin.create(settings());
    }

    /** What is in the first partition, from its beginning. */
    List<ConsumerRecord<byte[], byte[]>> read(String topic, int count) {
        List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
        TopicPartition first = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            consumer.assign(List.of(first));
            consumer.seekToBeginning(List.of(first));
            while (got.size() < count) {
                consumer.poll(Duration.ofMillis(500)).forEach(got::add);
            }
        }
        return got;
    }
}
