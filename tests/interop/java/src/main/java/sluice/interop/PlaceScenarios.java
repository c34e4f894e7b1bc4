package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.time.Duration;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.LongSupplier;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.store.OffsetStore;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.client.consumer.store.RemoteBrokerOffsetStore;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Where a group starts on a topic that is not young, and goes on when its place has gone: with the broker of {@code clock.sh},
 * which holds no queue for young and keeps little beyond its three days.
 */
final class PlaceScenarios {
    private static final Duration HOUR = Duration.ofHours(1);

    /** A client that is told of a new place waits ten seconds, and looks for its queues after at most twenty more. */
    private static final Duration TOLD = Duration.ofSeconds(60);

    private static final Duration STAYS = Duration.ofSeconds(3);

    /** Between messages that are sent until everyone has got one. */
    private static final long PAUSE_MS = 200;

    private PlaceScenarios() {}

    static List<Scenario> all() {
        return List.of(
                ClockScenarios.withClock("clock-from-where", PlaceScenarios::fromWhere),
                ClockScenarios.withClock("clock-below-and-above", PlaceScenarios::belowAndAbove)
                        .within(Duration.ofSeconds(150)));
    }

    private static void fromWhere(Lab lab) throws Exception {
        Clock clock = ClockScenarios.clock(lab);
        String topic = lab.topic();
        long past = clock.now() - HOUR.toMillis();
        Set<String> newer = new HashSet<>();
        Set<String> every = new HashSet<>(lab.sendMany(topic, "older", 12));
        clock.forward(HOUR);
        long between = clock.now();
        clock.forward(HOUR);
        newer.addAll(lab.sendMany(topic, "newer", 12));
        every.addAll(newer);
        long future = clock.now() + HOUR.toMillis();

        Map<String, Set<String>> wanted = new LinkedHashMap<>();
        Map<String, Inbox> got = new LinkedHashMap<>();
        for (ConsumeFromWhere where : List.of(
                ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET)) {
            got.put(where.name(), start(lab, topic, where, null));
            wanted.put(where.name(), where == ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET ? every : Set.of());
        }
        for (Map.Entry<Long, Set<String>> time : Map.of(past, every, between, newer, future, Set.<String>of()).entrySet()) {
            String name = "from " + UtilAll.timeMillisToHumanString3(time.getKey());
            got.put(name, start(lab, topic, ConsumeFromWhere.CONSUME_FROM_TIMESTAMP, time.getKey()));
            wanted.put(name, time.getValue());
        }
        Check.equal(newer, pulled(lab, topic, between, newer.size()), "what is pulled from a time");
        // A consumer has a place in each queue once a mark has come from each.
        int[] round = {0};
        Check.until(SOON, "marks in every queue for everyone", () -> {
            lab.sendToEach(topic, "mark" + round[0]++ + "-");
            return got.values().stream().allMatch(inbox -> marked(inbox) == 4);
        });
        List<String> end = lab.sendToEach(topic, "mark-end");
        for (Map.Entry<String, Inbox> each : got.entrySet()) {
            each.getValue().awaitKeys(end, SOON);
            List<String> keys = each.getValue().keys().stream().filter(k -> !k.startsWith("mark")).toList();
            Check.equal(wanted.get(each.getKey()), new HashSet<>(keys), each.getKey());
            Check.equal(wanted.get(each.getKey()).size(), keys.size(), each.getKey() + ", each once");
        }
    }

    private static Inbox start(Lab lab, String topic, ConsumeFromWhere where, Long time) throws Exception {
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(lab.group());
        consumer.setConsumeFromWhere(where);
        if (time != null) {
            consumer.setConsumeTimestamp(UtilAll.timeMillisToHumanString3(time));
        }
        consumer.subscribe(topic, "*");
        inbox.collect(consumer, where.name());
        consumer.start();
        return inbox;
    }

