package sluice.interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.BiConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Delayed messages come after their time and never before it. */
final class DelayScenarios {
    private static final Duration LATE = Duration.ofSeconds(60);

    /** On a machine of its own 200 ms hold; here two cores run eight scenarios and other suites, and may stand still. */
    private static final long LATENESS_ON_A_BUSY_MACHINE = 15_000;

    private DelayScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("delay-level-1", lab -> level(lab, 1, 1_000)),
                Scenario.of("delay-level-2", lab -> level(lab, 2, 5_000)),
                Scenario.of("delay-time-sec", lab -> timer(lab, 4_000, (message, now) -> Dialect.deliverAfterSeconds(message, 4)))
                        .onlyIf(s -> Dialect.HAS_TIMERS, "this client has no timers"),
                Scenario.of("delay-time-ms", lab -> timer(lab, 3_300, (message, now) -> Dialect.deliverAfter(message, 3_300)))
                        .onlyIf(s -> Dialect.HAS_TIMERS, "this client has no timers"),
                Scenario.of("delay-recalled", DelayScenarios::recalled)
                        .onlyIf(s -> Dialect.HAS_TIMERS, "this client has no timers"),
                Scenario.of("delay-forty-days", DelayScenarios::farthest)
                        .onlyIf(s -> Dialect.HAS_TIMERS, "this client has no timers"),
                Scenario.of("delay-lateness", DelayScenarios::lateness)
                        .onlyIf(s -> Dialect.HAS_TIMERS, "this client has no timers"),
                Scenario.of("deliver-time-ms", lab -> timer(lab, 3_300, (message, now) -> Dialect.deliverAt(message, now + 3_300)))
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
        long after = System.currentTimeMillis();
        lab.send(Lab.message(topic, "at once"));
        inbox.awaitKey("at once", LATE);
        Inbox.Received got = inbox.awaitKey("delayed", LATE);
        Check.that(got.at() >= before + millis, "came after %d ms, before its %d ms", got.at() - before, millis);
        unchanged(sent, got.message(), before, after);
    }

    /** {@code asks} makes a message, at a time that it is given, ask for a delivery so many milliseconds after that. */
    private static void timer(Lab lab, long millis, BiConsumer<Message, Long> asks) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        Inbox inbox = lab.consume(topic);
        Message message = new Message(topic, "the-tag", "delayed", "later".getBytes());
        message.putUserProperty("colour", "grün");
        long before = System.currentTimeMillis();
        asks.accept(message, before);
        SendResult sent = lab.send(message);
        long after = System.currentTimeMillis();
        Inbox.Received got = inbox.awaitKey("delayed", Duration.ofMillis(millis).plus(LATE));
        long earliest = before + millis - lab.settings.timerEarly().toMillis();
        Check.that(got.at() >= earliest, "came %d ms before its time", before + millis - got.at());
        unchanged(sent, got.message(), before, after);
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

    /** As far ahead as the broker lets them be, and no further; taken back, it is gone. */
    private static void farthest(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        Inbox inbox = lab.consume(topic);
        long day = 86_400_000L;
        Message far = Lab.message(topic, "far");
        Dialect.deliverAfter(far, 40 * day - 60_000);
        SendResult sent = lab.send(far);
        Check.equal(SendStatus.SEND_OK, sent.getSendStatus(), "send status");
        Message farther = Lab.message(topic, "farther");
        Dialect.deliverAfter(farther, 41 * day);
        Check.refused(MQBrokerException.class, "41 days", () -> lab.send(farther));
        Message soon = Lab.message(topic, "soon");
        Dialect.deliverAfter(soon, 1_000);
        lab.send(soon);
        inbox.awaitKey("soon", LATE);
        Check.that(!inbox.keys().contains("far"), "forty days are over already");
        Check.equal(sent.getMsgId(), Dialect.recall(lab.producer(), topic, sent), "the recalled message's id");
        Check.refused(MQBrokerException.class, "a second recall", () -> Dialect.recall(lab.producer(), topic, sent));
    }

    /**
     * How late messages of many due times come, as the client sees it: from the due time to the listener. The machine is busy
     * with other scenarios, so what must hold is looser than what is printed.
     */
    private static void lateness(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        Inbox inbox = lab.consume(topic);
        inbox.awaitKey("first", LATE);
        int count = 300;
        long start = System.currentTimeMillis() + 2_000;
        for (int i = 0; i < count; i++) {
            Message message = Lab.message(topic, Long.toString(start + i * 17L));
            Dialect.deliverAt(message, start + i * 17L);
            lab.send(message);
        }
        inbox.await(count + 1, Duration.ofSeconds(70));
        List<Long> late = new ArrayList<>();
        for (Inbox.Received got : inbox.all()) {
            if (!got.key().equals("first")) {
                late.add(got.at() - Long.parseLong(got.key()));
            }
        }
        Collections.sort(late);
        Check.equal(count, late.size(), "messages");
        long p99 = late.get(count * 99 / 100 - 1);
        System.out.printf("   delay-lateness: %d messages, p50 %d ms, p99 %d ms, most %d ms%n", count, late.get(count / 2), p99, late.get(count - 1));
        Check.that(late.get(0) >= -lab.settings.timerEarly().toMillis(), "one came %d ms early", -late.get(0));
        Check.that(p99 <= LATENESS_ON_A_BUSY_MACHINE, "p99 is %d ms", p99);
    }

    private static void unchanged(SendResult sent, MessageExt got, long before, long after) {
        Check.equal(sent.getMsgId(), got.getMsgId(), "message id");
        Check.equal(sent.getMessageQueue().getQueueId(), got.getQueueId(), "queue");
        Check.equal("the-tag", got.getTags(), "tag");
        Check.equal("grün", got.getUserProperty("colour"), "property");
        Check.equal("later", new String(got.getBody()), "body");
        // Made at the send, or in the time that a busy machine took for it: not when it was delivered.
        Check.that(got.getBornTimestamp() >= before && got.getBornTimestamp() <= after, "born timestamp is not the send's");
        Check.equal(0, got.getReconsumeTimes(), "reconsume times");
    }
}
