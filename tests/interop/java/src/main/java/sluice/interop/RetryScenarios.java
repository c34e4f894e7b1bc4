package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** A message that a consumer cannot handle comes again, and in the end rests in the dead-letter topic. */
final class RetryScenarios {
    /** Of the first retry: level 3. */
    private static final long FIRST_RETRY_MS = 10_000;

    /** On a machine that is busy, and less than a client's round. */
    private static final long LATE_MS = 10_000;

    private RetryScenarios() {}

    static List<Scenario> all() {
        Duration longer = Duration.ofSeconds(150);
        return List.of(
                Scenario.of("retry-then-dead-letter", RetryScenarios::thenDeadLetter).within(longer),
                Scenario.of("retry-at-chosen-level", RetryScenarios::chosenLevel),
                Scenario.of("dead-letter-at-once", RetryScenarios::atOnce),
                Scenario.of("orderly-dead-letter", RetryScenarios::orderly));
    }

    private static void thenDeadLetter(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        Message message = new Message(topic, "the-tag", "poison", "cannot be handled".getBytes());
        message.putUserProperty("colour", "grün");
        SendResult sent = lab.send(message);

        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(group);
        consumer.setMaxReconsumeTimes(1);
        consumer.subscribe(topic, "*");
        refuseAll(consumer, inbox, null);
        consumer.start();

        List<Inbox.Received> tries = inbox.await(2, Duration.ofSeconds(70));
        same(sent, tries.get(0).message(), topic, 0);
        same(sent, tries.get(1).message(), topic, 1);
        long pause = tries.get(1).at() - tries.get(0).at();
        Check.that(pause >= FIRST_RETRY_MS, "the retry came after %d ms, before its 10 s", pause);
        // Not with the client's next look for queues, though the group is new: that comes after 20 to 40 s.
        Check.that(pause < FIRST_RETRY_MS + LATE_MS, "the retry came after %d ms, long after its 10 s", pause);
        MessageExt second = tries.get(1).message();
        came(second, topic, sent.getOffsetMsgId());
        Check.equal("%RETRY%" + group, second.getProperty("REAL_TOPIC"), "topic of the retry");
        Check.equal("0", second.getProperty("REAL_QID"), "queue of the retry");

        MessageExt dead = deadLetter(lab, group, "poison");
        Check.equal("%DLQ%" + group, dead.getTopic(), "topic of the dead letter");
        came(dead, topic, sent.getOffsetMsgId());
        Check.equal(2, dead.getReconsumeTimes(), "how often the dead letter failed");
        Check.equal("cannot be handled", new String(dead.getBody()), "body of the dead letter");
        Check.equal("grün", dead.getUserProperty("colour"), "property of the dead letter");
        Check.equal("the-tag", dead.getTags(), "tag of the dead letter");
        Check.equal(2, inbox.all().size(), "tries with at most one retry");
    }

    /** What a message that failed says of the one that it repeats. */
    private static void came(MessageExt message, String topic, String id) {
        Check.equal(topic, message.getProperty("RETRY_TOPIC"), "topic of the original");
        Check.equal(id, message.getProperty("ORIGIN_MESSAGE_ID"), "id of the original");
    }

    private static void same(SendResult sent, MessageExt got, String topic, int reconsumeTimes) {
        Check.equal(reconsumeTimes, got.getReconsumeTimes(), "reconsume times");
        Check.equal(topic, got.getTopic(), "topic that the listener sees");
        Check.equal(sent.getMsgId(), got.getMsgId(), "message id");
        Check.equal("poison", got.getKeys(), "keys");
        Check.equal("the-tag", got.getTags(), "tag");
        Check.equal("grün", got.getUserProperty("colour"), "property");
        Check.equal("cannot be handled", new String(got.getBody()), "body");
    }

    private static void chosenLevel(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        lab.send(Lab.message(topic, "k"));
        lab.introduce(group);
        Inbox inbox = new Inbox();
        AtomicInteger tries = new AtomicInteger();
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(group);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(m -> inbox.add(m, "only"));
            context.setDelayLevelWhenNextConsume(1);
            return tries.incrementAndGet() < 4
                    ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                    : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        List<Inbox.Received> all = inbox.await(4, Duration.ofSeconds(70));
        for (int i = 0; i < 4; i++) {
            Check.equal(i, all.get(i).message().getReconsumeTimes(), "reconsume times");
            long pause = i == 0 ? 1_000 : all.get(i).at() - all.get(i - 1).at();
            Check.that(pause >= 1_000, "retry %d came after %d ms, before its 1 s", i, pause);
        }
        Check.equal(all.get(0).message().getBornTimestamp(), all.get(3).message().getBornTimestamp(), "born timestamp");
    }

    private static void atOnce(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        SendResult sent = lab.send(Lab.message(topic, "poison"));
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(group);
        consumer.subscribe(topic, "*");
        refuseAll(consumer, inbox, -1);
        consumer.start();
        inbox.await(1, SOON);
        MessageExt dead = deadLetter(lab, group, "poison");
        came(dead, topic, sent.getOffsetMsgId());
        Check.equal(1, dead.getReconsumeTimes(), "how often the dead letter failed");
        Check.equal(1, inbox.all().size(), "tries");
    }

    private static void orderly(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        lab.send(Lab.message(topic, "first"));
        for (String key : List.of("before", "poison", "after")) {
            lab.send(topic, key, 0);
        }
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(group);
        consumer.setMaxReconsumeTimes(2);
        consumer.setSuspendCurrentQueueTimeMillis(100);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            messages.forEach(m -> inbox.add(m, "only"));
            return messages.get(0).getKeys().equals("poison")
                    ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT
                    : ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        inbox.awaitKey("after", SOON);
        Check.equal(3L, inbox.keys().stream().filter("poison"::equals).count(), "tries with at most two retries");
        // The consumer has sent it on by itself, with the name under which it knows it.
        MessageExt dead = deadLetter(lab, group, "poison");
        came(dead, topic, dead.getMsgId());
        // Clients of 4.x do not count the last one.
        int failed = dead.getReconsumeTimes();
        Check.that(failed == 2 || failed == 3, "the dead letter failed %d times", failed);
        Check.equal(Integer.toString(failed), dead.getProperty("RECONSUME_TIME"), "the same as a property");
    }

    private static void refuseAll(DefaultMQPushConsumer consumer, Inbox inbox, Integer level) {
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(m -> inbox.add(m, "only"));
            if (level != null) {
                context.setDelayLevelWhenNextConsume(level);
            }
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
    }

    private static MessageExt deadLetter(Lab lab, String group, String key) throws Exception {
        return deadLetter(lab, group, key, SOON);
    }

    /** Reads the dead-letter topic of the group as anyone would: with another group. */
    static MessageExt deadLetter(Lab lab, String group, String key, Duration patience) throws Exception {
        String topic = "%DLQ%" + group;
        Check.until(patience, "a route for " + topic, () -> lab.hasRoute(topic));
        return lab.consume(topic).awaitKey(key, SOON).message();
    }
}
