package sluice.interop;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * What one scenario works with: names that no other run uses, and clients that end with it.
 *
 * <p>Topics come into being by their first message, as they do for most users, so a scenario sends before it consumes.
 */
final class Lab implements AutoCloseable {
    /**
     * Long enough for a client on a machine that stood still at the wrong moment: what its first look for queues missed it
     * looks for after half a minute. No scenario needs a tenth of it on a quiet one.
     */
    static final Duration SOON = Duration.ofSeconds(60);

    private static final String RUN = Long.toString(System.currentTimeMillis(), 36);
    private static final AtomicInteger NEXT = new AtomicInteger();

    final Settings settings;
    final Clients clients;
    private final String prefix;
    private DefaultMQProducer producer;

    Lab(Settings settings, String scenario) {
        this.settings = settings;
        this.clients = new Clients(settings.nameServer(), settings.user());
        this.prefix = "it-" + RUN + "-" + scenario + "-";
    }

    String topic() {
        return prefix + "t" + NEXT.incrementAndGet();
    }

    String group() {
        return prefix + "g" + NEXT.incrementAndGet();
    }

    /** The scenario's own producer, started at first use. */
    synchronized DefaultMQProducer producer() throws MQClientException {
        if (producer == null) {
            producer = clients.producer(group());
        }
        return producer;
    }

    SendResult send(Message message) throws Exception {
        SendResult result = producer().send(message);
        Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "send status");
        return result;
    }

    /** Sends one keyed message to that queue. */
    SendResult send(String topic, String key, int queue) throws Exception {
        SendResult result = producer().send(Lab.message(topic, key), queue(topic, queue));
        Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "send status");
        return result;
    }

    /** Sends {@code count} keyed messages over all queues and hands back their keys. */
    List<String> sendMany(String topic, String prefix, int count) throws Exception {
        List<String> keys = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            keys.add(prefix + i);
            send(message(topic, prefix + i));
        }
        return keys;
    }

    /** Sends one keyed message to each queue and hands back the keys. What follows in a queue arrives after its mark. */
    List<String> sendToEach(String topic, String prefix) throws Exception {
        List<String> keys = new ArrayList<>();
        for (MessageQueue queue : producer().fetchPublishMessageQueues(topic)) {
            keys.add(prefix + queue.getQueueId());
            send(topic, prefix + queue.getQueueId(), queue.getQueueId());
        }
        return keys;
    }

    MessageQueue queue(String topic, int id) throws MQClientException {
        return producer().fetchPublishMessageQueues(topic).stream()
                .filter(q -> q.getQueueId() == id)
                .findFirst()
                .orElseThrow(() -> new Check.Failed(topic + " has no queue " + id));
    }

    /** A started consumer of everything in the topic whose messages go to the box. */
    DefaultMQPushConsumer consume(String topic, String group, Inbox inbox, String name) throws MQClientException {
        DefaultMQPushConsumer consumer = clients.newPushConsumer(group);
        consumer.subscribe(topic, "*");
        inbox.collect(consumer, name);
        consumer.start();
        return consumer;
    }

    Inbox consume(String topic) throws MQClientException {
        Inbox inbox = new Inbox();
        consume(topic, group(), inbox, "only");
        return inbox;
    }

    /**
     * Lets the group join once, so that its retry topic is in the route before the consumer that counts starts. A client
     * looks for new queues only every 20 to 30 s; without this the first retry of a new group comes that much later.
     */
    void introduce(String group) throws Exception {
        String other = topic();
        send(message(other, "introduction"));
        DefaultMQPushConsumer consumer = clients.newPushConsumer(group);
        consumer.subscribe(other, "*");
        new Inbox().collect(consumer, "introduction");
        consumer.start();
        Check.until(SOON, "a route for the retry topic of " + group, () -> hasRoute("%RETRY%" + group));
        consumer.shutdown();
    }

    boolean hasRoute(String topic) throws MQClientException {
        try {
            return !producer().fetchPublishMessageQueues(topic).isEmpty();
        } catch (MQClientException unknownYet) {
            return false;
        }
    }

    static Message message(String topic, String key) {
        return new Message(topic, null, key, ("body of " + key).getBytes(StandardCharsets.UTF_8));
    }

    static Message message(String topic, String key, byte[] body, Map<String, String> properties) {
        Message message = new Message(topic, null, key, body);
        properties.forEach(message::putUserProperty);
        return message;
    }

    /** The id that says where the broker keeps the message; received messages show the producer's id first. */
    static String offsetId(MessageExt message) {
        return ((MessageClientExt) message).getOffsetMsgId();
    }

    @Override
    public void close() {
        clients.close();
    }
}
