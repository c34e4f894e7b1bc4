package sluice.interop;

import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExt;

/** Topics whose attribute says which kind of message they take, made as the tools do it: every other kind is refused. */
final class KindScenarios {
    private static final int SYSTEM_ERROR = 1;

    private enum Kind {
        NORMAL,
        FIFO,
        DELAY,
        TRANSACTION
    }

    private KindScenarios() {}

    static List<Scenario> all() {
        return List.of(Scenario.of("topics-of-one-kind", KindScenarios::oneKind));
    }

    private static void oneKind(Lab lab) throws Exception {
        TransactionMQProducer producer = lab.clients.transactionProducer(lab.group(), new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }
        });
        for (Kind topicKind : Kind.values()) {
            String topic = lab.topic();
            create(lab, topic, Map.of("+message.type", topicKind.name()));
            Set<Kind> taken = EnumSet.noneOf(Kind.class);
            for (Kind kind : Kind.values()) {
                if (isTaken(producer, topic, kind)) {
                    taken.add(kind);
                }
            }
            Check.equal(Set.of(topicKind), taken, "what a topic of " + topicKind + " takes");
            Inbox inbox = lab.consume(topic);
            inbox.awaitKey(topicKind.name(), Lab.SOON);
            Check.equal(List.of(topicKind.name()), inbox.keys(), "what is in a topic of " + topicKind);
        }
    }

    private static boolean isTaken(TransactionMQProducer producer, String topic, Kind kind) throws Exception {
        Message message = Lab.message(topic, kind.name());
        try {
            SendStatus status = switch (kind) {
                case NORMAL -> producer.send(message).getSendStatus();
                case FIFO -> {
                    MessageAccessor.putProperty(message, "__SHARDINGKEY", "shard");
                    yield producer.send(message, (queues, m, n) -> queues.get(0), 0).getSendStatus();
                }
                case DELAY -> {
                    message.setDelayTimeMs(100);
                    yield producer.send(message).getSendStatus();
                }
                case TRANSACTION -> producer.sendMessageInTransaction(message, null).getSendStatus();
            };
            Check.equal(SendStatus.SEND_OK, status, "send status");
            return true;
        } catch (Exception e) {
            Throwable cause = e;
            while (cause != null && !(cause instanceof MQBrokerException)) {
                cause = cause.getCause();
            }
            if (!(cause instanceof MQBrokerException refusal)) {
                throw e;
            }
            Check.equal(SYSTEM_ERROR, refusal.getResponseCode(), "code of " + refusal.getMessage());
            return false;
        }
    }

    private static void create(Lab lab, String topic, Map<String, String> attributes) throws Exception {
        String other = lab.topic();
        lab.send(Lab.message(other, "where is the broker"));
        MQClientInstance client = lab.producer().getDefaultMQProducerImpl().getMqClientFactory();
        String name = lab.producer().fetchPublishMessageQueues(other).get(0).getBrokerName();
        TopicConfig config = new TopicConfig(topic, 1, 1, 6);
        config.setAttributes(attributes);
        client.getMQClientAPIImpl().createTopic(client.findBrokerAddressInPublish(name), "TBW102", config, 10_000);
    }
}
