package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Clients of a broker that refuses what is too much: a producer that sends and waits tries again by itself, a push consumer sees
 * nothing of it, and what does not try again is told. flow-control.sh starts such brokers.
 */
final class FlowControl {
    /** Response code SYSTEM_BUSY. */
    private static final int BUSY = 2;
    private static final String WORDS = "[REJECTREQUEST]system busy, start flow control for a while";
    /** Messages of one pull. */
    private static final int BATCH = 4;
    private static final Duration LONG = Duration.ofSeconds(120);

    private final Settings settings;
    private final String topic;
    private final int count;
    private final int threads;
    private final byte[] body;
    /** What the broker said to those that it refused. */
    private final Queue<String> refusals = new ConcurrentLinkedQueue<>();

    private FlowControl(Settings settings, Options options) {
        this.settings = settings;
        this.topic = options.need("topic");
        this.count = (int) options.number("count", 100);
        this.threads = (int) options.number("threads", 1);
        this.body = new byte[(int) options.number("body", 100)];
    }

    static int run(Settings settings, Options options) {
        FlowControl run = new FlowControl(settings, options);
        try (Clients clients = run.clients()) {
            DefaultMQProducer producer = clients.newProducer("flow-control");
            producer.setSendMsgTimeout((int) LONG.toMillis());
            Dialect.retryWhenBusy(producer);
            if (options.values().containsKey("tries")) {
                producer.setRetryTimesWhenSendFailed((int) options.number("tries", 3) - 1);
            }
            producer.start();
            List<String> keys = run.send(producer);
            int refused = run.refused("a producer that waits for each answer");
            long slow = options.number("quota", 0);
            if (slow > 0) {
                keys.addAll(run.sendInTheBackground(producer));
            }
            run.consume(clients, keys, slow);
            if (slow > 0) {
                run.pullAtOnce(clients);
            }
            System.out.printf("   %d messages, %d of the tries to send them refused%n", keys.size(), refused);
            return 0;
        } catch (Exception failure) {
            System.out.println("FAIL " + failure.getMessage());
            return 1;
        }
    }

    private Clients clients() {
        return new Clients(settings.nameServer(), settings.user(), answer -> {
            if (answer.getCode() == BUSY) {
                refusals.add(String.valueOf(answer.getRemark()));
            }
        });
    }

    /** All of them are stored, by the client's own tries, though the broker has refused some of those. */
    private List<String> send(DefaultMQProducer producer) throws Exception {
        ExecutorService senders = Executors.newFixedThreadPool(threads);
        List<Future<List<String>>> all = new ArrayList<>();
        for (int thread = 0; thread < threads; thread++) {
            String prefix = "t" + thread + "-";
            all.add(senders.submit(() -> send(producer, prefix)));
        }
        List<String> keys = new ArrayList<>();
        for (Future<List<String>> one : all) {
            keys.addAll(one.get());
        }
        senders.shutdown();
        return keys;
    }

    private List<String> send(DefaultMQProducer producer, String prefix) throws Exception {
        List<String> keys = new ArrayList<>();
        // Whether writing is ever behind is the machine's to say, so it is waited for.
        for (int n = 0; n < count || (refusals.isEmpty() && n < 100 * count); n++) {
            SendResult sent = producer.send(message(prefix + n));
            Check.equal(SendStatus.SEND_OK, sent.getSendStatus(), "send status");
            keys.add(prefix + n);
        }
        return keys;
    }

    private Message message(String key) {
        return new Message(topic, null, key, body.clone());
    }

    /** How many refusals there were since; each in the words that people know. */
    private int refused(String whom) {
        List<String> words = new ArrayList<>();
        for (String next = refusals.poll(); next != null; next = refusals.poll()) {
            words.add(next);
        }
        Check.that(!words.isEmpty(), "the broker has not refused %s", whom);
        words.forEach(said -> Check.that(said.startsWith(WORDS), "refused with other words: %s", said));
        return words.size();
    }

    /** Of these the client tries none again once the broker has answered, so the application does. */
    private List<String> sendInTheBackground(DefaultMQProducer producer) throws Exception {
        List<String> waiting = new ArrayList<>();
        for (int n = 0; n < count; n++) {
            waiting.add("a" + n);
        }
        List<String> keys = List.copyOf(waiting);
        Check.until(LONG, "all messages stored that were sent in the background", () -> {
            List<CompletableFuture<String>> answers = new ArrayList<>();
            for (String key : waiting) {
                CompletableFuture<String> answer = new CompletableFuture<>();
                answers.add(answer);
                producer.send(message(key), callback(key, answer));
            }
            waiting.clear();
            for (CompletableFuture<String> answer : answers) {
                String again = answer.get();
                if (again != null) {
                    waiting.add(again);
                }
            }
            return waiting.isEmpty();
        });
        refused("a producer that does not wait");
        return keys;
    }

    /** Gives the key of a message that the broker has refused for being busy, or nothing. */
    private SendCallback callback(String key, CompletableFuture<String> answer) {
        return new SendCallback() {
            @Override
            public void onSuccess(SendResult sent) {
                answer.complete(null);
            }

            @Override
            public void onException(Throwable error) {
                if (error instanceof MQBrokerException refusal && refusal.getResponseCode() == BUSY) {
                    refusals.add(refusal.getErrorMessage());
                    answer.complete(key);
                } else {
                    answer.completeExceptionally(error);
                }
            }
        };
    }

    /** A push consumer gets all of it, no faster than the quota lets it when there is one. */
    private void consume(Clients clients, List<String> keys, long quota) throws Exception {
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = clients.newPushConsumer("flow-control-" + topic);
        consumer.setPullBatchSize(BATCH);
        consumer.subscribe(topic, "*");
        inbox.collect(consumer, "only");
        consumer.start();
        inbox.awaitKeys(keys, LONG);
        List<Inbox.Received> all = inbox.all();
        Check.equal((long) keys.size(), all.stream().map(Inbox.Received::key).distinct().count(), "messages");
        if (quota > 0) {
            // A second's worth may be had at once, and from each of the four queues a pull more.
            long least = (all.size() - quota - 4 * BATCH) * 1000 / quota;
            long took = all.get(all.size() - 1).at() - all.get(0).at();
            Check.that(took >= least, "%d messages came within %d ms, over the quota", all.size(), took);
        }
        consumer.shutdown();
    }

    /** Who pulls without waiting for messages is told instead. */
    @SuppressWarnings("deprecation")
    private void pullAtOnce(Clients clients) throws Exception {
        DefaultMQPullConsumer consumer = clients.newPullConsumer("flow-control-pull-" + topic);
        consumer.start();
        MessageQueue queue = consumer.fetchSubscribeMessageQueues(topic).iterator().next();
        Check.until(SOON, "a pull refused", () -> {
            try {
                consumer.pull(queue, "*", 0, 32);
                return false;
            } catch (MQBrokerException refusal) {
                Check.equal(BUSY, refusal.getResponseCode(), "code of: " + refusal.getMessage());
                refusals.add(refusal.getErrorMessage());
                return true;
            }
        });
        refused("a pull that does not wait");
    }
}
