package example;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.spring.core.RocketMQLocalRequestCallback;
import org.apache.rocketmq.spring.core.RocketMQLocalTransactionState;
import org.apache.rocketmq.spring.core.RocketMQTemplate;
import org.apache.rocketmq.spring.support.RocketMQHeaders;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.messaging.Message;
import org.springframework.messaging.support.MessageBuilder;

/** Sends in every way that the template has, and waits until the listeners have got all of it. */
@SpringBootApplication
public class Shop {
    /** The client that starter 2.3.4 brings says at once that its time for waiting is over, whatever the broker. */
    private static final String GIVES_UP = "V5_3_2";

    /**
     * Who answers may begin half a minute late: a listener that has just begun drops the heartbeat that says so, if another
     * one is under way, and the client sends the next after 30 s.
     */
    private static final long PATIENCE_MS = 60_000;

    public static void main(String[] arguments) {
        int code = 0;
        try (ConfigurableApplicationContext context = SpringApplication.run(Shop.class, arguments)) {
            new Shop().run(context.getBean(RocketMQTemplate.class), context.getBean(Seen.class));
        } catch (Exception e) {
            e.printStackTrace();
            code = 1;
        }
        // The client leaves threads behind that keep the process alive.
        System.exit(code);
    }

    private void run(RocketMQTemplate template, Seen seen) throws Exception {
        sendOrders(template);
        sendSteps(template);
        pay(template, seen);
        ask(template);
        if (!MQVersion.getVersionDesc(MQVersion.CURRENT_VERSION).equals(GIVES_UP)) {
            askAndWait(template);
        }
        seen.await("kitchen", 4);
        seen.await("archive", 10);
        seen.await("big", 1);
        seen.await("ledger", 6);
        // Who listens to broadcasts gets what comes after it has found the topic's queues, as all the others have by now.
        template.convertAndSend("news", "open at nine");
        seen.await("screen", 1);
        delay(template, seen);
    }

    /** At once, in the background, without an answer, and several together. The tag stands behind the colon. */
    private void sendOrders(RocketMQTemplate template) throws Exception {
        SendResult sent = template.syncSend("orders:paid", new Order(1, "tea", 3));
        check(sent.getSendStatus() == SendStatus.SEND_OK, sent);

        CompletableFuture<SendResult> later = new CompletableFuture<>();
        template.asyncSend("orders:open", new Order(2, "broken cup", 1), new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                later.complete(result);
            }

            @Override
            public void onException(Throwable error) {
                later.completeExceptionally(error);
            }
        });
        check(later.get(10, TimeUnit.SECONDS).getSendStatus() == SendStatus.SEND_OK, later);

        template.sendOneWay("orders:gift", new Order(3, "flowers", 1));
        template.syncSend("orders:paid", MessageBuilder.withPayload(new Order(4, "rice", 12))
                .setHeader(RocketMQHeaders.KEYS, "order-4").setHeader("amount", 12).build());
        List<Message<Order>> batch = IntStream.range(5, 10)
                .mapToObj(n -> MessageBuilder.withPayload(new Order(n, "napkin", n)).build())
                .toList();
        check(template.syncSend("orders", batch).getSendStatus() == SendStatus.SEND_OK, "batch");
        template.send("orders:gift", MessageBuilder.withPayload(new Order(10, "card", 1)).build());
    }

    /** What has the same hash key stays in order. */
    private void sendSteps(RocketMQTemplate template) {
        for (int i = 1; i <= 3; i++) {
            template.syncSendOrderly("steps", "red " + i, "red");
            template.syncSendOrderly("steps", "blue " + i, "blue");
        }
    }

    /** A message that exists when the local transaction is committed; the third outcome is asked for. */
    private void pay(RocketMQTemplate template, Seen seen) throws InterruptedException {
        for (RocketMQLocalTransactionState state : RocketMQLocalTransactionState.values()) {
            template.sendMessageInTransaction("payments", MessageBuilder.withPayload("paid " + state).build(), state);
        }
        seen.await("bank", 2);
    }

    /** A question and its answer, which is waited for here. */
    private void askAndWait(RocketMQTemplate template) {
        for (String item : List.of("soap", "milk")) {
            Order price = template.sendAndReceive("prices", item, Order.class, PATIENCE_MS);
            System.out.println("waited for the price of " + item + ": " + price.amount());
        }
    }

    /** The same, told when it comes. */
    private void ask(RocketMQTemplate template) throws Exception {
        for (String item : List.of("tea", "flowers")) {
            CompletableFuture<Order> answer = new CompletableFuture<>();
            template.sendAndReceive("prices", item, new RocketMQLocalRequestCallback<Order>() {
                @Override
                public void onSuccess(Order price) {
                    answer.complete(price);
                }

                @Override
                public void onException(Throwable error) {
                    answer.completeExceptionally(error);
                }
            }, PATIENCE_MS);
            System.out.println("the price of " + item + " is " + answer.get(2 * PATIENCE_MS, TimeUnit.MILLISECONDS).amount());
        }
    }

    /** Delay level 2 is five seconds. */
    private void delay(RocketMQTemplate template, Seen seen) throws InterruptedException {
        long start = System.nanoTime();
        template.syncSend("news", MessageBuilder.withPayload("closed at five").build(), 10_000, 2);
        seen.await("screen", 2);
        long seconds = TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - start);
        check(seconds >= 5, "the delayed message came after " + seconds + " s");
    }

    private static void check(boolean holds, Object what) {
        if (!holds) {
            throw new IllegalStateException(String.valueOf(what));
        }
    }
}
