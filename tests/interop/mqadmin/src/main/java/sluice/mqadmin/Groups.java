package sluice.mqadmin;

import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.impl.consumer.DefaultMQPushConsumerImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.MixAll;
import org.apache.rocketmq.remoting.protocol.body.ConsumerRunningInfo;
import org.apache.rocketmq.tools.monitor.DefaultMonitorListener;
import org.apache.rocketmq.tools.monitor.MonitorConfig;
import org.apache.rocketmq.tools.monitor.MonitorService;
import org.apache.rocketmq.tools.monitor.UndoneMsgs;

/** Groups: their settings, their progress, their clients. */
final class Groups {
    private final Stage stage;
    private final Tool tool;

    Groups(Stage stage) {
        this.stage = stage;
        this.tool = stage.tool;
    }

    Map<String, Main.Body> checks() {
        Map<String, Main.Body> checks = new LinkedHashMap<>();
        checks.put("group-life", this::life);
        checks.put("consumer-online", this::online);
        checks.put("consumer-progress", this::progress);
        checks.put("broker-consume-stats", this::lagging);
        checks.put("producers", this::producers);
        checks.put("different-subscriptions", this::differ);
        checks.put("consume-directly", this::directly);
        checks.put("reset-offline", this::resetOffline);
        checks.put("reset-online", this::resetOnline);
        checks.put("skip-accumulated", this::skip);
        checks.put("clone-offsets", this::cloneOffsets);
        checks.put("consume-mode", this::mode);
        checks.put("start-monitoring", this::monitoring);
        return checks;
    }

    private void life() throws Exception {
        String group = stage.name("g");
        tool.run("updateSubGroup -c " + stage.cluster + " -g " + group + " -r 3 -d true")
                .has("create subscription group to " + stage.address + " success");
        tool.run("getConsumerConfig -g " + group)
                .has("^groupName += +" + group, "^retryMaxTimes += +3$", "^consumeBroadcastEnable += +true$");
        Path file = Tool.HOME.resolve("groups.json");
        String other = stage.name("g");
        Files.writeString(file, "[{\"groupName\":\"" + other + "\",\"retryMaxTimes\":7}]");
        tool.run("updateSubGroupList -b " + stage.address + " -f " + file).has("success");
        tool.run("getConsumerConfig -g " + other).has("^retryMaxTimes += +7$");
        tool.run("deleteSubGroup -c " + stage.cluster + " -g " + group + " -r true")
                .has("delete subscription group \\[" + group + "\\] from broker");
        tool.run("getConsumerConfig -g " + group).hasNot("retryMaxTimes");
    }

