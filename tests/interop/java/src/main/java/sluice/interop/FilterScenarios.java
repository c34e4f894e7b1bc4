package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** SQL expressions over properties, evaluated by the broker. */
final class FilterScenarios {
    private FilterScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("sql-push", FilterScenarios::push),
                Scenario.of("sql-lite-pull", FilterScenarios::litePull),
                Scenario.of("sql-refused-at-its-column", FilterScenarios::refused));
    }

    private static void push(Lab lab) throws Exception {
        String topic = lab.topic();
        sample(lab, topic);
        Map<String, Set<String>> wanted = Map.of(
                "price BETWEEN 3 AND 5", Set.of("p3", "p4", "p5"),
                "price > 7 AND TAGS = 'even'", Set.of("p8"),
                "kind IN ('x', 'z') OR price IS NULL", Set.of("x", "z", "none"),
                "kind IS NOT NULL AND NOT (kind = 'x')", Set.of("y", "z"),
                "kind STARTSWITH 'x' OR price = 2.0", Set.of("x", "p2"));
        Map<String, Inbox> boxes = new HashMap<>();
        for (String expression : wanted.keySet()) {
            Inbox inbox = new Inbox();
            DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(lab.group());
            consumer.subscribe(topic, MessageSelector.bySql("(" + expression + ") OR mark = 'end'"));
            inbox.collect(consumer, expression);
            consumer.start();
            boxes.put(expression, inbox);
        }
        // The marks are last in every queue, so whatever slipped through the filter is here before them.
        List<String> marks = marks(lab, topic);
        for (Map.Entry<String, Inbox> each : boxes.entrySet()) {
            Set<String> keys = wanted.get(each.getKey());
            each.getValue().awaitKeys(marks, SOON);
            each.getValue().awaitKeys(keys, SOON);
            Set<String> got = new HashSet<>(each.getValue().keys());
            got.removeIf(key -> key.startsWith("end"));
            Check.equal(keys, got, "messages of " + each.getKey());
        }
    }

    private static List<String> marks(Lab lab, String topic) throws Exception {
        List<String> keys = new ArrayList<>();
        for (MessageQueue queue : lab.producer().fetchPublishMessageQueues(topic)) {
            String key = "end" + queue.getQueueId();
            lab.producer().send(Lab.message(topic, key, "end".getBytes(), Map.of("mark", "end")), queue);
            keys.add(key);
        }
        return keys;
    }

    private static void sample(Lab lab, String topic) throws Exception {
        for (int price = 0; price < 10; price++) {
            Message message = Lab.message(topic, "p" + price, "body".getBytes(), Map.of("price", "" + price));
            message.setTags(price % 2 == 0 ? "even" : "odd");
            lab.send(message);
        }
        for (String kind : List.of("x", "y", "z")) {
            lab.send(Lab.message(topic, kind, "body".getBytes(), Map.of("kind", kind, "price", "no number")));
        }
        lab.send(Lab.message(topic, "none"));
    }

    private static void litePull(Lab lab) throws Exception {
        String topic = lab.topic();
        sample(lab, topic);
        DefaultLitePullConsumer consumer = lab.clients.newLitePullConsumer(lab.group());
        consumer.subscribe(topic, MessageSelector.bySql("price >= 8"));
        consumer.start();
        Set<String> got = new HashSet<>();
        Check.until(SOON, "both messages", () -> {
            consumer.poll(500).forEach(message -> got.add(message.getKeys()));
            return got.size() >= 2;
        });
        Check.equal(Set.of("p8", "p9"), got, "messages of price >= 8");
    }

    private static void refused(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(lab.group());
        consumer.subscribe(topic, MessageSelector.bySql("price > 3 AND"));
        new Inbox().collect(consumer, "never");
        MQClientException refusal = Check.refused(MQClientException.class, "an expression without an end", consumer::start);
        Check.that(refusal.toString().contains("at column 14"), "the column is not told: %s", refusal);
    }
}
