package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Push in its three manners, lite pull in its two, and the tag filter. */
final class ConsumeScenarios {
    /** A member that did not get the lock of its queue, since the one before it still had it, tries again 20 s later. */
    private static final Duration TWO_REBALANCES = Duration.ofSeconds(50);

    private static final Duration SEEK_AGAIN = Duration.ofSeconds(10);

    private ConsumeScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("push-clustering", ConsumeScenarios::clustering),
                Scenario.of("push-broadcasting", ConsumeScenarios::broadcasting),
                Scenario.of("push-orderly", ConsumeScenarios::orderly).within(Duration.ofSeconds(150)),
                Scenario.of("push-orderly-global", ConsumeScenarios::orderlyGlobal).within(Duration.ofSeconds(150)),
                Scenario.of("push-orderly-suspended", ConsumeScenarios::orderlySuspended),
                Scenario.of("lite-pull-subscribe", ConsumeScenarios::litePullSubscribe),
                Scenario.of("lite-pull-assign", ConsumeScenarios::litePullAssign),
                Scenario.of("tag-filter", ConsumeScenarios::tagFilter));
    }

    private static void clustering(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        lab.send(Lab.message(topic, "first"));
        Inbox inbox = new Inbox();
        lab.consume(topic, group, inbox, "a");
        lab.consume(topic, group, inbox, "b");
        inbox.await(1, SOON);
        int[] round = {0};
        Check.until(SOON, "both members get messages of one round", () -> {
            String mark = "r" + round[0]++ + "-";
            List<String> keys = lab.sendToEach(topic, mark);
            inbox.awaitKeys(keys, SOON);
            Set<String> members = new HashSet<>();
            inbox.all().stream().filter(r -> r.key().startsWith(mark)).forEach(r -> members.add(r.by()));
            return members.size() == 2;
        });
        int before = inbox.all().size();
        lab.sendMany(topic, "settled", 20);
        inbox.await(before + 20, SOON);
        lab.sendToEach(topic, "end");
        inbox.await(before + 24, SOON);
        Check.equal(20L, inbox.keys().stream().filter(k -> k.startsWith("settled")).count(), "each message once");
    }

    private static void broadcasting(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        List<String> keys = lab.sendMany(topic, "early", 8);
        List<Inbox> boxes = new ArrayList<>();
        for (String name : List.of("a", "b")) {
            Inbox inbox = new Inbox();
            DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(group);
            Dialect.broadcast(consumer);
            consumer.subscribe(topic, "*");
            inbox.collect(consumer, name);
            consumer.start();
            boxes.add(inbox);
        }
        keys.addAll(lab.sendMany(topic, "late", 8));
        for (Inbox inbox : boxes) {
            inbox.await(keys.size(), SOON);
            Check.equal(new HashSet<>(keys), new HashSet<>(inbox.keys()), "messages of one member");
            Check.equal(keys.size(), inbox.keys().size(), "messages of one member, each once");
        }
    }

    private static void orderly(Lab lab) throws Exception {
        String topic = lab.topic();
        int each = 25;
        List<String> sent = new ArrayList<>();
        for (int i = 0; i < each; i++) {
            for (int order = 0; order < 8; order++) {
                sent.add(order + ":" + i);
                lab.producer().send(
                        Lab.message(topic, order + ":" + i),
                        (queues, message, argument) -> queues.get((Integer) argument % queues.size()),
                        order);
            }
        }
        Inbox inbox = new Inbox();
        Map<Integer, AtomicInteger> busy = new ConcurrentHashMap<>();
        AtomicBoolean overlapped = new AtomicBoolean();
        String group = lab.group();
        for (String name : List.of("a", "b")) {
            orderly(lab, topic, group, messages -> {
                AtomicInteger inside = busy.computeIfAbsent(messages.get(0).getQueueId(), q -> new AtomicInteger());
                if (inside.incrementAndGet() > 1) {
                    overlapped.set(true);
                }
                messages.forEach(m -> inbox.add(m, name));
                inside.decrementAndGet();
                return ConsumeOrderlyStatus.SUCCESS;
            }).start();
        }
        inbox.awaitKeys(sent, TWO_REBALANCES);
        Check.that(!overlapped.get(), "two listeners were inside one queue at once");
        for (int order = 0; order < 8; order++) {
            String prefix = order + ":";
            List<String> seen = inbox.keys().stream().filter(k -> k.startsWith(prefix)).distinct().toList();
            for (int i = 0; i < each; i++) {
                Check.equal(prefix + i, seen.get(i), "order of key " + order);
            }
        }
    }

    /** One queue is one order, whoever of the group consumes it. */
    private static void orderlyGlobal(Lab lab) throws Exception {
        String topic = lab.topic();
        DefaultMQProducer producer = lab.clients.newProducer(lab.group());
        producer.setDefaultTopicQueueNums(1);
        producer.start();
        List<String> sent = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            sent.add("k" + i);
            producer.send(Lab.message(topic, "k" + i));
        }
        Check.equal(1, producer.fetchPublishMessageQueues(topic).size(), "queues");
        Inbox inbox = new Inbox();
        String group = lab.group();
        for (String name : List.of("a", "b")) {
            orderly(lab, topic, group, messages -> {
                messages.forEach(m -> inbox.add(m, name));
                return ConsumeOrderlyStatus.SUCCESS;
            }).start();
        }
        inbox.awaitKeys(sent, TWO_REBALANCES);
        Check.equal(sent, inbox.keys().stream().distinct().toList(), "order");
    }

    private interface OrderlyBody {
        ConsumeOrderlyStatus consume(List<MessageExt> messages) throws Exception;
    }

    private static DefaultMQPushConsumer orderly(Lab lab, String topic, String group, OrderlyBody body) throws Exception {
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(group);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            try {
                return body.consume(messages);
            } catch (Exception e) {
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
        });
        return consumer;
    }

    private static void orderlySuspended(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        for (int i = 0; i < 10; i++) {
            lab.send(topic, "k" + i, 1);
        }
        Inbox inbox = new Inbox();
        AtomicInteger refusals = new AtomicInteger();
        DefaultMQPushConsumer consumer = orderly(lab, topic, lab.group(), messages -> {
            if (messages.get(0).getKeys().equals("k3") && refusals.getAndIncrement() < 2) {
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            messages.forEach(m -> inbox.add(m, "only"));
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.setSuspendCurrentQueueTimeMillis(200);
        consumer.start();
        inbox.awaitKey("k9", SOON);
        Check.equal(3, refusals.get(), "tries of the message that was refused twice");
        List<String> keys = inbox.keys().stream().filter(k -> k.startsWith("k")).toList();
        Check.equal(List.of("k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"), keys, "order");
    }

    private static void litePullSubscribe(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        Set<String> first = new HashSet<>(lab.sendMany(topic, "first", 12));
        DefaultLitePullConsumer consumer = lab.clients.newLitePullConsumer(group);
        consumer.setAutoCommit(false);
        consumer.subscribe(topic, "*");
        consumer.start();
        Check.equal(first, pollKeys(consumer, 12), "messages of the first consumer");
        consumer.commitSync();
        Check.until(SOON, "12 committed", () -> committed(consumer, topic) == 12);
        consumer.shutdown();

        Set<String> second = new HashSet<>(lab.sendMany(topic, "second", 4));
        DefaultLitePullConsumer successor = lab.clients.newLitePullConsumer(group);
        successor.subscribe(topic, "*");
        successor.start();
        Check.equal(second, pollKeys(successor, 4), "messages of its successor");
    }

    private static long committed(DefaultLitePullConsumer consumer, String topic) throws Exception {
        long sum = 0;
        for (MessageQueue queue : consumer.fetchMessageQueues(topic)) {
            sum += Math.max(0, consumer.committed(queue));
        }
        return sum;
    }

    private static void litePullAssign(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        long start = lab.send(topic, "k0", 2).getQueueOffset();
        for (int i = 1; i < 20; i++) {
            lab.send(topic, "k" + i, 2);
        }
        DefaultLitePullConsumer consumer = lab.clients.newLitePullConsumer(lab.group());
        consumer.setAutoCommit(false);
        consumer.start();
        MessageQueue queue = consumer.fetchMessageQueues(topic).stream()
                .filter(q -> q.getQueueId() == 2)
                .findFirst()
                .orElseThrow();
        consumer.assign(List.of(queue));
        // The client may still hand out what it pulled before a seek, so it has everything by then.
        pollKeys(consumer, (int) start + 20);
        Set<String> afterSeek = pollKeys(consumer, 5, () -> consumer.seek(queue, start + 15));
        Check.equal(Set.of("k15", "k16", "k17", "k18", "k19"), afterSeek, "messages after a seek");
        Set<String> all = pollKeys(consumer, 20, () -> consumer.seekToBegin(queue));
        Check.that(all.contains("k0"), "seekToBegin did not go back to the first message");
        consumer.seekToEnd(queue);
        lab.send(topic, "newest", 2);
        Check.equal(Set.of("newest"), pollKeys(consumer, 1), "messages after seekToEnd");
    }

    private static Set<String> pollKeys(DefaultLitePullConsumer consumer, int count) throws Exception {
        return pollKeys(consumer, count, () -> {});
    }

    /**
     * What comes after {@code seek}, which is repeated while nothing does: a client that has just begun to ask for more takes
     * the new place for the pull that it is about to give up, and then waits at the old one.
     */
    private static Set<String> pollKeys(DefaultLitePullConsumer consumer, int count, Check.Action seek) throws Exception {
        Set<String> keys = new HashSet<>();
        long[] since = {Long.MIN_VALUE};
        Check.until(SOON, count + " messages by poll", () -> {
            if (keys.isEmpty() && (since[0] == Long.MIN_VALUE || System.nanoTime() - since[0] > SEEK_AGAIN.toNanos())) {
                seek.run();
                since[0] = System.nanoTime();
            }
            consumer.poll(500).forEach(m -> keys.add(m.getKeys()));
            return keys.size() >= count;
        });
        return keys;
    }

    private static void tagFilter(Lab lab) throws Exception {
        String topic = lab.topic();
        List<String> tags = List.of("a", "b", "c", "", "A", "ab", "标签");
        for (int i = 0; i < 10; i++) {
            for (String tag : tags) {
                lab.send(new Message(topic, tag, tag + i, "body".getBytes()));
            }
        }
        Set<String> wanted = new HashSet<>();
        Set<String> chinese = new HashSet<>();
        for (int i = 0; i < 10; i++) {
            wanted.addAll(List.of("a" + i, "b" + i));
            chinese.add("标签" + i);
        }
        Inbox two = subscribe(lab, topic, "a || b");
        Inbox one = subscribe(lab, topic, "标签");
        Inbox every = subscribe(lab, topic, "*");
        two.await(20, SOON);
        one.await(10, SOON);
        every.await(70, SOON);
        // The mark is sent last in every queue, so whatever slipped through the filter is here before it.
        for (MessageQueue queue : lab.producer().fetchPublishMessageQueues(topic)) {
            lab.producer().send(new Message(topic, "a", "end" + queue.getQueueId(), "body".getBytes()), queue);
        }
        two.await(24, SOON);
        Set<String> got = new HashSet<>(two.keys());
        got.removeIf(k -> k.startsWith("end"));
        Check.equal(wanted, got, "messages of 'a || b'");
        Check.equal(chinese, new HashSet<>(one.keys()), "messages of '标签'");
    }

    private static Inbox subscribe(Lab lab, String topic, String expression) throws Exception {
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(lab.group());
        consumer.subscribe(topic, expression);
        inbox.collect(consumer, expression);
        consumer.start();
        return inbox;
    }
}
