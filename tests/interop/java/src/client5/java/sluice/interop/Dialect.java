package sluice.interop;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;

/** What the 5.x client spells differently from the 4.9 client. Its twin is in client4. */
final class Dialect {
    static final boolean HAS_TIMERS = true;
    static final boolean HAS_POP = true;

    private Dialect() {}

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static void deliverAfter(Message message, long millis) {
        message.setDelayTimeMs(millis);
    }

    static void deliverAfterSeconds(Message message, long seconds) {
        message.setDelayTimeSec(seconds);
    }

    static void deliverAt(Message message, long epochMillis) {
        message.setDeliverTimeMs(epochMillis);
    }

    /** This client does so by itself. */
    static void retryWhenBusy(DefaultMQProducer producer) {}

    /** Takes a delayed message back; gives its id. */
    static String recall(DefaultMQProducer producer, String topic, SendResult sent) throws Exception {
        return producer.recallMessage(topic, sent.getRecallHandle());
    }

    /** Which queues are whose is the broker's to say. */
    static void shareByBroker(DefaultMQPushConsumer consumer) {
        consumer.setClientRebalance(false);
    }

    /** As {@code updateSubGroup -r} and {@code setConsumeMode -m POP} do it. */
    static void pop(Lab lab, String topic, String group, int retries) throws Exception {
        MQClientAPIImpl api = lab.producer().getDefaultMQProducerImpl().getMqClientFactory().getMQClientAPIImpl();
        String broker = lab.producer().getDefaultMQProducerImpl().getMqClientFactory()
                .findBrokerAddressInPublish(lab.producer().fetchPublishMessageQueues(topic).get(0).getBrokerName());
        SubscriptionGroupConfig config = api.getSubscriptionGroupConfig(broker, group, 5_000);
        config.setRetryMaxTimes(retries);
        api.createSubscriptionGroup(broker, config, 5_000);
        api.setMessageRequestMode(broker, topic, group, MessageRequestMode.POP, 0, 5_000);
    }

    static String[] compressions() {
        return new String[] {"ZLIB", "LZ4", "ZSTD"};
    }

    static void compressWith(DefaultMQProducer producer, String name) {
        producer.setCompressType(CompressionType.valueOf(name));
    }
}
