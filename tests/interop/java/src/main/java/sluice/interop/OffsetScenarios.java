package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.store.OffsetStore;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.client.consumer.store.RemoteBrokerOffsetStore;
import org.apache.rocketmq.client.impl.consumer.DefaultMQPushConsumerImpl;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;

/** Where a group starts, and where it goes on. */
final class OffsetScenarios {
    private OffsetScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("offsets-kept-over-restart", OffsetScenarios::keptOverRestart).within(Duration.ofSeconds(150)),
                Scenario.of("from-first-offset", OffsetScenarios::fromFirst),
                Scenario.of("from-last-offset", OffsetScenarios::fromLast),
                Scenario.of("offset-queries", OffsetScenarios::queries),
                Scenario.of("offset-corrected", OffsetScenarios::corrected));
    }

    private static void keptOverRestart(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        Set<String> sent = new HashSet<>();
        Inbox inbox = new Inbox();
        for (int life = 0; life < 4; life++) {
            sent.addAll(lab.sendMany(topic, "life" + life + "-", 20));
            DefaultMQPushConsumer consumer = lab.consume(topic, group, inbox, "life" + life);
            inbox.await(sent.size(), SOON);
            settle(lab, consumer, topic, sent.size());
            consumer.shutdown();
        }
        lab.consume(topic, group, inbox, "last");
        // What would come twice is in its queue before the mark.
        sent.addAll(lab.sendToEach(topic, "end"));
        inbox.awaitThat(SOON, "the marks", all -> all.stream().filter(r -> r.key().startsWith("end")).count() >= 4);
        Check.equal(sent, new HashSet<>(inbox.keys()), "messages over five lives");
        Check.equal(sent.size(), inbox.keys().size(), "messages over five lives, each once");
    }

    /**
     * Stops pulling and waits until the broker knows all the progress. A pull carries the client's progress too, and one that
     * was made before the last message was consumed can overtake what the shutdown reports.
     */
    private static void settle(Lab lab, DefaultMQPushConsumer consumer, String topic, int count) throws Exception {
        consumer.suspend();
        DefaultMQPushConsumerImpl inside = consumer.getDefaultMQPushConsumerImpl();
        // Not the consumer's own store: that takes over what it reads.
        OffsetStore atBroker = new RemoteBrokerOffsetStore(
                lab.producer().getDefaultMQProducerImpl().getMqClientFactory(), consumer.getConsumerGroup());
        Set<MessageQueue> queues = consumer.fetchSubscribeMessageQueues(topic);
        Check.until(SOON, count + " messages committed", () -> {
            inside.persistConsumerOffset();
            long committed = 0;
            for (MessageQueue queue : queues) {
                committed += Math.max(0, atBroker.readOffset(queue, ReadOffsetType.READ_FROM_STORE));
            }
            return committed == count;
        });
    }

    private static void fromFirst(Lab lab) throws Exception {
        String topic = lab.topic();
        Set<String> keys = new HashSet<>(lab.sendMany(topic, "early", 12));
        Inbox one = lab.consume(topic);
        Inbox other = lab.consume(topic);
        for (Inbox inbox : List.of(one, other)) {
            inbox.await(12, SOON);
            Check.equal(keys, new HashSet<>(inbox.keys()), "messages of a new group");
        }
    }

    /**
     * On a topic whose log is young the stock broker tells a new group to start at 0 whatever it asked for. So either all
     * early messages come or none; those sent once the consumer runs come in any case.
     */
    private static void fromLast(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.sendMany(topic, "early", 12);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(lab.group());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        consumer.subscribe(topic, "*");
        inbox.collect(consumer, "only");
        consumer.start();
        // The consumer has a starting point in every queue once a mark of every queue has come.
        Set<Integer> started = new HashSet<>();
        int[] round = {0};
        Check.until(SOON, "marks in every queue", () -> {
            lab.sendToEach(topic, "mark" + round[0]++ + "-");
            inbox.all().stream().filter(r -> r.key().startsWith("mark")).forEach(r -> started.add(r.message().getQueueId()));
            return started.size() == 4;
        });
        Set<String> late = new HashSet<>(lab.sendMany(topic, "late", 12));
        inbox.awaitKeys(late, SOON);
        long early = inbox.keys().stream().filter(k -> k.startsWith("early")).count();
        Check.that(early == 0 || early == 12, "%d of 12 early messages came: neither all nor none", early);
    }

    private static void queries(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        MessageQueue queue = lab.queue(topic, 3);
        long start = lab.send(topic, "one", 3).getQueueOffset();
        Check.equal(0L, lab.producer().minOffset(queue), "lowest offset");
        // The stock broker puts a message into its queue a moment after the send is answered.
        Check.until(SOON, "the message below the highest offset", () -> lab.producer().maxOffset(queue) == start + 1);
        long between = System.currentTimeMillis() + 1;
        Check.until(SOON, "a later millisecond", () -> System.currentTimeMillis() > between);
        lab.send(topic, "two", 3);
        Check.until(SOON, "both below the highest offset", () -> lab.producer().maxOffset(queue) == start + 2);
        Check.equal(start + 1, lab.producer().searchOffset(queue, between), "offset by time");
        Check.equal(start + 2, lab.producer().searchOffset(queue, between + 3_600_000), "offset by a time to come");
        Check.equal(0L, lab.producer().searchOffset(queue, between - 3_600_000), "offset by a time long past");
        long stored = lab.producer().earliestMsgStoreTime(queue);
        Check.that(Math.abs(between - stored) < 60_000, "store time %d of the first message is not of now", stored);
    }

    /** Who asks behind the end of a queue is told where that is. */
    @SuppressWarnings("deprecation")
    private static void corrected(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        MessageQueue queue = lab.queue(topic, 0);
        long end = lab.send(topic, "last", 0).getQueueOffset() + 1;
        Check.until(SOON, "the message below the highest offset", () -> lab.producer().maxOffset(queue) == end);
        DefaultMQPullConsumer consumer = lab.clients.newPullConsumer(lab.group());
        consumer.start();
        PullResult beyond = consumer.pull(queue, "*", end + 1_000, 32);
        Check.equal(PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus(), "a pull behind the end");
        Check.equal(end, beyond.getNextBeginOffset(), "where to go on");
        PullResult last = consumer.pull(queue, "*", end - 1, 32);
        Check.equal(PullStatus.FOUND, last.getPullStatus(), "a pull of the last message");
        Check.equal("last", last.getMsgFoundList().get(0).getKeys(), "the last message");
        Check.equal(PullStatus.NO_NEW_MSG, consumer.pull(queue, "*", end, 32).getPullStatus(), "a pull at the end");
    }
}
