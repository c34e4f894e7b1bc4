package example;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;

/** Sends three orders and receives them, over TLS: {@code Orders NAME-SERVER CA-FILE}. */
public final class Orders {
    public static void main(String[] args) throws Exception {
        String nameServer = args[0];

        // The client reads its TLS settings once, as system properties, so they come first.
        System.setProperty("tls.enable", "true");
        System.setProperty("tls.test.mode.enable", "false"); // test mode trusts any certificate
        System.setProperty("tls.client.authServer", "true");
        System.setProperty("tls.client.trustCertPath", args[1]);

        DefaultMQProducer producer = new DefaultMQProducer("shop");
        producer.setNamesrvAddr(nameServer);
        producer.start();
        for (int number = 1; number <= 3; number++) {
            Message order = new Message("orders", "paid", "order-" + number, ("three teas, order " + number).getBytes(UTF_8));
            producer.send(order);
            System.out.println("sent     " + order.getKeys());
        }
        producer.shutdown();

        CountDownLatch expected = new CountDownLatch(3);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("billing");
        consumer.setNamesrvAddr(nameServer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe("orders", "paid || refunded");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (var message : messages) {
                System.out.println("received " + message.getKeys() + ": " + new String(message.getBody(), UTF_8));
                expected.countDown();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        boolean complete = expected.await(60, TimeUnit.SECONDS);
        consumer.shutdown();
        System.exit(complete ? 0 : 1);
    }
}
