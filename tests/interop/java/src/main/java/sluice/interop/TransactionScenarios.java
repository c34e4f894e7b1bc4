package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Half messages: committed, rolled back, left open and asked about. */
final class TransactionScenarios {
    /** The first check comes 6 s after the message; this leaves room for a busy machine. */
    private static final Duration FIRST_CHECK = Duration.ofSeconds(70);

    private static final long TRY_AGAIN_MS = 500;

    private TransactionScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("transaction-commit-and-rollback", TransactionScenarios::commitAndRollback),
                Scenario.of("transaction-checked", TransactionScenarios::checked).within(Duration.ofSeconds(150)),
                Scenario.of("transaction-checked-by-another-instance", TransactionScenarios::anotherInstance)
                        .within(Duration.ofSeconds(150)),
                Scenario.of("transaction-checked-when-the-sender-has-left", TransactionScenarios::senderLeft)
                        .within(Duration.ofSeconds(150)));
    }

    /** What the producer says at once, and what it says when it is asked; by the message's key. */
    private record Says(Function<String, LocalTransactionState> first, Function<String, LocalTransactionState> asked)
            implements TransactionListener {
        private static final Map<String, Integer> CHECKS = new ConcurrentHashMap<>();

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
            return first.apply(message.getKeys());
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            CHECKS.merge(message.getKeys(), 1, Integer::sum);
            return asked.apply(message.getKeys());
        }

        static int checksOf(String key) {
            return CHECKS.getOrDefault(key, 0);
        }
    }

    private static LocalTransactionState byName(String key) {
        return key.startsWith("commit") ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
    }

    private static LocalTransactionState never(String key) {
        throw new AssertionError("nobody should ask about " + key);
    }

    private static void commitAndRollback(Lab lab) throws Exception {
        String topic = lab.topic();
        TransactionMQProducer producer =
                lab.clients.transactionProducer(lab.group(), new Says(TransactionScenarios::byName, TransactionScenarios::never));
        Map<String, String> ids = new ConcurrentHashMap<>();
        for (int i = 0; i < 20; i++) {
            String key = (i % 2 == 0 ? "commit" : "rollback") + i;
            Message message = Lab.message(topic, key, "body".getBytes(), Map.of("n", "" + i));
            message.setTags("t");
            TransactionSendResult result = producer.sendMessageInTransaction(message, null);
            Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "send status");
            Check.equal(byName(key), result.getLocalTransactionState(), "local state");
            Check.equal(result.getMsgId(), result.getTransactionId(), "the transaction's id");
            ids.put(key, result.getMsgId());
        }
        Inbox inbox = lab.consume(topic);
        inbox.await(10, SOON);
        lab.sendToEach(topic, "end");
        inbox.await(14, SOON);
        Set<String> got = new TreeSet<>();
        for (Inbox.Received received : inbox.all()) {
            if (!received.key().startsWith("end")) {
                got.add(received.key());
                Check.equal(ids.get(received.key()), received.message().getMsgId(), "id of " + received.key());
                Check.equal(ids.get(received.key()), received.message().getTransactionId(), "transaction of " + received.key());
                Check.equal("t", received.message().getTags(), "tag");
                Check.that(received.message().getUserProperty("n") != null, "the property is lost");
            }
        }
        Set<String> wanted = new TreeSet<>();
        for (int i = 0; i < 20; i += 2) {
            wanted.add("commit" + i);
        }
        Check.equal(wanted, got, "messages");
        Check.equal(14, inbox.all().size(), "messages, each once");
    }

    private static void checked(Lab lab) throws Exception {
        String topic = lab.topic();
        TransactionMQProducer producer = lab.clients.transactionProducer(
                lab.group(), new Says(key -> LocalTransactionState.UNKNOW, TransactionScenarios::byName));
        String mark = topic.substring(topic.lastIndexOf('-'));
        for (String key : List.of("commit" + mark, "rollback" + mark)) {
            producer.sendMessageInTransaction(Lab.message(topic, key), null);
        }
        Inbox inbox = lab.consume(topic);
        inbox.awaitKey("commit" + mark, FIRST_CHECK);
        Check.until(FIRST_CHECK, "both are asked about", () -> Says.checksOf("rollback" + mark) > 0);
        lab.sendToEach(topic, "end");
        inbox.await(5, SOON);
        Check.equal(5, inbox.all().size(), "messages");
        Check.equal(1, Says.checksOf("commit" + mark), "checks of the committed one");
    }

    private static void anotherInstance(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        String key = "commit" + topic.substring(topic.lastIndexOf('-')) + "k";
        Child child = Child.start("prepare", "--topic", topic, "--group", group, "--keys", key);
        CountDownLatch prepared = new CountDownLatch(1);
        List<String> said = new ArrayList<>();
        child.onLine(line -> {
            said.add(line);
            if (line.equals("prepared")) {
                prepared.countDown();
            }
        });
        Check.that(prepared.await(SOON.toSeconds(), TimeUnit.SECONDS), "the child has not prepared: %s", said);
        child.kill();
        known(lab, group);
        lab.consume(topic).awaitKey(key, FIRST_CHECK);
        Check.that(Says.checksOf(key) > 0, "it was not asked");
    }

    /** Both instances are there when the message is prepared; the one that has sent it says goodbye before it is asked. */
    private static void senderLeft(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        String key = "commit" + topic.substring(topic.lastIndexOf('-')) + "s";
        known(lab, group);
        TransactionMQProducer sender = lab.clients.transactionProducer(
                group, new Says(name -> LocalTransactionState.UNKNOW, name -> LocalTransactionState.ROLLBACK_MESSAGE));
        sender.sendMessageInTransaction(Lab.message(topic, key), null);
        sender.shutdown();
        lab.consume(topic).awaitKey(key, FIRST_CHECK);
        Check.that(Says.checksOf(key) > 0, "the instance that is left was not asked");
    }

    /** An instance of the group that knows the outcome: a client tells brokers what it produces as once it has sent to them. */
    private static void known(Lab lab, String group) throws Exception {
        lab.clients.transactionProducer(group, new Says(TransactionScenarios::never, TransactionScenarios::byName))
                .send(Lab.message(lab.topic(), "acquaintance"));
    }

    /** Prepares a message, says that it does not know, and tells the outcome given when it is asked, until it is killed. */
    static int prepare(Settings settings, Options options) throws Exception {
        LocalTransactionState answer = LocalTransactionState.valueOf(options.get("check", "UNKNOW"));
        Clients clients = new Clients(settings.nameServer(), settings.user());
        TransactionMQProducer producer = clients.transactionProducer(
                options.need("group"), new Says(key -> LocalTransactionState.UNKNOW, key -> answer));
        for (boolean prepared = false; !prepared; ) {
            try {
                producer.sendMessageInTransaction(Lab.message(options.need("topic"), options.need("keys")), null);
                prepared = true;
            } catch (MQClientException busy) {
                // A machine that stands still may let a send's time run out; whoever waits gives up at last.
                Thread.sleep(TRY_AGAIN_MS);
            }
        }
        System.out.println("prepared");
        System.out.flush();
        Thread.sleep(settings.total().toMillis());
        return 1;
    }
}
