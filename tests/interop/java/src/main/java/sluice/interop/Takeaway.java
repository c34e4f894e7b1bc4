package sluice.interop;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * A push consumer that consumes exactly what is taken from it.
 *
 * <p>A listener call waits until someone takes its message and only then reports success. What nobody took when the
 * consumer closes is not acknowledged, so the group gets it again.
 */
final class Takeaway {
    private final DefaultMQPushConsumer consumer;
    private final Semaphore wanted = new Semaphore(0);
    private final LinkedBlockingQueue<Inbox.Received> taken = new LinkedBlockingQueue<>();
    private final CountDownLatch closing = new CountDownLatch(1);

    Takeaway(DefaultMQPushConsumer consumer) {
        this.consumer = consumer;
        consumer.setAwaitTerminationMillisWhenShutdown(1_000);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> consume(messages));
    }

    void start() throws Exception {
        consumer.start();
    }

    private ConsumeConcurrentlyStatus consume(List<MessageExt> messages) {
        long at = System.currentTimeMillis();
        for (MessageExt message : messages) {
            if (!permitted()) {
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            taken.add(new Inbox.Received(message, "", at));
        }
        return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
    }

    /** Waits to be wanted, whatever interrupts it: the client interrupts its listeners while it still heeds what they say. */
    private boolean permitted() {
        while (closing.getCount() > 0) {
            try {
                if (wanted.tryAcquire(50, TimeUnit.MILLISECONDS)) {
                    return true;
                }
            } catch (InterruptedException closingSoon) {
                continue;
            }
        }
        return false;
    }

    /** Up to {@code count} messages; fewer when the time is over first. */
    List<Inbox.Received> take(int count, Duration limit) throws InterruptedException {
        wanted.release(Math.max(0, count - taken.size()));
        long end = System.nanoTime() + limit.toNanos();
        List<Inbox.Received> got = new ArrayList<>();
        while (got.size() < count) {
            Inbox.Received next = taken.poll(Math.max(0, end - System.nanoTime()), TimeUnit.NANOSECONDS);
            if (next == null) {
                wanted.drainPermits();
                break;
            }
            got.add(next);
        }
        return got;
    }

    /** Shuts down first: a listener that ends after that has no say any more, so nothing is sent back to the broker. */
    void close() {
        consumer.shutdown();
        closing.countDown();
    }
}
