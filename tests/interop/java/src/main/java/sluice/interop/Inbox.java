package sluice.interop;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Predicate;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;

/** What one or more consumers have received, in order of arrival. */
final class Inbox {
    record Received(MessageExt message, String by, long at) {
        String text() {
            return new String(message.getBody(), StandardCharsets.UTF_8);
        }

        /** The key that the scenarios number their messages with. */
        String key() {
            return message.getKeys();
        }
    }

    private final Lock lock = new ReentrantLock();
    private final Condition arrived = lock.newCondition();
    private final List<Received> all = new ArrayList<>();

    void add(MessageExt message, String by) {
        lock.lock();
        try {
            all.add(new Received(message, by, System.currentTimeMillis()));
            arrived.signalAll();
        } finally {
            lock.unlock();
        }
    }

    List<Received> all() {
        lock.lock();
        try {
            return List.copyOf(all);
        } finally {
            lock.unlock();
        }
    }

    List<String> keys() {
        return all().stream().map(Received::key).toList();
    }

    /** Makes the consumer put all it gets into this box, under that name. */
    void collect(DefaultMQPushConsumer consumer, String name) {
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(m -> add(m, name));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
    }

    /** Waits for that many messages and hands back all that are there. */
    List<Received> await(int count, Duration limit) throws InterruptedException {
        return awaitThat(limit, count + " messages", list -> list.size() >= count);
    }

    /** Waits for a message with this key and hands it back. */
    Received awaitKey(String key, Duration limit) throws InterruptedException {
        return awaitThat(limit, "message " + key, list -> list.stream().anyMatch(r -> key.equals(r.key()))).stream()
                .filter(r -> key.equals(r.key()))
                .findFirst()
                .orElseThrow();
    }

    /** Waits until each of these keys has come at least once. */
    void awaitKeys(Collection<String> keys, Duration limit) throws InterruptedException {
        awaitThat(limit, "all of " + keys.size() + " messages", all -> {
            Set<String> here = new HashSet<>();
            all.forEach(r -> here.add(r.key()));
            return here.containsAll(keys);
        });
    }

    List<Received> awaitThat(Duration limit, String what, Predicate<List<Received>> condition)
            throws InterruptedException {
        long left = limit.toNanos();
        lock.lock();
        try {
            while (!condition.test(all)) {
                Check.that(left > 0, "not received within %d s: %s; %d are here", limit.toSeconds(), what, all.size());
                left = arrived.awaitNanos(Math.min(left, TimeUnit.SECONDS.toNanos(60)));
            }
            return List.copyOf(all);
        } finally {
            lock.unlock();
        }
    }
}
