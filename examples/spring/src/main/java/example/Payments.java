package example;

import java.nio.charset.StandardCharsets;
import org.apache.rocketmq.spring.annotation.RocketMQTransactionListener;
import org.apache.rocketmq.spring.core.RocketMQLocalTransactionListener;
import org.apache.rocketmq.spring.core.RocketMQLocalTransactionState;
import org.springframework.messaging.Message;

/** The local half of a transaction: its outcome decides whether the message exists. */
@RocketMQTransactionListener
class Payments implements RocketMQLocalTransactionListener {
    @Override
    public RocketMQLocalTransactionState executeLocalTransaction(Message message, Object argument) {
        return (RocketMQLocalTransactionState) argument;
    }

    /** The broker asks this when it was not told, after six seconds for the first time. */
    @Override
    public RocketMQLocalTransactionState checkLocalTransaction(Message message) {
        System.out.println("asked about " + new String((byte[]) message.getPayload(), StandardCharsets.UTF_8));
        return RocketMQLocalTransactionState.COMMIT;
    }
}
