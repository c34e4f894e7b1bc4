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

/**
 * The members of a group share its queues, and take over those of a member that is gone.
 *
 * <p>Clients look by themselves only every 20 s. A change within {@link #NOTICED} shows that the broker told them.
 */
final class RebalanceScenarios {
    private static final Duration NOTICED = Duration.ofSeconds(12);

    private RebalanceScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("rebalance-join-and-leave", RebalanceScenarios::joinAndLeave),
                Scenario.of("rebalance-killed", RebalanceScenarios::killed));
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