    private void online() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        List<String> received = new CopyOnWriteArrayList<>();
        DefaultMQPushConsumer consumer = stage.consumer(group, topic, "TagA || TagB", received);
        String id = consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
        Stage.eventually(() -> tool.run("consumerConnection -g " + group)
                .has(id, "^" + topic + " +TagA \\|\\| TagB", "ConsumeType: CONSUME_PASSIVELY", "MessageModel: CLUSTERING"));
        tool.run("consumerStatus -g " + group).has(id, "Same subscription in the same group of consumer", "Rebalance OK");
        tool.run("consumerStatus -g " + group + " -i " + id + " -s").has("#Consumer Subscription#", topic, "#Consumer jstack#|TID:");
        tool.run("topicList -c").has(stage.cluster + " +" + topic + " +" + group);
        tool.run("consumerConnection -g " + stage.name("offline")).refused(206, "not online");
        consumer.shutdown();
        Stage.eventually(() -> tool.run("consumerConnection -g " + group).refused(206, "not online"));
        tool.run("consumerStatus -g " + group).refused(206, "not online");
    }

    private void progress() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        stage.send(topic, "a", "b", "c");
        consumeAll(group, topic, 3);
        stage.send(topic, "d", "e");
        tool.run("consumerProgress -g " + group)
                .has("^" + topic + " +" + stage.broker + " +0 +5 +3 +2 +0 +20\\d\\d-", "^Consume Diff Total: 2$");
        // Three messages in the last minute are 0.05 a second; the tool shows whole numbers.
        tool.run("consumerProgress -g " + group).has("^Consume TPS: 0\\.0[5-9]");
        tool.run("consumerProgress").has("^" + group + " +0 +OFFLINE ");
    }

    private void lagging() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        stage.send(topic, "a");
        consumeAll(group, topic, 1);
        stage.send(topic, "b", "c");
        tool.run("brokerConsumeStats -b " + stage.address).has("^" + topic + " +" + group + " +" + stage.broker + " +0 +3 +1 +2 ");
    }

    private void producers() throws Exception {
        String topic = stage.topic();
        String group = stage.name("pg");
        DefaultMQProducer producer = stage.producer(group);
        producer.send(new org.apache.rocketmq.common.message.Message(topic, new byte[] {1}));
        String id = producer.getDefaultMQProducerImpl().getMqClientFactory().getClientId();
        Stage.eventually(() -> {
            producer.getDefaultMQProducerImpl().getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
            tool.run("producerConnection -g " + group + " -t " + topic).has(id);
        });
        tool.run("producer -b " + stage.address).has("producer group \\(" + group + "\\) instance : .*" + id);
        producer.shutdown();
        Stage.eventually(() -> tool.run("producerConnection -g " + group + " -t " + topic).refused(1, "not exist"));
    }

    private void differ() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        List<String> received = new CopyOnWriteArrayList<>();
        DefaultMQPushConsumer one = stage.consumer(group, topic, "TagA", received);
        DefaultMQPushConsumer other = stage.consumer(group, topic, "TagB", received);
        Stage.eventually(() -> tool.run("consumerConnection -g " + group)
                .has("^" + topic + " +DIFFERENT: TagA \\(\\S+\\), TagB \\(\\S+\\)"));
        // The tool says nothing in the clients' first two minutes, which they tell it themselves.
        for (DefaultMQPushConsumer consumer : List.of(one, other)) {
            Field started = DefaultMQPushConsumerImpl.class.getDeclaredField("consumerStartTimestamp");
            started.setAccessible(true);
            started.set(consumer.getDefaultMQPushConsumerImpl(), System.currentTimeMillis() - 180_000);
        }
        Stage.eventually(() -> tool.run("consumerStatus -g " + group)
                .has("WARN: Different subscription in the same group of consumer", clientId(one), clientId(other)));
    }

    private static String clientId(DefaultMQPushConsumer consumer) {
        return consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
    }

    private void directly() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        SendResult sent = stage.send(topic, "again").get(0);
        List<String> received = new CopyOnWriteArrayList<>();
        DefaultMQPushConsumer consumer = stage.consumer(group, topic, "*", received);
        String id = consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
        Stage.eventually(() -> Stage.that(received.equals(List.of("again")), "received " + received));
        tool.run("queryMsgById -t " + topic + " -i " + sent.getOffsetMsgId() + " -g " + group + " -d " + id)
                .has("consumeResult=CR_SUCCESS");
        Stage.that(received.equals(List.of("again", "again")), "received " + received);
        consumer.shutdown();
    }

    private void resetOffline() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        stage.send(topic, "a", "b");
        consumeAll(group, topic, 2);
        tool.run("resetOffsetByTime -g " + group + " -t " + topic + " -s 0").has("^" + stage.broker + " +0 +0 *$");
        consumeAll(group, topic, 2);
        tool.run("resetOffsetByTime -g " + group + " -t " + topic + " -s now -b " + stage.address + " -q 0 -o 1").has("reset consumer offset to 1");
        consumeAll(group, topic, 1);
    }

    private void resetOnline() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        List<String> received = new CopyOnWriteArrayList<>();
        DefaultMQPushConsumer consumer = stage.consumer(group, topic, "*", received);
        stage.send(topic, "a", "b");
        Stage.eventually(() -> Stage.that(received.size() == 2, "received " + received));
        tool.run("resetOffsetByTime -g " + group + " -t " + topic + " -s 0").has("^" + stage.broker + " +0 +0 *$");
        Stage.eventually(() -> Stage.that(received.size() == 4, "received " + received));
        consumer.shutdown();
    }

    private void skip() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        stage.send(topic, "a");
        consumeAll(group, topic, 1);
        stage.send(topic, "b", "c");
        tool.run("skipAccumulatedMessage -g " + group + " -t " + topic + " -f true").has("^" + stage.broker + " +0 +3 *$");
        tool.run("consumerProgress -g " + group).has("^Consume Diff Total: 0$");
    }

    private void cloneOffsets() throws Exception {
        String topic = stage.topic();
        String from = stage.name("g");
        String to = stage.name("g");
        stage.send(topic, "a", "b");
        consumeAll(from, topic, 2);
        consumeAll(to, topic, 2);
        tool.run("resetOffsetByTime -g " + to + " -t " + topic + " -s 0").has("^" + stage.broker + " +0 +0 *$");
        tool.run("cloneGroupOffset -s " + from + " -d " + to + " -t " + topic).has("clone group offset success");
        tool.run("consumerProgress -g " + to).has("^Consume Diff Total: 0$");
    }

    private void mode() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        tool.run("updateSubGroup -c " + stage.cluster + " -g " + group).has("success");
        String set = "setConsumeMode -b " + stage.address + " -t " + topic + " -g " + group + " -m ";
        tool.run(set + "PULL").has("set consume mode to " + stage.address + " success");
        tool.run(set + "POP").has("set consume mode to " + stage.address + " success");
        tool.run(set + "POP -q 1").refused(29, "popShareQueueNum must be 0");
        tool.run(set + "PULL").has("set consume mode to " + stage.address + " success");
    }

    /** It looks once a minute, first after one, until it is stopped; so what it does in a round is done by hand. */
    private void monitoring() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        List<String> received = new CopyOnWriteArrayList<>();
        stage.consumer(group, topic, "*", received);
        stage.send(topic, "a");
        Stage.eventually(() -> Stage.that(received.size() == 1, "received " + received));
        List<String> seen = new CopyOnWriteArrayList<>();
        MonitorConfig config = new MonitorConfig();
        config.setNamesrvAddr(System.getProperty(MixAll.NAMESRV_ADDR_PROPERTY));
        MonitorService service = new MonitorService(config, new DefaultMonitorListener() {
            @Override
            public void reportConsumerRunningInfo(TreeMap<String, ConsumerRunningInfo> table) {
                table.values().forEach(info -> info.getSubscriptionSet().forEach(data -> seen.add(data.getTopic())));
            }

            @Override
            public void reportUndoneMsgs(UndoneMsgs undone) {
                seen.add(undone.getTopic() + " " + undone.getUndoneMsgsTotal());
            }
        }, tool.hook());
        try {
            service.start();
            Stage.eventually(() -> {
                service.doMonitorWork();
                Stage.that(seen.contains(topic) && seen.contains(topic + " 0"), "it has seen " + seen);
            });
        } finally {
            service.shutdown();
        }
    }

    /** Consumes what there is with a client that goes afterwards, so that the group's offset is stored. */
    private void consumeAll(String group, String topic, int count) throws Exception {
        List<String> received = new CopyOnWriteArrayList<>();
        DefaultMQPushConsumer consumer = stage.consumer(group, topic, "*", received);
        Stage.eventually(() -> Stage.that(received.size() >= count, "received " + received));
        // What a listener has just been given is not yet consumed: a consumer that is shut down then leaves it behind.
        Stage.eventually(() -> {
            consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
            tool.run("consumerProgress -g " + group).has("^Consume Diff Total: 0$");
        });
        consumer.shutdown();
        Stage.that(received.size() == count, "received " + received);
        Stage.eventually(() -> tool.run("consumerConnection -g " + group).refused(206));
    }
}
