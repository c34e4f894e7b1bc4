package sluice.interop;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;

/** What the 4.9 client spells differently from the 5.x client. Its twin is in client5. */
final class Dialect {
    /** The client has no method for it; the property that a 5.x broker reads can be set all the same. */
    static final boolean HAS_TIMERS = false;
    static final boolean HAS_POP = false;

    private Dialect() {}

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static void deliverAfter(Message message, long millis) {
        MessageAccessor.putProperty(message, "TIMER_DELAY_MS", Long.toString(millis));
    }

    static void deliverAfterSeconds(Message message, long seconds) {
        MessageAccessor.putProperty(message, "TIMER_DELAY_SEC", Long.toString(seconds));
    }

    static void deliverAt(Message message, long epochMillis) {
        MessageAccessor.putProperty(message, "TIMER_DELIVER_MS", Long.toString(epochMillis));
    }

    /** It tries again at other codes by itself, and at this one when it is told to. */
    static void retryWhenBusy(DefaultMQProducer producer) {
        producer.addRetryResponseCode(2);
    }

    static String recall(DefaultMQProducer producer, String topic, SendResult sent) {
        throw new UnsupportedOperationException("this client recalls nothing");
    }

    static void shareByBroker(DefaultMQPushConsumer consumer) {
        throw new UnsupportedOperationException("clients of 4.x share queues by themselves");
    }

    static void pop(Lab lab, String topic, String group, int retries) {
        throw new UnsupportedOperationException("clients of 4.x pull");
    }

    static String[] compressions() {
        return new String[] {"ZLIB"};
    }

    static void compressWith(DefaultMQProducer producer, String name) {
        // zlib is the only one
    }
}
