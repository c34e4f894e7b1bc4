package sluice.interop;

import com.google.gson.JsonObject;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/**
 * A load of synchronous sends by threads that share a producer, for the bench.
 *
 * <p>As fast as it goes, latencies are those of the sends. With a rate, a consumer takes what is sent, and latencies are from
 * when a message was to be sent to when the listener has it; both clocks are this process's. {@code measuring} is printed when the
 * part begins that counts, and a JSON object when it ends.
 */
final class Load {
    /** Longer than starting, connecting and ending takes; whatever hangs ends then. */
    private static final long PATIENCE_SECONDS = 60;

    private final String topic;
    private final int body;
    private final int threads;
    private final long rate;
    private final Latencies latencies = new Latencies();
    private final AtomicLong failed = new AtomicLong();
    private volatile boolean over;

    private Load(Options options) {
        topic = options.need("topic");
        body = (int) options.number("body", 1024);
        threads = (int) options.number("threads", 64);
        rate = options.number("rate", 0);
    }

    static int run(Settings settings, Options options) throws Exception {
        long warmUp = options.number("warm-up-ms", 2000);
        long measured = options.number("measured-ms", 10_000);
        watch(warmUp + measured);
        Load load = new Load(options);
        try (Clients clients = new Clients(settings.nameServer(), settings.user())) {
            DefaultMQProducer producer = clients.producer("load-" + load.topic);
            // The topic is there, and so are its queues, before anybody asks for them.
            producer.send(new Message(load.topic, load.stamped(System.nanoTime())));
            if (load.rate > 0) {
                load.consume(clients);
            }
            load.send(producer);
            Thread.sleep(warmUp);
            System.out.println(load.measure(measured));
            load.over = true;
        }
        return 0;
    }

    private static void watch(long millis) {
        Thread watch = new Thread(() -> {
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(millis) + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS));
            System.err.println("the load did not end");
            Runtime.getRuntime().halt(3);
        });
        watch.setDaemon(true);
        watch.start();
    }

    private JsonObject measure(long millis) throws InterruptedException {
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        failed.set(0);
        latencies.clear();
        long cpu = system.getProcessCpuTime();
        long start = System.nanoTime();
        System.out.println("measuring");
        System.out.flush();
        Thread.sleep(millis);
        long[] sorted = latencies.sorted();
        double seconds = (System.nanoTime() - start) / 1e9;
        JsonObject result = new JsonObject();
        result.addProperty("count", sorted.length);
        result.addProperty("failed", failed.get());
        result.addProperty("per_second", sorted.length / seconds);
        for (int permille : new int[] {500, 900, 990, 999, 1000}) {
            int at = (int) Math.ceil(sorted.length * permille / 1000.0) - 1;
            result.addProperty("p" + permille, at < 0 ? 0 : sorted[at] / 1000.0);
        }
        result.addProperty("own_cpu", (system.getProcessCpuTime() - cpu) / 1e9);
        return result;
    }

    private void send(DefaultMQProducer producer) {
        long start = System.nanoTime();
        for (int thread = 0; thread < threads; thread++) {
            int own = thread;
            Thread sender = new Thread(() -> {
                for (long turn = 0; !over; turn++) {
                    long due = rate == 0 ? System.nanoTime() : start + (turn * threads + own) * 1_000_000_000L / rate;
                    while (System.nanoTime() < due) {
                        LockSupport.parkNanos(due - System.nanoTime());
                    }
                    sendOne(producer, due);
                }
            });
            sender.setDaemon(true);
            sender.start();
        }
    }

    private void sendOne(DefaultMQProducer producer, long due) {
        try {
            producer.send(new Message(topic, stamped(due)));
            if (rate == 0) {
                latencies.add(System.nanoTime() - due);
            }
        } catch (Exception e) {
            failed.incrementAndGet();
        }
    }

    private byte[] stamped(long due) {
        return ByteBuffer.allocate(Math.max(body, Long.BYTES)).putLong(due).array();
    }

    private void consume(Clients clients) throws Exception {
        DefaultMQPushConsumer consumer = clients.newPushConsumer("load-" + topic);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(m -> latencies.add(System.nanoTime() - ByteBuffer.wrap(m.getBody()).getLong()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
    }

    /** In nanoseconds. */
    private static final class Latencies {
        private long[] all = new long[1 << 16];
        private int count;

        synchronized void add(long latency) {
            if (count == all.length) {
                all = Arrays.copyOf(all, count * 2);
            }
            all[count++] = latency;
        }

        synchronized void clear() {
            count = 0;
        }

        synchronized long[] sorted() {
            long[] sorted = Arrays.copyOf(all, count);
            Arrays.sort(sorted);
            return sorted;
        }
    }
}
