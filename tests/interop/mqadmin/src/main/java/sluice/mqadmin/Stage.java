package sluice.mqadmin;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.RPCHook;

/** What the checks act on: the broker, the tool, and stock clients beside it. Names are new in each run. */
final class Stage implements AutoCloseable {
    /** Long enough for a client whose first look for queues came to nothing: it looks again after half a minute. */
    static final Duration SOON = Duration.ofSeconds(90);

    private static final int MANY = 50;

    /** The client drops a heartbeat that falls into another one, and with it the news that a pull relies on; the usual next
     * one comes after half a minute. */
    private static final int HEARTBEAT_MS = 1_000;

    final String nameServer;
    /** Signs as the administrator. */
    final Tool tool = new Tool();
    final String run = Long.toString(System.currentTimeMillis(), 36);
    /** Address, name and cluster of the broker, as it says. */
    final String address;
    final String broker;
    final String cluster;

    private final List<AutoCloseable> open = new CopyOnWriteArrayList<>();
    private final AtomicInteger names = new AtomicInteger();

    Stage(String nameServer) throws Exception {
        this.nameServer = nameServer;
        Tool.Printed list = tool.run("clusterList").has("#Cluster Name");
        String row = list.find("^(\\S+ +\\S+ +0 +\\S+)");
        String[] columns = row.split(" +");
        this.cluster = columns[0];
        this.broker = columns[1];
        this.address = columns[3];
    }

    String name(String what) {
        return "it-mqadmin-" + what + "-" + run + "-" + names.incrementAndGet();
    }

    /** A topic with one queue. */
    String topic() {
        String topic = name("t");
        tool.run("updateTopic -c " + cluster + " -t " + topic + " -r 1 -w 1").has("create topic to \\S+ success");
        return topic;
    }

    DefaultMQProducer producer(String group) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(group, hook());
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName(name("i"));
        producer.start();
        open.add(producer::shutdown);
        return producer;
    }

    /** Sends messages with these bodies; key and tag of each are `key-` and `tag-` before the body. */
    List<SendResult> send(String topic, String... bodies) throws Exception {
        DefaultMQProducer producer = producer(name("pg"));
        List<SendResult> results = new ArrayList<>();
        for (String body : bodies) {
            Message message = new Message(topic, "tag-" + body, "key-" + body, body.getBytes(StandardCharsets.UTF_8));
            results.add(producer.send(message));
        }
        return results;
    }

    /** Sends a message with a producer that stores its own trace. */
    SendResult sendTraced(String topic, String body) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(name("traced"), hook(), true, null);
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName(name("i"));
        producer.start();
        open.add(producer::shutdown);
        return producer.send(new Message(topic, body.getBytes(StandardCharsets.UTF_8)));
    }

    /** A consumer from the first message on, which takes everything that it gets into `received`. */
    DefaultMQPushConsumer consumer(String group, String topic, String tags, List<String> received) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group, hook());
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName(name("i"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPersistConsumerOffsetInterval(200);
        consumer.setHeartbeatBrokerInterval(HEARTBEAT_MS);
        consumer.subscribe(topic, tags);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(m -> received.add(new String(m.getBody(), StandardCharsets.UTF_8)));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        open.add(consumer::shutdown);
        return consumer;
    }

    /** A consumer that wants everything again, so many times at most. */
    void refusing(String group, String topic, int retries, List<String> refused) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group, hook());
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName(name("i"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setHeartbeatBrokerInterval(HEARTBEAT_MS);
        consumer.setMaxReconsumeTimes(retries);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(m -> refused.add(new String(m.getBody(), StandardCharsets.UTF_8)));
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        open.add(consumer::shutdown);
    }

    /** Tries until it does not fail any more, for a while, and often: a machine that stood still has not tried. */
    static void eventually(Main.Body body) throws Exception {
        Instant end = Instant.now().plus(SOON);
        for (int tries = 1; ; tries++) {
            try {
                body.run();
                return;
            } catch (AssertionError error) {
                if (Instant.now().isAfter(end) && tries > MANY) {
                    throw error;
                }
                Thread.sleep(100);
            }
        }
    }

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static RPCHook hook() {
        String user = System.getenv("ACL_USER");
        return user == null ? null : new AclClientRPCHook(new SessionCredentials(user, System.getenv("ACL_SECRET")));
    }

    @Override
    public void close() throws Exception {
        for (AutoCloseable each : open) {
            each.close();
        }
    }
}
