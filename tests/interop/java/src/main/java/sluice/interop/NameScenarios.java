package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;

/** What clients put before and behind names, and the names that are not for them. */
final class NameScenarios {
    private static final int NO_PERMISSION = 16;

    private NameScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("namespace", NameScenarios::namespace),
                Scenario.of("unit-mode", NameScenarios::unitMode),
                Scenario.of("system-topic-refused", NameScenarios::systemTopic));
    }

    @SuppressWarnings("deprecation")
    private static void namespace(Lab lab) throws Exception {
        String topic = lab.topic();
        DefaultMQProducer producer = lab.clients.newProducer(lab.group());
        producer.setNamespace("INST_java");
        producer.start();
        producer.send(Lab.message(topic, "k"));
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(lab.group());
        consumer.setNamespace("INST_java");
        consumer.subscribe(topic, "*");
        inbox.collect(consumer, "only");
        consumer.start();
        Check.equal(topic, inbox.awaitKey("k", SOON).message().getTopic(), "topic that the listener sees");
        Check.that(lab.hasRoute("INST_java%" + topic), "the topic is not in its namespace");
        Check.that(!lab.hasRoute(topic), "the topic is there without its namespace, too");
    }

    private static void unitMode(Lab lab) throws Exception {
        String topic = lab.topic();
        DefaultMQProducer producer = lab.clients.newProducer(lab.group());
        producer.setUnitName("unit");
        producer.setUnitMode(true);
        producer.start();
        producer.send(Lab.message(topic, "k"));
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(lab.group());
        consumer.setUnitName("unit");
        consumer.setUnitMode(true);
        consumer.subscribe(topic, "*");
        inbox.collect(consumer, "only");
        consumer.start();
        inbox.awaitKey("k", SOON);
    }

    private static void systemTopic(Lab lab) throws Exception {
        MQClientException refusal = Check.refused(MQClientException.class, "a message to the template of topics",
                () -> lab.producer().send(Lab.message("TBW102", "k")));
        Check.equal(NO_PERMISSION, refusal.getResponseCode(), "response code of " + refusal.getMessage());
    }
}
