package sluice.interop;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/** What the 5.x client spells differently from the 4.9 client. Its twin is in client4. */
final class Dialect {
    static final boolean HAS_TIMERS = true;

    private Dialect() {}

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static void deliverAfter(Message message, long millis) {
        message.setDelayTimeMs(millis);
    }

    static void deliverAt(Message message, long epochMillis) {
        message.setDeliverTimeMs(epochMillis);
    }

    /** Takes a delayed message back; gives its id. */
    static String recall(DefaultMQProducer producer, String topic, SendResult sent) throws Exception {
        return producer.recallMessage(topic, sent.getRecallHandle());
    }

    static String[] compressions() {
        return new String[] {"ZLIB", "LZ4", "ZSTD"};
    }

    static void compressWith(DefaultMQProducer producer, String name) {
        producer.setCompressType(CompressionType.valueOf(name));
    }
}
