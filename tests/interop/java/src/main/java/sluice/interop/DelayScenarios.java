package sluice.interop;

import java.time.Duration;
import java.util.List;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Delayed messages come after their time and never before it. */
final class DelayScenarios {
    private static final Duration LATE = Duration.ofSeconds(20);

    private DelayScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("delay-level-1", lab -> level(lab, 1, 1_000)),
                Scenario.of("delay-level-2", lab -> level(lab, 2, 5_000)),
                Scenario.of("delay-time-ms", lab -> timer(lab, false))
                        .onlyIf(s -> Dialect.HAS_TIMERS, "this client has no timers"),
                Scenario.of("delay-recalled", DelayScenarios::recalled)
                        .onlyIf(s -> Dialect.HAS_TIMERS, "this client has no timers"),
                Scenario.of("deliver-time-ms", lab -> timer(lab, true))
                        .onlyIf(s -> Dialect.HAS_TIMERS, "this client has no timers"));
    }

    private static void level(Lab lab, int level, long millis) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        Inbox inbox = lab.consume(topic);
        Message message = new Message(topic, "the-tag", "delayed", "later".getBytes());
        message.putUserProperty("colour", "grün");
        message.setDelayTimeLevel(level);
        long before = System.currentTimeMillis();
        SendResult sent = lab.send(message);
        lab.send(Lab.message(topic, "at once"));
        inbox.awaitKey("at once", LATE);
        Inbox.Received got = inbox.awaitKey("delayed", LATE);
        Check.that(got.at() >= before + millis, "came after %d ms, before its %d ms", got.at() - before, millis);
        unchanged(sent, got.message(), before);
    }

    private static void timer(Lab lab, boolean absolute) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        Inbox inbox = lab.consume(topic);
        Message message = new Message(topic, "the-tag", "delayed", "later".getBytes());
        message.putUserProperty("colour", "grün");
        long before = System.currentTimeMillis();
        long due = before + 3_300;
        if (absolute) {
            Dialect.deliverAt(message, due);
        } else {
            Dialect.deliverAfter(message, 3_300);
        }
        SendResult sent = lab.send(message);
        Inbox.Received got = inbox.awaitKey("delayed", LATE);
        long earliest = due - lab.settings.timerEarly().toMillis();
        Check.that(got.at() >= earliest, "came %d ms before its time", due - got.at());
        unchanged(sent, got.message(), before);
    }

    private static void recalled(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        Inbox inbox = lab.consume(topic);
        Message gone = Lab.message(topic, "gone");
        Message kept = Lab.message(topic, "kept");
        Dialect.deliverAfter(gone, 3_000);
        Dialect.deliverAfter(kept, 4_000);
        SendResult sent = lab.send(gone);
        lab.send(kept);
        Check.equal(sent.getMsgId(), Dialect.recall(lab.producer(), topic, sent), "the recalled message's id");
        Check.refused(MQBrokerException.class, "a second recall", () -> Dialect.recall(lab.producer(), topic, sent));
        inbox.awaitKey("kept", LATE);
        Check.that(!inbox.keys().contains("gone"), "the recalled message came");
    }

    private static void unchanged(SendResult sent, MessageExt got, long before) {
        Check.equal(sent.getMsgId(), got.getMsgId(), "message id");
        Check.equal(sent.getMessageQueue().getQueueId(), got.getQueueId(), "queue");
        Check.equal("the-tag", got.getTags(), "tag");
        Check.equal("grün", got.getUserProperty("colour"), "property");
        Check.equal("later", new String(got.getBody()), "body");
        Check.that(Math.abs(got.getBornTimestamp() - before) < 1_000, "born timestamp is not the send's");
        Check.equal(0, got.getReconsumeTimes(), "reconsume times");
    }
}
