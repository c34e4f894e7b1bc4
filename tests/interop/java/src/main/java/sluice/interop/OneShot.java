package sluice.interop;

import com.google.gson.JsonObject;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.message.MessageExt;

/** The commands that do one thing and end. */
final class OneShot {
    private OneShot() {}

    static int send(Settings settings, Options options) throws Exception {
        JsonObject command = new JsonObject();
        command.addProperty("topic", options.need("topic"));
        byte[] body = options.values().containsKey("body-file")
                ? Files.readAllBytes(Path.of(options.need("body-file")))
                : options.need("body").getBytes(StandardCharsets.UTF_8);
        command.addProperty("bodyBase64", Base64.getEncoder().encodeToString(body));
        for (String name : List.of("tag", "keys")) {
            if (options.values().containsKey(name)) {
                command.addProperty(name, options.need(name));
            }
        }
        if (options.values().containsKey("delay-ms")) {
            command.addProperty("delayMs", options.number("delay-ms", 0));
        }
        JsonObject properties = new JsonObject();
        for (String pair : options.all("prop")) {
            String[] parts = pair.split("=", 2);
            properties.addProperty(parts[0], parts[1]);
        }
        command.add("properties", properties);
        try (Clients clients = new Clients(settings.nameServer(), settings.user())) {
            System.out.println(Json.of(clients.producer("interop-send").send(Json.message(command))));
            return 0;
        } catch (Exception e) {
            System.err.println(e.getMessage());
            return 1;
        }
    }

    static int receive(Settings settings, Options options) throws Exception {
        int count = (int) options.number("count", 1);
        try (Clients clients = new Clients(settings.nameServer(), settings.user())) {
            DefaultMQPushConsumer consumer = clients.newPushConsumer(options.need("group"));
            consumer.subscribe(options.need("topic"), options.get("tag", "*"));
            Takeaway takeaway = new Takeaway(consumer);
            takeaway.start();
            List<Inbox.Received> got = takeaway.take(count, Duration.ofSeconds(options.number("timeout", 30)));
            takeaway.close();
            got.forEach(received -> System.out.println(Json.of(received)));
            return got.size() == count ? 0 : 1;
        }
    }

    /** Consumes until it is killed, in order if that is wanted, and prints the keys. */
    static int hold(Settings settings, Options options) throws Exception {
        Clients clients = new Clients(settings.nameServer(), settings.user());
        DefaultMQPushConsumer consumer = clients.newPushConsumer(options.need("group"));
        consumer.subscribe(options.need("topic"), "*");
        if (options.values().containsKey("in-order")) {
            consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
                print(messages);
                return ConsumeOrderlyStatus.SUCCESS;
            });
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                print(messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        }
        consumer.start();
        Thread.sleep(settings.total().toMillis());
        return 1;
    }

    private static void print(List<MessageExt> messages) {
        messages.forEach(m -> System.out.println(m.getKeys()));
        System.out.flush();
    }
}
