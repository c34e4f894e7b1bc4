package example;

import java.nio.charset.StandardCharsets;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.spring.annotation.ConsumeMode;
import org.apache.rocketmq.spring.annotation.MessageModel;
import org.apache.rocketmq.spring.annotation.RocketMQMessageListener;
import org.apache.rocketmq.spring.annotation.SelectorType;
import org.apache.rocketmq.spring.core.RocketMQListener;
import org.apache.rocketmq.spring.core.RocketMQReplyListener;
import org.springframework.stereotype.Component;

/** Every way of listening. Each is a consumer group of its own, so several may listen to one topic. */
class Listeners {
    private Listeners() {}

    /** Concurrently, by tag, with the body read from JSON. */
    @Component
    @RocketMQMessageListener(topic = "orders", consumerGroup = "kitchen", selectorExpression = "paid || gift")
    static class Kitchen implements RocketMQListener<Order> {
        private final Seen seen;

        Kitchen(Seen seen) {
            this.seen = seen;
        }

        @Override
        public void onMessage(Order order) {
            seen.add("kitchen", order);
        }
    }

    /** The same topic again: all of it, and the message as the client has it. The first try of "broken" fails. */
    @Component
    @RocketMQMessageListener(topic = "orders", consumerGroup = "archive", delayLevelWhenNextConsume = 1)
    static class Archive implements RocketMQListener<MessageExt> {
        private final Seen seen;

        Archive(Seen seen) {
            this.seen = seen;
        }

        @Override
        public void onMessage(MessageExt message) {
            String body = new String(message.getBody(), StandardCharsets.UTF_8);
            if (body.contains("broken") && message.getReconsumeTimes() == 0) {
                throw new IllegalStateException("comes again");
            }
            seen.add("archive", message.getTags() + " " + body);
        }
    }

    /** By a condition on properties. */
    @Component
    @RocketMQMessageListener(topic = "orders", consumerGroup = "big", selectorType = SelectorType.SQL92,
            selectorExpression = "amount > 9")
    static class BigOrders implements RocketMQListener<Order> {
        private final Seen seen;

        BigOrders(Seen seen) {
            this.seen = seen;
        }

        @Override
        public void onMessage(Order order) {
            seen.add("big", order.item());
        }
    }

    /** In order: one message of a queue at a time. */
    @Component
    @RocketMQMessageListener(topic = "steps", consumerGroup = "ledger", consumeMode = ConsumeMode.ORDERLY)
    static class Ledger implements RocketMQListener<String> {
        private final Seen seen;

        Ledger(Seen seen) {
            this.seen = seen;
        }

        @Override
        public void onMessage(String step) {
            seen.add("ledger", step);
        }
    }

    /** Every instance gets every message. */
    @Component
    @RocketMQMessageListener(topic = "news", consumerGroup = "screens", messageModel = MessageModel.BROADCASTING)
    static class Screen implements RocketMQListener<String> {
        private final Seen seen;

        Screen(Seen seen) {
            this.seen = seen;
        }

        @Override
        public void onMessage(String news) {
            seen.add("screen", news);
        }
    }

    /** Answers whoever asks. */
    @Component
    @RocketMQMessageListener(topic = "prices", consumerGroup = "desk")
    static class PriceDesk implements RocketMQReplyListener<String, Order> {
        @Override
        public Order onMessage(String item) {
            return new Order(0, item, item.length());
        }
    }

    /** What was paid for, in a transaction. */
    @Component
    @RocketMQMessageListener(topic = "payments", consumerGroup = "bank")
    static class Bank implements RocketMQListener<String> {
        private final Seen seen;

        Bank(Seen seen) {
            this.seen = seen;
        }

        @Override
        public void onMessage(String payment) {
            seen.add("bank", payment);
        }
    }
}
