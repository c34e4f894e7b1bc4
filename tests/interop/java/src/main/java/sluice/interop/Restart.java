package sluice.interop;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.remoting.exception.RemotingException;

/**
 * The two halves of a restart test. A script runs {@code produce-until}, stops and starts the broker while it runs,
 * creates its stop file, and then runs {@code verify} with another group.
 */
final class Restart {
    private static final Duration CATCH_UP = Duration.ofSeconds(90);

    private Restart() {}

    /** Sends and consumes through whatever happens; ends well if the consumer has seen all that was acknowledged. */
    static int produceUntil(Settings settings, Options options) throws Exception {
        String topic = options.need("topic");
        Path stop = Path.of(options.need("stop"));
        Path acked = Path.of(options.need("acked"));
        Set<String> acknowledged = new HashSet<>();
        AtomicLong refused = new AtomicLong();
        Inbox inbox = new Inbox();
        try (Clients clients = new Clients(settings.nameServer(), settings.user())) {
            DefaultMQProducer producer = clients.newProducer("interop-restart");
            producer.setSendMsgTimeout(2_000);
            producer.start();
            for (long n = 0; !Files.exists(stop); n++) {
                if (send(producer, topic, "n" + n)) {
                    acknowledged.add("n" + n);
                    Files.writeString(acked, "n" + n + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
                    if (acknowledged.size() == 1) {
                        consume(clients, options, topic, inbox);
                    }
                } else {
                    refused.incrementAndGet();
                }
                Thread.sleep(options.number("pause-ms", 2));
            }
            boolean complete = await(inbox, acknowledged);
            System.out.printf("acknowledged %d, refused %d, received %d, twice %d%n", acknowledged.size(), refused.get(),
                    new HashSet<>(inbox.keys()).size(), inbox.keys().size() - new HashSet<>(inbox.keys()).size());
            return complete ? 0 : 1;
        }
    }

    private static void consume(Clients clients, Options options, String topic, Inbox inbox) throws Exception {
        var consumer = clients.newPushConsumer(options.need("group"));
        consumer.subscribe(topic, "*");
        inbox.collect(consumer, "only");
        consumer.start();
        inbox.await(1, Lab.SOON);
        if (options.values().containsKey("ready")) {
            Files.writeString(Path.of(options.need("ready")), "ready\n");
        }
    }

    private static boolean send(DefaultMQProducer producer, String topic, String key) throws InterruptedException {
        try {
            return producer.send(Lab.message(topic, key)).getSendStatus() == SendStatus.SEND_OK;
        } catch (MQClientException | MQBrokerException | RemotingException down) {
            return false;
        }
    }

    /** Reads the topic from its beginning with a new group and wants every acknowledged message. */
    static int verify(Settings settings, Options options) throws Exception {
        Set<String> acknowledged = new HashSet<>(Files.readAllLines(Path.of(options.need("acked"))));
        Inbox inbox = new Inbox();
        try (Clients clients = new Clients(settings.nameServer(), settings.user())) {
            var consumer = clients.newPushConsumer(options.need("group"));
            consumer.subscribe(options.need("topic"), "*");
            inbox.collect(consumer, "only");
            consumer.start();
            boolean complete = await(inbox, acknowledged);
            System.out.printf("acknowledged %d, received %d%n", acknowledged.size(), new HashSet<>(inbox.keys()).size());
            return complete && !acknowledged.isEmpty() ? 0 : 1;
        }
    }

    private static boolean await(Inbox inbox, Set<String> acknowledged) throws Exception {
        Set<String> missing = new TreeSet<>(acknowledged);
        try {
            Check.until(CATCH_UP, "all acknowledged messages", () -> {
                inbox.keys().forEach(missing::remove);
                return missing.isEmpty();
            });
            return true;
        } catch (Check.Failed e) {
            System.out.println("MISSING " + missing.size() + ", among them " + missing.stream().limit(20).toList());
            return false;
        }
    }
}
