package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.time.Duration;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;

/** Push consumers that pop: the broker says which messages are whose, and a tool has told it that the group does so. */
final class PopScenarios {
    private PopScenarios() {}

    static List<Scenario> all() {
        return Dialect.HAS_POP
                ? List.of(
                        Scenario.of("pop-shared", PopScenarios::shared),
                        Scenario.of("pop-then-dead-letter", PopScenarios::thenDeadLetter)
                                .within(Duration.ofSeconds(180))
                                .onlyIf(s -> !s.tls() && !s.acl(), "it takes 50 s, and is run without TLS and users"))
                : List.of();
    }

    /** Two members with one queue between them both get messages: no queue belongs to anyone. */
    private static void shared(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        lab.send(Lab.message(topic, "first"));
        lab.introduce(group);
        Dialect.pop(lab, topic, group, 16);
        Inbox inbox = new Inbox();
        for (String member : List.of("a", "b")) {
            DefaultMQPushConsumer consumer = consumer(lab, topic, group);
            inbox.collect(consumer, member);
            consumer.start();
        }
        inbox.awaitKey("first", SOON);
        int[] sent = {0};
        Check.until(SOON, "both members get messages of one queue", () -> {
            lab.send(topic, "k" + sent[0]++, 0);
            return inbox.all().stream().map(Inbox.Received::by).distinct().count() == 2;
        });
        List<Inbox.Received> all = inbox.await(sent[0] + 1, SOON);
        Check.equal(sent[0] + 1L, all.stream().map(r -> r.message().getKeys()).distinct().count(), "messages");
        Check.equal(sent[0] + 1, all.size(), "deliveries");
        Check.that(all.get(0).message().getProperty("POP_CK") != null, "the messages were pulled, not popped");
    }

    /** What fails comes again after the client's 10 s, and after the group's last try it rests in the dead-letter topic. */
    private static void thenDeadLetter(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        lab.send(Lab.message(topic, "poison"));
        lab.introduce(group);
        Dialect.pop(lab, topic, group, 2);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(lab, topic, group);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(m -> inbox.add(m, "only"));
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        List<Inbox.Received> tries = inbox.await(2, Duration.ofSeconds(70));
        for (int i = 0; i < 2; i++) {
            MessageExt message = tries.get(i).message();
            Check.equal(i, message.getReconsumeTimes(), "reconsume times");
            Check.equal(topic, message.getTopic(), "topic that the listener sees");
            Check.that(message.getProperty("POP_CK") != null, "try %d was pulled, not popped", i);
        }
        long pause = tries.get(1).at() - tries.get(0).at();
        Check.that(pause >= 10_000, "the retry came after %d ms, before its 10 s", pause);
        MessageExt dead = RetryScenarios.deadLetter(lab, group, "poison", Duration.ofSeconds(70));
        Check.equal(topic, dead.getProperty("RETRY_TOPIC"), "topic that the dead letter came from");
        Check.equal(2, inbox.all().size(), "deliveries to a group that has two");
    }

    private static DefaultMQPushConsumer consumer(Lab lab, String topic, String group) throws Exception {
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(group);
        Dialect.shareByBroker(consumer);
        consumer.subscribe(topic, "*");
        return consumer;
    }
}
