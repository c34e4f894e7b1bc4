package sluice.streams;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** A word count by the stock library, and what becomes of one whose tables want compacted topics. */
public final class Main {
    private static final String ADDRESS = System.getenv("KAFKA_ADDR");
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final List<String> LINES = List.of("the quick brown fox", "jumps over the lazy dog", "the end");
    private static final Map<String, Long> COUNTS = Map.of("the", 3L, "quick", 1L, "brown", 1L, "fox", 1L, "jumps", 1L,
        "over", 1L, "lazy", 1L, "dog", 1L, "end", 1L);

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        int failed = scenario("counts-words", Main::countsWords) + scenario("wants-compaction", Main::wantsCompaction);
        System.out.println((2 - failed) + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }

    private interface Body {
        void run() throws Exception;
    }

    private static int scenario(String name, Body body) {
        try {
            body.run();
            System.out.println("ok " + name);
            return 0;
        } catch (Exception | AssertionError error) {
            System.out.println("FAIL " + name + " " + String.valueOf(error).replace('\n', ' '));
            return 1;
        }
    }

    private static Properties settings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", ADDRESS);
        return settings;
    }

    /** New topics: lines, words, counts. */
    private static String[] topics() throws Exception {
        String prefix = "streams-" + UUID.randomUUID().toString().substring(0, 13);
        String[] names = {prefix + "-lines", prefix + "-words", prefix + "-counts"};
        try (Admin admin = Admin.create(settings())) {
            admin.createTopics(Arrays.stream(names).map(name -> new NewTopic(name, 2, (short) 1)).toList()).all().get();
        }
        return names;
    }

    private static KafkaStreams start(StreamsBuilder builder, CompletableFuture<Throwable> failure) {
        Properties settings = settings();
        settings.put("application.id", "streams-" + UUID.randomUUID());
        settings.put("state.dir", System.getProperty("state"));
        settings.put("commit.interval.ms", "200");
        settings.put("auto.offset.reset", "earliest");
        settings.put("default.key.serde", Serdes.StringSerde.class.getName());
        settings.put("default.value.serde", Serdes.StringSerde.class.getName());
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(error -> {
            failure.complete(error);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        return streams;
    }

    private static KStream<String, String> words(StreamsBuilder builder, String lines) {
        return builder.<String, String>stream(lines)
            .flatMapValues(line -> List.of(line.split(" ")))
            .map((key, word) -> KeyValue.pair(word, word));
    }

    /** Words go through a topic of the application's own, and the table is in memory: no topic is made on the way. */
    private static void countsWords() throws Exception {
        String[] topics = topics();
        StreamsBuilder builder = new StreamsBuilder();
        words(builder, topics[0]).to(topics[1]);
        KGroupedStream<String, String> grouped =
            builder.stream(topics[1], Consumed.with(Serdes.String(), Serdes.String())).groupByKey();
        Materialized<String, Long, KeyValueStore<Bytes, byte[]>> table =
            Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withLoggingDisabled().withCachingDisabled();
        grouped.count(table.withValueSerde(Serdes.Long())).toStream().to(topics[2], Produced.with(Serdes.String(), Serdes.Long()));
        CompletableFuture<Throwable> failure = new CompletableFuture<>();
        try (KafkaStreams streams = start(builder, failure)) {
            send(topics[0]);
            Map<String, Long> counts = read(topics[2]);
            if (!counts.equals(COUNTS)) {
                throw new AssertionError("got " + counts + ", " + (failure.isDone() ? failure.get() : streams.state()));
            }
        }
    }

    /** A table that outlives its process wants a compacted topic: the application ends, and is told why. */
    private static void wantsCompaction() throws Exception {
        String[] topics = topics();
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(topics[0]).groupByKey(Grouped.as("by-key"))
            .count(Materialized.as(Stores.inMemoryKeyValueStore("kept")));
        CompletableFuture<Throwable> failure = new CompletableFuture<>();
        try (KafkaStreams streams = start(builder, failure)) {
            Throwable why = failure.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
            StringBuilder said = new StringBuilder();
            for (Throwable one = why; one != null; one = one.getCause()) {
                said.append(one).append(" | ");
            }
            if (!said.toString().contains("compaction is not offered")) {
                throw new AssertionError(said.toString());
            }
        }
    }

    private static void send(String topic) throws Exception {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings(), new StringSerializer(), new StringSerializer())) {
            for (String line : LINES) {
                producer.send(new ProducerRecord<>(topic, line)).get();
            }
        }
    }

    /** The last count of each word, once there is one for each occurrence. */
    private static Map<String, Long> read(String topic) {
        Properties settings = settings();
        settings.put("group.id", UUID.randomUUID().toString());
        settings.put("auto.offset.reset", "earliest");
        long wanted = COUNTS.values().stream().mapToLong(Long::longValue).sum();
        Map<String, Long> counts = new HashMap<>();
        List<ConsumerRecord<String, Long>> all = new ArrayList<>();
        try (KafkaConsumer<String, Long> consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new LongDeserializer())) {
            consumer.subscribe(List.of(topic));
            long end = System.nanoTime() + PATIENCE.toNanos();
            while (all.size() < wanted && System.nanoTime() < end) {
                consumer.poll(Duration.ofMillis(500)).forEach(all::add);
            }
        }
        all.forEach(record -> counts.merge(record.key(), record.value(), Math::max));
        return counts;
    }
}
