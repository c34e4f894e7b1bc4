package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * What takes a broker hours by default, step by step on a clock that the scenario sets: nothing comes before its step, and
 * everything at its step. They need a broker of their own, and run one after the other ({@code clock.sh}).
 */
final class ClockScenarios {
    /** What the levels mean from 1 on, as stock brokers have it. */
    private static final List<Duration> LEVELS = levels();

    private static final int MOST_RETRIES = 16;
    private static final int MOST_CHECKS = 15;
    private static final Duration FIRST_CHECK = Duration.ofSeconds(6);
    private static final Duration CHECK_INTERVAL = Duration.ofSeconds(30);

    private static final String UNDECIDED = "TRANS_CHECK_MAX_TIME_TOPIC";

    /** How long before a step it is looked whether something came too early. */
    private static final Duration BEFORE = Duration.ofSeconds(5);

    private ClockScenarios() {}

    static List<Scenario> all() {
        return List.of(
                withClock("clock-delay-levels", ClockScenarios::delayLevels),
                withClock("clock-retries", ClockScenarios::retries),
                withClock("clock-checks", ClockScenarios::checks));
    }

    static Scenario withClock(String name, Scenario.Body body) {
        return Scenario.of(name, body).onlyIf(s -> !s.clock().isEmpty(), "CLOCK is not set: no clock to set");
    }

    static Clock clock(Lab lab) throws Exception {
        return new Clock(Path.of(lab.settings.clock()));
    }

    private static List<Duration> levels() {
        List<Duration> levels = new ArrayList<>();
        for (int seconds : new int[] {1, 5, 10, 30}) {
            levels.add(Duration.ofSeconds(seconds));
        }
        for (int minutes : new int[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 60, 120}) {
            levels.add(Duration.ofMinutes(minutes));
        }
        return levels;
    }

    /** A message of each level at once; then the clock goes to just before each one's time, and to it. */
    private static void delayLevels(Lab lab) throws Exception {
        Clock clock = clock(lab);
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        Arrivals arrivals = new Arrivals(clock);
        arrivals.of(lab, topic, lab.group()).start();
        arrivals.inbox.awaitKey("first", SOON);
        List<Long> asked = new ArrayList<>();
        List<String> keys = new ArrayList<>();
        for (int level = 1; level <= LEVELS.size(); level++) {
            keys.add("level" + level);
            Message message = Lab.message(topic, keys.get(level - 1));
            message.setDelayTimeLevel(level);
            asked.add(clock.now());
            lab.producer().send(message, lab.queue(topic, 0));
        }
        long answered = clock.now();
        for (int i = 0; i < keys.size(); i++) {
            String key = keys.get(i);
            long delay = LEVELS.get(i).toMillis();
            clock.approach(asked.get(i) + delay - BEFORE.toMillis());
            wake(lab, topic, arrivals.inbox, "before " + key);
            arrivals.notBefore(key, asked.get(i) + delay);
            clock.reach(answered + delay);
            wake(lab, topic, arrivals.inbox, "behind " + key);
            MessageExt got = arrivals.inbox.awaitKey(key, SOON).message();
            arrivals.notBefore(key, asked.get(i) + delay);
            long stored = got.getStoreTimestamp();
            Check.that(stored >= asked.get(i) + delay, "%s is of %d ms before its time", key, asked.get(i) + delay - stored);
        }
        List<String> came = arrivals.inbox.keys().stream().filter(k -> k.startsWith("level")).toList();
        Check.equal(keys, came, "messages, in the order of their levels");
    }

    /** All of the retries that a stock broker allows, each after the delay of its level, and the dead letter in the end. */
    private static void retries(Lab lab) throws Exception {
        Clock clock = clock(lab);
        String topic = lab.topic();
        String group = lab.group();
        String marks = lab.topic();
        lab.send(Lab.message(marks, "first"));
        Inbox woken = lab.consume(marks);
        lab.send(Lab.message(topic, "poison"));
        List<Long> failed = new CopyOnWriteArrayList<>();
        List<Integer> counted = new CopyOnWriteArrayList<>();
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(group);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(m -> counted.add(m.getReconsumeTimes()));
            failed.add(clock.now());
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        Check.until(SOON, "the first try", () -> failed.size() == 1);
        MessageQueue retried = new MessageQueue("%RETRY%" + group, lab.queue(topic, 0).getBrokerName(), 0);
        for (int retry = 1; retry <= MOST_RETRIES; retry++) {
            int tries = retry;
            // The next retry is timed from when the broker was told, which is a moment after the listener.
            Check.until(SOON, "the broker knows of failure " + tries, () -> isSentBack(consumer, topic, retried, tries));
            long delay = LEVELS.get(retry + 1).toMillis();
            long earliest = failed.get(retry - 1) + delay;
            long latest = clock.now() + delay;
            clock.approach(earliest - BEFORE.toMillis());
            wake(lab, marks, woken, "before retry " + retry);
            Check.that(failed.size() == retry || failed.get(retry) >= earliest, "retry %d came early", retry);
            clock.reach(latest);
            wake(lab, marks, woken, "behind retry " + retry);
            Check.until(SOON, "retry " + retry, () -> failed.size() > tries);
            long early = earliest - failed.get(retry);
            Check.that(early <= 0, "retry %d came %d ms before its time", retry, early);
            Check.equal(retry, counted.get(retry), "reconsume times of retry " + retry);
        }
        MessageExt dead = RetryScenarios.deadLetter(lab, group, "poison", SOON);
        Check.equal(MOST_RETRIES + 1, dead.getReconsumeTimes(), "how often the dead letter failed");
        Check.equal(MOST_RETRIES + 1, failed.size(), "tries");
    }

