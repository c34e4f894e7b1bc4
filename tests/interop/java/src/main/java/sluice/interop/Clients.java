package sluice.interop;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.UUID;
import java.util.function.Consumer;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * Makes stock clients of one broker and shuts them down again, newest first.
 *
 * <p>Every client gets an instance name of its own: clients of one name share a connection and an id, and two members of one
 * group must not.
 */
final class Clients implements AutoCloseable {
    /** Twice the default: the machine that runs the tests may be busy with a build. */
    private static final int SEND_TIMEOUT_MS = 6_000;

    /**
     * The client's default is 30 s. When it has new queues it makes its subscription newer and tells the broker by a heartbeat,
     * but skips that one if another is just under way; until the next the stock broker answers its pulls with "not latest".
     */
    private static final int HEARTBEAT_MS = 3_000;

    /** On shutdown, for listeners that are still at work, so that what they have done is committed. */
    private static final long LISTENER_MS = 3_000;

    private final String nameServer;
    private final Settings.Credentials credentials;
    private final Consumer<RemotingCommand> answers;
    private final Deque<Runnable> open = new ArrayDeque<>();

    Clients(String nameServer, Settings.Credentials credentials) {
        this(nameServer, credentials, answer -> {});
    }

    /** Clients whose every answer is shown to {@code answers} before they act on it. */
    Clients(String nameServer, Settings.Credentials credentials, Consumer<RemotingCommand> answers) {
        this.nameServer = nameServer;
        this.credentials = credentials;
        this.answers = answers;
    }

    /** A producer, not started yet; it is shut down with the others. */
    DefaultMQProducer newProducer(String group) {
        return opened(new DefaultMQProducer(group, hook()));
    }

    private DefaultMQProducer opened(DefaultMQProducer producer) {
        address(producer);
        producer.setSendMsgTimeout(SEND_TIMEOUT_MS);
        onClose(producer::shutdown);
        return producer;
    }

    /** One that tells of each message what became of it, not started yet. */
    DefaultMQProducer tracedProducer(String group) {
        return opened(new DefaultMQProducer(group, hook(), true, null));
    }

    /** A producer of transactions whose outcomes the listener tells, started. */
    TransactionMQProducer transactionProducer(String group, TransactionListener listener) throws MQClientException {
        TransactionMQProducer producer = new TransactionMQProducer(group, hook());
        address(producer);
        producer.setSendMsgTimeout(SEND_TIMEOUT_MS);
        producer.setTransactionListener(listener);
        onClose(producer::shutdown);
        producer.start();
        return producer;
    }

    DefaultMQProducer producer(String group) throws MQClientException {
        DefaultMQProducer producer = newProducer(group);
        producer.start();
        return producer;
    }

    /** A consumer that starts at the first message of a queue its group has not read, not started yet. */
    DefaultMQPushConsumer newPushConsumer(String group) {
        return opened(new DefaultMQPushConsumer(group, hook(), new AllocateMessageQueueAveragely()));
    }

    /** One that tells of each message what became of it. */
    DefaultMQPushConsumer tracedPushConsumer(String group) {
        return opened(new DefaultMQPushConsumer(group, hook(), new AllocateMessageQueueAveragely(), true, null));
    }

    private DefaultMQPushConsumer opened(DefaultMQPushConsumer consumer) {
        address(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setAwaitTerminationMillisWhenShutdown(LISTENER_MS);
        onClose(consumer::shutdown);
        return consumer;
    }

    DefaultLitePullConsumer newLitePullConsumer(String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group, hook());
        address(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        onClose(consumer::shutdown);
        return consumer;
    }

    /** The pull consumer of old: one call, one answer of the broker. */
    @SuppressWarnings("deprecation")
    DefaultMQPullConsumer newPullConsumer(String group) {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(group, hook());
        address(consumer);
        onClose(consumer::shutdown);
        return consumer;
    }

    synchronized void onClose(Runnable action) {
        open.push(action);
    }

    @Override
    public void close() {
        for (Runnable next = pop(); next != null; next = pop()) {
            try {
                next.run();
            } catch (RuntimeException ignored) {
                // a client that never started has nothing to shut down
            }
        }
    }

    private synchronized Runnable pop() {
        return open.poll();
    }

    private void address(ClientConfig config) {
        config.setNamesrvAddr(nameServer);
        config.setInstanceName(UUID.randomUUID().toString());
        config.setHeartbeatBrokerInterval(HEARTBEAT_MS);
    }

    RPCHook hook() {
        RPCHook signing = credentials == null
                ? null
                : new AclClientRPCHook(new SessionCredentials(credentials.key(), credentials.secret()));
        return new RPCHook() {
            @Override
            public void doBeforeRequest(String address, RemotingCommand request) {
                if (signing != null) {
                    signing.doBeforeRequest(address, request);
                }
            }

            @Override
            public void doAfterResponse(String address, RemotingCommand request, RemotingCommand response) {
                if (response != null) {
                    answers.accept(response);
                }
            }
        };
    }
}
