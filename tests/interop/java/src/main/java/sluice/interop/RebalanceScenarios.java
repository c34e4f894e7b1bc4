package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * The members of a group share its queues, and take over those of a member that is gone.
 *
 * <p>Clients look by themselves only every 20 s. A change within {@link #NOTICED} shows that the broker told them.
 */
final class RebalanceScenarios {
    private static final Duration NOTICED = Duration.ofSeconds(12);

    private static final Duration LOCK = Duration.ofSeconds(61);

    private static final int ROUNDS = 10;
    private static final long BETWEEN_ROUNDS_MS = 400;

    private RebalanceScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("rebalance-join-and-leave", RebalanceScenarios::joinAndLeave),
                Scenario.of("rebalance-killed", RebalanceScenarios::killed),
                Scenario.of("different-subscriptions", RebalanceScenarios::different),
                ClockScenarios.withClock("clock-locks-of-the-killed", RebalanceScenarios::killedInOrder));
    }

    private static void joinAndLeave(Lab lab) throws Exception {
        Rounds rounds = new Rounds(lab);
        lab.consume(rounds.topic, rounds.group, rounds.inbox, "a");
        rounds.until(SOON, Map.of("a", 4));
        DefaultMQPushConsumer second = lab.consume(rounds.topic, rounds.group, rounds.inbox, "b");
        rounds.until(NOTICED, Map.of("a", 2, "b", 2));
        second.shutdown();
        rounds.until(NOTICED, Map.of("a", 4));
    }

    private static void killed(Lab lab) throws Exception {
        Rounds rounds = new Rounds(lab);
        lab.consume(rounds.topic, rounds.group, rounds.inbox, "a");
        rounds.until(SOON, Map.of("a", 4));
        Child child = Child.start("hold", "--topic", rounds.topic, "--group", rounds.group);
        lab.clients.onClose(child::kill);
        child.onLine(line -> rounds.elsewhere(line));
        rounds.until(SOON, Map.of("a", 2, "child", 2));
        child.kill();
        Check.that(child.process().waitFor(10, TimeUnit.SECONDS), "the killed process is still there");
        rounds.until(NOTICED, Map.of("a", 4));
    }

    /** The queue locks of a member that is killed hold for a minute, as it may still be at work; then another one goes on. */
    private static void killedInOrder(Lab lab) throws Exception {
        Rounds rounds = new Rounds(lab);
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(rounds.group);
        consumer.subscribe(rounds.topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            messages.forEach(m -> rounds.inbox.add(m, "a"));
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        rounds.until(SOON, Map.of("a", 4));
        Child child = Child.start("hold", "--topic", rounds.topic, "--group", rounds.group, "--in-order", "yes");
        lab.clients.onClose(child::kill);
        child.onLine(line -> rounds.elsewhere(line));
        rounds.until(SOON, Map.of("a", 2, "child", 2));
        child.kill();
        Check.that(child.process().waitFor(10, TimeUnit.SECONDS), "the killed process is still there");
        ClockScenarios.clock(lab).forward(LOCK);
        rounds.until(SOON, Map.of("a", 4));
    }

    /**
     * Two members of a group want different tags. What one wants and the other's queues hold is lost with clients that share
     * queues; each gets all it wants from its own, while the heartbeats of both go on saying different things.
     */
    private static void different(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        lab.send(Lab.message(topic, "first"));
        Inbox inbox = new Inbox();
        Map<String, DefaultMQPushConsumer> members = new TreeMap<>();
        for (String tag : List.of("TagA", "TagB")) {
            DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(group);
            consumer.subscribe(topic, tag);
            inbox.collect(consumer, tag);
            consumer.start();
            members.put(tag, consumer);
        }
        Check.until(SOON, "both have their queues", () -> members.values().stream().allMatch(m -> queues(m, topic).size() == 2));
        Map<String, Set<String>> wanted = new TreeMap<>(Map.of("TagA", new HashSet<>(), "TagB", new HashSet<>()));
        for (int round = 0; round < ROUNDS; round++) {
            for (MessageQueue queue : lab.producer().fetchPublishMessageQueues(topic)) {
                for (String tag : wanted.keySet()) {
                    String key = tag + "-" + round + "-" + queue.getQueueId();
                    lab.producer().send(new Message(topic, tag, key, new byte[] {1}), queue);
                    if (queues(members.get(tag), topic).contains(queue.getQueueId())) {
                        wanted.get(tag).add(key);
                    }
                }
            }
            // Longer, in all, than from one heartbeat to the next.
            Thread.sleep(BETWEEN_ROUNDS_MS);
        }
        for (String tag : wanted.keySet()) {
            inbox.awaitKeys(wanted.get(tag), SOON);
            Set<String> got = new HashSet<>();
            inbox.all().stream().filter(r -> r.by().equals(tag)).forEach(r -> got.add(r.key()));
            Check.equal(wanted.get(tag), got, "messages of the member that wants " + tag);
        }
    }

    private static Set<Integer> queues(DefaultMQPushConsumer member, String topic) {
        Set<Integer> queues = new HashSet<>();
        for (MessageQueue queue : member.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
            if (queue.getTopic().equals(topic)) {
                queues.add(queue.getQueueId());
            }
        }
        return queues;
    }

    /** Sends a message to every queue, round by round, and sees who gets how many; every message must come to someone. */
    private static final class Rounds {
        final Lab lab;
        final String topic;
        final String group;
        final Inbox inbox = new Inbox();
        private final Set<String> elsewhere = new HashSet<>();
        private int number;

        Rounds(Lab lab) throws Exception {
            this.lab = lab;
            this.topic = lab.topic();
            this.group = lab.group();
            lab.send(Lab.message(topic, "first"));
        }

        synchronized void elsewhere(String key) {
            elsewhere.add(key);
        }

        private synchronized boolean isElsewhere(String key) {
            return elsewhere.contains(key);
        }

        void until(Duration limit, Map<String, Integer> shares) throws Exception {
            Map<String, Integer> last = new TreeMap<>();
            try {
                Check.until(limit, "", () -> {
                    last.clear();
                    last.putAll(round());
                    return last.equals(new TreeMap<>(shares));
                });
            } catch (Check.Failed e) {
                throw new Check.Failed("queues: expected " + new TreeMap<>(shares) + " within " + limit.toSeconds()
                        + " s, got " + last + " in the last round " + e.getMessage());
            }
        }

        private Map<String, Integer> round() throws Exception {
            String mark = "r" + number++ + "-";
            List<String> keys = lab.sendToEach(topic, mark);
            Check.until(SOON, "round " + mark + " received by someone", () -> {
                Set<String> here = new HashSet<>(inbox.keys());
                return keys.stream().allMatch(k -> here.contains(k) || isElsewhere(k));
            });
            Map<String, Integer> shares = new TreeMap<>();
            Map<String, String> receivers = new TreeMap<>();
            keys.stream().filter(this::isElsewhere).forEach(k -> receivers.put(k, "child"));
            inbox.all().stream().filter(r -> keys.contains(r.key())).forEach(r -> receivers.put(r.key(), r.by()));
            receivers.values().forEach(by -> shares.merge(by, 1, Integer::sum));
            return shares;
        }
    }
}