    /** What a lite pull consumer of a new group gets first; older messages of a queue would come before newer ones. */
    private static Set<String> pulled(Lab lab, String topic, long time, int count) throws Exception {
        DefaultLitePullConsumer consumer = lab.clients.newLitePullConsumer(lab.group());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_TIMESTAMP);
        consumer.setConsumeTimestamp(UtilAll.timeMillisToHumanString3(time));
        consumer.subscribe(topic, "*");
        consumer.start();
        Set<String> keys = new HashSet<>();
        Check.until(SOON, count + " messages by poll", () -> {
            consumer.poll(500).forEach(m -> keys.add(m.getKeys()));
            return keys.size() >= count;
        });
        return keys;
    }

    private static long marked(Inbox inbox) {
        return inbox.all().stream()
                .filter(r -> r.key().startsWith("mark"))
                .map(r -> r.message().getQueueId())
                .distinct()
                .count();
    }

    /**
     * Retention lets go what is behind two groups' places: one whose consumer had ended, and one whose consumer stood still.
     * Both go on with what is there, each message once. A third group's place is above all that there is.
     */
    private static void belowAndAbove(Lab lab) throws Exception {
        Clock clock = ClockScenarios.clock(lab);
        String topic = lab.topic();
        for (int i = 0; i < 10; i++) {
            lab.send(Lab.message(topic, "makes the topic"));
            lab.send(topic, "read" + i, 0);
        }
        MessageQueue queue = lab.queue(topic, 0);
        long read = lab.producer().maxOffset(queue);
        String gone = lab.group();
        Inbox back = new Inbox();
        DefaultMQPushConsumer before = lab.consume(topic, gone, back, "before");
        Inbox still = new Inbox();
        String stands = lab.group();
        DefaultMQPushConsumer standing = lab.consume(topic, stands, still, "standing");
        await(back, read, SOON);
        await(still, read, SOON);
        standing.suspend();
        commit(lab, before, queue, read);
        before.shutdown();

        String above = lab.group();
        offsets(lab, above).updateConsumeOffsetToBroker(queue, read + 1_000, false);
        for (int i = 0; i < 40; i++) {
            lab.producer().send(new Message(topic, null, "goes" + i, noise(i)), queue);
        }
        clock.forward(Duration.ofDays(4));
        for (int i = 0; i < 10; i++) {
            lab.send(topic, "kept" + i, 0);
        }
        // The one that stands still may get once more what it had asked for before it stopped.
        settled(lab, queue, () -> Math.max(read, last(still) + 1));
        lab.consume(topic, gone, back, "after");
        standing.resume();
        Inbox far = new Inbox();
        lab.consume(topic, above, far, "above");
        Check.until(TOLD, "everyone goes on", () -> {
            long sent = lab.send(topic, "another", 0).getQueueOffset();
            Thread.sleep(PAUSE_MS);
            return Stream.of(back, still, far).allMatch(inbox -> last(inbox) >= sent);
        });
        long end = lab.send(topic, "end", 0).getQueueOffset();
        for (Inbox inbox : List.of(back, still, far)) {
            inbox.awaitKey("end", SOON);
            List<Long> got = offsets(inbox);
            Check.equal(got.size(), new HashSet<>(got).size(), "messages, each once");
        }
        long begin = lab.producer().minOffset(queue);
        for (Inbox inbox : List.of(back, still)) {
            Check.that(offsets(inbox).containsAll(from(begin, end)), "not all of %d to %d: %s", begin, end, offsets(inbox));
        }
        long first = offsets(far).get(0);
        Check.that(first > read, "who was above the end is given what is older than that");
        Check.equal(from(first, end), offsets(far), "what comes after who was above the end");
    }

    /** Waits until the queue begins behind a place, and stays so: retention takes two rounds, a second apart. */
    private static void settled(Lab lab, MessageQueue queue, LongSupplier place) throws Exception {
        long[] begin = {0, System.nanoTime()};
        Check.until(SOON, "the queue begins behind both groups, and stays so", () -> {
            Thread.sleep(PAUSE_MS);
            lab.send(queue.getTopic(), "another", queue.getQueueId());
            long now = lab.producer().minOffset(queue);
            if (now != begin[0]) {
                begin[0] = now;
                begin[1] = System.nanoTime();
            }
            return now > place.getAsLong() && System.nanoTime() - begin[1] > STAYS.toNanos();
        });
    }

    private static byte[] noise(int seed) {
        byte[] bytes = new byte[100_000];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    private static OffsetStore offsets(Lab lab, String group) throws Exception {
        return new RemoteBrokerOffsetStore(lab.producer().getDefaultMQProducerImpl().getMqClientFactory(), group);
    }

    private static void commit(Lab lab, DefaultMQPushConsumer consumer, MessageQueue queue, long offset) throws Exception {
        OffsetStore store = offsets(lab, consumer.getConsumerGroup());
        Check.until(SOON, "what was read is committed", () -> {
            consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
            return store.readOffset(queue, ReadOffsetType.READ_FROM_STORE) == offset;
        });
    }

    private static void await(Inbox inbox, long below, Duration limit) throws Exception {
        inbox.awaitThat(limit, "what is below " + below, all -> last(inbox) + 1 >= below);
    }

    private static long last(Inbox inbox) {
        return offsets(inbox).stream().mapToLong(Long::longValue).max().orElse(-1);
    }

    /** Of what it has from the queue that is used, in order. */
    private static List<Long> offsets(Inbox inbox) {
        return inbox.all().stream()
                .filter(r -> r.message().getQueueId() == 0)
                .map(r -> r.message().getQueueOffset())
                .sorted()
                .toList();
    }

    private static List<Long> from(long first, long last) {
        return LongStream.rangeClosed(first, last).boxed().toList();
    }
}
