package sluice.interop;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** One process for many steps of a test in another language: a JSON command a line in, a JSON answer a line out. */
final class Serve {
    private record Broker(String nameServer, Settings.Credentials credentials, boolean tls) {}

    private record Sender(Broker broker, boolean compress) {}

    private final Settings settings;
    private final Map<Broker, Clients> clients = new HashMap<>();
    private final Map<Sender, DefaultMQProducer> producers = new HashMap<>();
    private final Map<String, Takeaway> consumers = new HashMap<>();

    Serve(Settings settings) {
        this.settings = settings;
    }

    /** Ends with the input, or with the command {@code quit}. */
    int run(InputStream input, PrintStream output) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(input, StandardCharsets.UTF_8));
        PrintStream answers = new PrintStream(output, true, StandardCharsets.UTF_8);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.isBlank()) {
                continue;
            }
            JsonObject answer = answer(line);
            answers.println(Json.GSON.toJson(answer));
            if (answer.has("bye")) {
                break;
            }
        }
        consumers.values().forEach(Takeaway::close);
        clients.values().forEach(Clients::close);
        return 0;
    }

    private JsonObject answer(String line) {
        JsonObject answer = new JsonObject();
        try {
            JsonObject command = JsonParser.parseString(line).getAsJsonObject();
            answer.add("id", command.get("id"));
            JsonObject result = carryOut(command);
            answer.addProperty("ok", true);
            result.entrySet().forEach(e -> answer.add(e.getKey(), e.getValue()));
        } catch (Exception e) {
            answer.addProperty("ok", false);
            answer.addProperty("error", String.valueOf(e.getMessage()));
            if (e instanceof MQBrokerException broker) {
                answer.addProperty("code", broker.getResponseCode());
            } else if (e instanceof MQClientException client) {
                answer.addProperty("code", client.getResponseCode());
            }
        }
        return answer;
    }

    private JsonObject carryOut(JsonObject command) throws Exception {
        String op = Json.text(command, "op", null);
        return switch (op) {
            case "hello" -> hello();
            case "send" -> send(command);
            case "subscribe" -> subscribe(command);
            case "take" -> take(command);
            case "close" -> close(command);
            case "receive" -> receive(command);
            case "quit" -> member("bye", true);
            default -> throw new IllegalArgumentException("unknown op " + op);
        };
    }

    private JsonObject hello() {
        JsonObject result = member("tls", settings.tls());
        result.addProperty("client", DefaultMQProducer.class.getPackage().getImplementationVersion());
        return result;
    }

    private JsonObject send(JsonObject command) throws Exception {
        Message message = Json.message(command);
        DefaultMQProducer producer = producer(command);
        if (!command.has("queueId")) {
            return Json.of(producer.send(message));
        }
        int id = command.get("queueId").getAsInt();
        for (MessageQueue queue : producer.fetchPublishMessageQueues(message.getTopic())) {
            if (queue.getQueueId() == id) {
                return Json.of(producer.send(message, queue));
            }
        }
        throw new IllegalArgumentException(message.getTopic() + " has no queue " + id);
    }

    private JsonObject subscribe(JsonObject command) throws Exception {
        String name = Json.text(command, "consumer", null);
        if (consumers.containsKey(name)) {
            throw new IllegalArgumentException("consumer " + name + " is open");
        }
        consumers.put(name, open(command));
        return new JsonObject();
    }

    private JsonObject take(JsonObject command) throws Exception {
        return messages(consumer(command), command);
    }

    private JsonObject close(JsonObject command) {
        consumer(command).close();
        consumers.remove(Json.text(command, "consumer", null));
        return new JsonObject();
    }

    private JsonObject receive(JsonObject command) throws Exception {
        Takeaway takeaway = open(command);
        try {
            return messages(takeaway, command);
        } finally {
            takeaway.close();
        }
    }

    private Takeaway open(JsonObject command) throws Exception {
        DefaultMQPushConsumer consumer = clients(command).newPushConsumer(Json.text(command, "group", null));
        consumer.setUseTLS(broker(command).tls());
        consumer.subscribe(Json.text(command, "topic", null), Json.text(command, "tag", "*"));
        Takeaway takeaway = new Takeaway(consumer);
        takeaway.start();
        return takeaway;
    }

    private static JsonObject messages(Takeaway takeaway, JsonObject command) throws InterruptedException {
        int count = (int) Json.number(command, "count", 1);
        Duration limit = Duration.ofMillis(Json.number(command, "timeoutMs", 20_000));
        List<JsonObject> got = new ArrayList<>();
        takeaway.take(count, limit).forEach(received -> got.add(Json.of(received)));
        JsonArray array = new JsonArray();
        got.forEach(array::add);
        JsonObject result = new JsonObject();
        result.add("messages", array);
        return result;
    }

    private Takeaway consumer(JsonObject command) {
        String name = Json.text(command, "consumer", null);
        Takeaway takeaway = consumers.get(name);
        if (takeaway == null) {
            throw new IllegalArgumentException("no consumer " + name);
        }
        return takeaway;
    }

    private DefaultMQProducer producer(JsonObject command) throws Exception {
        boolean compress = !command.has("compress") || command.get("compress").getAsBoolean();
        Sender sender = new Sender(broker(command), compress);
        DefaultMQProducer producer = producers.get(sender);
        if (producer == null) {
            producer = clients(command).newProducer("interop-serve");
            producer.setUseTLS(sender.broker().tls());
            if (!compress) {
                producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
            }
            producer.start();
            producers.put(sender, producer);
        }
        return producer;
    }

    private Clients clients(JsonObject command) {
        return clients.computeIfAbsent(broker(command), b -> new Clients(b.nameServer(), b.credentials()));
    }

    private Broker broker(JsonObject command) {
        Settings.Credentials credentials = command.has("user")
                ? Settings.Credentials.of(Json.text(command, "user", ""), Json.text(command, "secret", ""))
                : settings.user();
        boolean tls = command.has("tls") ? command.get("tls").getAsBoolean() : settings.tls();
        return new Broker(Json.text(command, "namesrv", settings.nameServer()), credentials, tls);
    }

    private static JsonObject member(String name, boolean value) {
        JsonObject object = new JsonObject();
        object.addProperty(name, value);
        return object;
    }
}
