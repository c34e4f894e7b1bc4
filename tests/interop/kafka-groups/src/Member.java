import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * One member of a group of the stock Java client: says what it is given and what it reads, a JSON object a line. See
 * member.py. Arguments: bootstrap group topic session strategy instance, the last may be empty.
 */
public final class Member {
    private static final String ASSIGNORS = "org.apache.kafka.clients.consumer.";
    private static volatile boolean ending;

    public static void main(String[] arguments) {
        String topic = arguments[2];
        String strategy = arguments[4];
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[1]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("auto.commit.interval.ms", "200");
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        if (strategy.equals("consumer")) {
            settings.put("group.protocol", "consumer");
        } else {
            settings.put("session.timeout.ms", arguments[3]);
            settings.put("heartbeat.interval.ms", "500");
            String assignor = strategy.equals("range") ? "RangeAssignor" : "CooperativeStickyAssignor";
            settings.put("partition.assignment.strategy", ASSIGNORS + assignor);
        }
        if (!arguments[5].isEmpty()) {
            settings.put("group.instance.id", arguments[5]);
        }
        Thread asked = new Thread(() -> {
            try {
                new BufferedReader(new InputStreamReader(System.in)).readLine();
            } catch (java.io.IOException gone) {
                // Whoever would ask is gone.
            }
            ending = true;
        });
        asked.setDaemon(true);
        asked.start();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            consumer.subscribe(List.of(topic));
            Set<TopicPartition> before = null;
            while (!ending) {
                Iterable<ConsumerRecord<String, String>> records = consumer.poll(Duration.ofMillis(100));
                Set<TopicPartition> now = Set.copyOf(consumer.assignment());
                if (!now.equals(before)) {
                    before = now;
                    say("{\"assigned\": [" + now.stream().map(p -> p.partition()).sorted()
                        .map(String::valueOf).collect(Collectors.joining(", ")) + "]}");
                }
                for (ConsumerRecord<String, String> record : records) {
                    say("{\"read\": [" + record.partition() + ", " + record.offset() + ", \"" + record.value() + "\"]}");
                }
            }
        }
        say("{\"ended\": 0}");
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