    /** A client goes on behind a message once the broker has answered that it will come again. */
    private static boolean isSentBack(DefaultMQPushConsumer consumer, String topic, MessageQueue retried, int failures)
            throws Exception {
        var offsets = consumer.getDefaultMQPushConsumerImpl().getOffsetStore();
        long behind = 0;
        for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(topic)) {
            behind += Math.max(0, offsets.readOffset(queue, ReadOffsetType.READ_FROM_MEMORY));
        }
        return behind + Math.max(0, offsets.readOffset(retried, ReadOffsetType.READ_FROM_MEMORY)) >= failures;
    }

    /** A producer that never knows is asked as often as a stock broker asks; then the message is where it can be seen. */
    private static void checks(Lab lab) throws Exception {
        Clock clock = clock(lab);
        String topic = lab.topic();
        List<Long> asked = new CopyOnWriteArrayList<>();
        TransactionMQProducer producer = lab.clients.transactionProducer(lab.group(), new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
                return LocalTransactionState.UNKNOW;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                asked.add(clock.now());
                return LocalTransactionState.UNKNOW;
            }
        });
        String key = topic + "-half";
        long due = clock.now() + FIRST_CHECK.toMillis();
        producer.sendMessageInTransaction(Lab.message(topic, key), null);
        for (int check = 1; check <= MOST_CHECKS; check++) {
            int count = check;
            clock.approach(due - BEFORE.toMillis());
            look(producer, topic);
            Check.that(asked.size() < count || asked.get(count - 1) >= due, "check %d came early", count);
            // The broker times a check from when it made the last one, which was a moment after that was due.
            clock.reach(check == 1 ? due : asked.get(check - 2) + CHECK_INTERVAL.toMillis());
            Check.until(SOON, "check " + count, () -> {
                look(producer, topic);
                return asked.size() >= count;
            });
            Check.that(asked.get(count - 1) >= due, "check %d came %d ms early", count, due - asked.get(count - 1));
            due += CHECK_INTERVAL.toMillis();
        }
        clock.reach(clock.now() + CHECK_INTERVAL.toMillis());
        // The broker makes the topic, so consumers that start before do not see it for half a minute.
        Check.until(SOON, "a topic of what nobody decided", () -> {
            look(producer, topic);
            return lab.hasRoute(UNDECIDED);
        });
        lab.consume(UNDECIDED).awaitKey(key, SOON);
        Check.equal(MOST_CHECKS, asked.size(), "checks");
    }

    /** Lets the broker look which checks are due, as it does when one of their settings is set. */
    private static void look(TransactionMQProducer producer, String topic) throws Exception {
        MQClientInstance client = producer.getDefaultMQProducerImpl().getMqClientFactory();
        String name = producer.fetchPublishMessageQueues(topic).get(0).getBrokerName();
        Properties same = new Properties();
        same.setProperty("transactionCheckMax", Integer.toString(MOST_CHECKS));
        client.getMQClientAPIImpl().updateBrokerConfig(client.findBrokerAddressInPublish(name), same, 10_000);
    }

    /**
     * Has the broker look which messages are due, and waits until it has: it notices within a minute that its clock was
     * set, and sooner when another message is to be delivered.
     */
    private static void wake(Lab lab, String topic, Inbox inbox, String key) throws Exception {
        Message mark = Lab.message(topic, key);
        Dialect.deliverAfter(mark, 20);
        lab.producer().send(mark, lab.queue(topic, 0));
        inbox.awaitKey(key, SOON);
    }

    /** What a consumer gets, and when that was on the broker's clock. */
    private static final class Arrivals {
        final Inbox inbox = new Inbox();
        private final Clock clock;
        private final Map<String, Long> times = new ConcurrentHashMap<>();

        Arrivals(Clock clock) {
            this.clock = clock;
        }

        DefaultMQPushConsumer of(Lab lab, String topic, String group) throws Exception {
            DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(group);
            consumer.subscribe(topic, "*");
            // One thread, so that the order is that of the queue.
            consumer.setConsumeThreadMin(1);
            consumer.setConsumeThreadMax(1);
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                for (MessageExt message : messages) {
                    times.putIfAbsent(message.getKeys(), clock.now());
                    inbox.add(message, "only");
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            return consumer;
        }

        /** Either it has not come yet, or it came when it was due: a machine may stand still between two looks. */
        void notBefore(String key, long due) {
            Long at = times.get(key);
            Check.that(at == null || at >= due, "%s came %d ms before its time", key, at == null ? 0 : due - at);
        }
    }
}
