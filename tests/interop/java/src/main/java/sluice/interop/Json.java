package sluice.interop;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages as JSON objects, one a line. README.md lists the members. */
final class Json {
    static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();

    private Json() {}

    /** The message that a send command describes. */
    static Message message(JsonObject command) {
        byte[] body = command.has("bodyBase64")
                ? Base64.getDecoder().decode(command.get("bodyBase64").getAsString())
                : text(command, "body", "").getBytes(StandardCharsets.UTF_8);
        Message message = new Message(text(command, "topic", null), body);
        if (command.has("tag")) {
            message.setTags(command.get("tag").getAsString());
        }
        if (command.has("keys")) {
            message.setKeys(command.get("keys").getAsString());
        }
        if (command.has("properties")) {
            command.getAsJsonObject("properties")
                    .entrySet()
                    .forEach(p -> message.putUserProperty(p.getKey(), p.getValue().getAsString()));
        }
        if (command.has("delayLevel")) {
            message.setDelayTimeLevel(command.get("delayLevel").getAsInt());
        }
        if (command.has("delayMs")) {
            Dialect.deliverAfter(message, command.get("delayMs").getAsLong());
        }
        return message;
    }

    static JsonObject of(SendResult result) {
        JsonObject json = new JsonObject();
        json.addProperty("status", result.getSendStatus().name());
        json.addProperty("msgId", result.getMsgId());
        json.addProperty("offsetMsgId", result.getOffsetMsgId());
        json.addProperty("queueId", result.getMessageQueue().getQueueId());
        json.addProperty("queueOffset", result.getQueueOffset());
        return json;
    }

    static JsonObject of(Inbox.Received received) {
        MessageExt message = received.message();
        byte[] body = message.getBody() == null ? new byte[0] : message.getBody();
        JsonObject json = new JsonObject();
        json.addProperty("topic", message.getTopic());
        json.addProperty("bodyBase64", Base64.getEncoder().encodeToString(body));
        json.addProperty("tag", message.getTags());
        json.addProperty("keys", message.getKeys());
        json.add("properties", GSON.toJsonTree(message.getProperties()));
        json.addProperty("bornTimestamp", message.getBornTimestamp());
        json.addProperty("bornHost", message.getBornHostString());
        json.addProperty("storeTimestamp", message.getStoreTimestamp());
        json.addProperty("receivedAt", received.at());
        json.addProperty("msgId", message.getMsgId());
        json.addProperty("offsetMsgId", Lab.offsetId(message));
        json.addProperty("queueId", message.getQueueId());
        json.addProperty("queueOffset", message.getQueueOffset());
        json.addProperty("reconsumeTimes", message.getReconsumeTimes());
        return json;
    }

    static String text(JsonObject object, String name, String fallback) {
        if (object.has(name) && !object.get(name).isJsonNull()) {
            return object.get(name).getAsString();
        }
        if (fallback == null) {
            throw new IllegalArgumentException("\"" + name + "\" is missing");
        }
        return fallback;
    }

    static long number(JsonObject object, String name, long fallback) {
        return object.has(name) ? object.get(name).getAsLong() : fallback;
    }
}
