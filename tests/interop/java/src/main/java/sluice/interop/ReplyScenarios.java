package sluice.interop;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.RequestTimeoutException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;

/** A producer that asks, and a consumer that answers. */
final class ReplyScenarios {
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private ReplyScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("request-reply", ReplyScenarios::answered),
                Scenario.of("request-without-reply", ReplyScenarios::unanswered));
    }

    private static void answered(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        DefaultMQProducer replier = lab.clients.producer(lab.group());
        DefaultMQPushConsumer consumer = lab.clients.newPushConsumer(lab.group());
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (var message : messages) {
                if (message.getUserProperty("CORRELATION_ID") == null && message.getProperty("CORRELATION_ID") == null) {
                    continue;
                }
                try {
                    String question = new String(message.getBody(), StandardCharsets.UTF_8);
                    replier.send(MessageUtil.createReplyMessage(message, ("re: " + question).getBytes(StandardCharsets.UTF_8)));
                } catch (Exception error) {
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        DefaultMQProducer requester = lab.clients.producer(lab.group());
        for (String question : List.of("one", "two", "three")) {
            Message reply = requester.request(new Message(topic, question.getBytes(StandardCharsets.UTF_8)), PATIENCE.toMillis());
            Check.equal("re: " + question, new String(reply.getBody(), StandardCharsets.UTF_8), "the reply");
        }
    }

    private static void unanswered(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        DefaultMQProducer requester = lab.clients.producer(lab.group());
        Check.refused(RequestTimeoutException.class, "a request that nobody answers",
                () -> requester.request(new Message(topic, new byte[] {1}), 1_000));
    }
}
