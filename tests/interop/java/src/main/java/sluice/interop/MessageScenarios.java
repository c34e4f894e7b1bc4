package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExt;

/** What a message carries comes back byte for byte, and its limits hold. */
final class MessageScenarios {
    /** Response code MESSAGE_ILLEGAL, also used by the client's own checks. */
    private static final int MESSAGE_ILLEGAL = 13;
    private static final int MAX_BODY = 4 * 1024 * 1024;

    private MessageScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("body-empty-refused", MessageScenarios::emptyBody),
                Scenario.of("body-binary", MessageScenarios::binaryBody),
                Scenario.of("body-utf8", MessageScenarios::utf8Body),
                Scenario.of("body-compressed", MessageScenarios::compressedBody),
                Scenario.of("body-4-mib", MessageScenarios::largestBody),
                Scenario.of("body-too-large", MessageScenarios::tooLargeBody),
                Scenario.of("properties", MessageScenarios::properties),
                Scenario.of("properties-too-large", MessageScenarios::tooManyProperties),
                Scenario.of("identity", MessageScenarios::identity),
                Scenario.of("view-message", MessageScenarios::view),
                Scenario.of("query-by-key", MessageScenarios::queryByKey)
                        .onlyIf(Settings::keyIndex, "KEY_INDEX=0: the broker finds no messages by key"));
    }

    private static void emptyBody(Lab lab) throws Exception {
        MQClientException refusal = Check.refused(MQClientException.class, "an empty body",
                () -> lab.producer().send(new Message(lab.topic(), new byte[0])));
        Check.equal(MESSAGE_ILLEGAL, refusal.getResponseCode(), "code of the client's own check");
    }

    private static void binaryBody(Lab lab) throws Exception {
        byte[] every = new byte[512];
        for (int i = 0; i < every.length; i++) {
            every[i] = (byte) i;
        }
        comesBack(lab, every);
        comesBack(lab, new byte[] {0});
        comesBack(lab, new byte[64]);
    }

    private static void utf8Body(Lab lab) throws Exception {
        comesBack(lab, "Grüße, 世界 🌍\r\n\t\u0000 end".getBytes(StandardCharsets.UTF_8));
    }

    private static void compressedBody(Lab lab) throws Exception {
        byte[] text = "compressible ".repeat(10_000).getBytes();
        for (String kind : Dialect.compressions()) {
            DefaultMQProducer producer = lab.clients.newProducer(lab.group());
            Dialect.compressWith(producer, kind);
            producer.start();
            MessageExt got = comesBack(lab, producer, text);
            int stored = got.getStoreSize();
            Check.that(stored < text.length / 2, "%s: stored with %d bytes, so not compressed", kind, stored);
        }
        comesBack(lab, random(100_000));
    }

    private static void largestBody(Lab lab) throws Exception {
        DefaultMQProducer producer = lab.clients.newProducer(lab.group());
        // Compressed random bytes would be longer than the limit.
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        comesBack(lab, producer, random(MAX_BODY));
    }

    private static void tooLargeBody(Lab lab) throws Exception {
        byte[] body = random(MAX_BODY + 1);
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        MQClientException own = Check.refused(MQClientException.class, "a body over the client's limit",
                () -> lab.producer().send(new Message(topic, body)));
        Check.equal(MESSAGE_ILLEGAL, own.getResponseCode(), "code of the client's own check");

        DefaultMQProducer producer = lab.clients.newProducer(lab.group());
        producer.setMaxMessageSize(2 * MAX_BODY);
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.start();
        MQBrokerException refusal = Check.refused(MQBrokerException.class, "a body over the broker's limit",
                () -> producer.send(new Message(topic, body)));
        Check.equal(MESSAGE_ILLEGAL, refusal.getResponseCode(), "response code of " + refusal.getMessage());
        Check.equal(SendStatus.SEND_OK, producer.send(Lab.message(topic, "next")).getSendStatus(), "the send after it");
    }

    private static MessageExt comesBack(Lab lab, byte[] body) throws Exception {
        return comesBack(lab, lab.producer(), body);
    }

    private static MessageExt comesBack(Lab lab, DefaultMQProducer producer, byte[] body) throws Exception {
        String topic = lab.topic();
        // The client compresses in place, so it gets an array of its own.
        producer.send(new Message(topic, null, "k", body.clone()));
        MessageExt got = lab.consume(topic).awaitKey("k", SOON).message();
        Check.that(Arrays.equals(body, got.getBody()), "a body of %d bytes came back as other %d bytes",
                body.length, got.getBody().length);
        return got;
    }

    private static byte[] random(int length) {
        byte[] bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        return bytes;
    }

    private static void properties(Lab lab) throws Exception {
        String topic = lab.topic();
        Map<String, String> mine = Map.of(
                "plain", "value",
                "Ключ", "значение",
                "emoji", "🌍🚀",
                "punctuation", "a=b;c:d,e\"f'g\\h/i%20",
                "line", "one\ntwo\r\n\tthree",
                "long", "x".repeat(8_000));
        Message message = Lab.message(topic, "k1 k2 k3", "body".getBytes(), mine);
        message.setTags("the-tag");
        message.setFlag(0x7A11);
        message.setBuyerId("buyer");
        message.setWaitStoreMsgOK(true);
        MessageAccessor.putProperty(message, "__SHARDINGKEY", "shard-7");
        lab.send(message);
        MessageExt got = lab.consume(topic).await(1, SOON).get(0).message();
        mine.forEach((name, value) -> Check.equal(value, got.getUserProperty(name), "property " + name));
        Check.equal("k1 k2 k3", got.getKeys(), "keys");
        Check.equal("the-tag", got.getTags(), "tag");
        Check.equal(0x7A11, got.getFlag(), "flag");
        Check.equal("buyer", got.getBuyerId(), "buyer");
        Check.equal("shard-7", got.getProperty("__SHARDINGKEY"), "sharding key");
        Check.that(got.getProperty("CLUSTER") != null, "the broker must add the property CLUSTER");
    }

    private static void tooManyProperties(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        Message message = Lab.message(topic, "k", "body".getBytes(), Map.of("large", "x".repeat(33_000)));
        MQBrokerException refusal = Check.refused(MQBrokerException.class, "33,000 bytes of properties", () -> lab.send(message));
        Check.equal(MESSAGE_ILLEGAL, refusal.getResponseCode(), "response code of " + refusal.getMessage());
    }

    private static void identity(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        long before = System.currentTimeMillis();
        SendResult sent = lab.send(Lab.message(topic, "k"));
        long after = System.currentTimeMillis();
        MessageExt got = lab.consume(topic).awaitKey("k", SOON).message();

        Check.equal(sent.getMsgId(), got.getMsgId(), "message id");
        Check.equal(sent.getOffsetMsgId(), Lab.offsetId(got), "offset id");
        Check.that(sent.getOffsetMsgId().matches("[0-9A-F]{32}"), "offset id %s is not 32 hex digits", sent.getOffsetMsgId());
        Check.equal(sent.getQueueOffset(), got.getQueueOffset(), "queue offset");
        Check.equal(sent.getMessageQueue().getQueueId(), got.getQueueId(), "queue");
        Check.equal(sent.getMessageQueue().getBrokerName(), got.getBrokerName(), "broker name");
        Check.equal(topic, got.getTopic(), "topic");
        Check.that(got.getBornTimestamp() >= before && got.getBornTimestamp() <= after, "born timestamp is not of the send");
        Check.that(got.getStoreTimestamp() >= before && got.getStoreTimestamp() <= after, "store timestamp is not of the send");
        Check.equal("127.0.0.1", got.getBornHostString(), "born host");
        Check.that(((InetSocketAddress) got.getBornHost()).getPort() > 0, "the born host has no port");
        Check.that(((InetSocketAddress) got.getStoreHost()).getPort() > 0, "the store host has no port");
        Check.equal(0, got.getReconsumeTimes(), "reconsume times");
        Check.equal("DefaultRegion", sent.getRegionId(), "region");
        Check.that(Long.parseLong(got.getProperty("MAX_OFFSET")) > got.getQueueOffset(), "MAX_OFFSET is not above the message");
        Check.equal("0", got.getProperty("MIN_OFFSET"), "MIN_OFFSET");
    }

    private static void view(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        SendResult sent = lab.send(Lab.message(topic, "k", "the body".getBytes(), Map.of("colour", "grün")));
        MessageExt got = lab.producer().viewMessage(topic, sent.getOffsetMsgId());
        Check.equal("the body", new String(got.getBody()), "body");
        Check.equal("k", got.getKeys(), "keys");
        Check.equal("grün", got.getUserProperty("colour"), "property");
        Check.equal(topic, got.getTopic(), "topic");
        Check.equal(sent.getMsgId(), got.getMsgId(), "message id");
        Check.equal(sent.getQueueOffset(), got.getQueueOffset(), "queue offset");
    }

    private static void queryByKey(Lab lab) throws Exception {
        String topic = lab.topic();
        long begin = System.currentTimeMillis() - 60_000;
        lab.send(Lab.message(topic, "red green"));
        lab.send(Lab.message(topic, "green"));
        // The stock broker builds its index behind the send.
        Check.until(SOON, "two messages of key green", () -> found(lab, topic, "green", begin) == 2);
        Check.equal(1, found(lab, topic, "red", begin), "messages of key red");
        Check.equal(0, found(lab, topic, "blue", begin), "messages of key blue");
    }

    private static int found(Lab lab, String topic, String key, long begin) throws InterruptedException {
        try {
            return lab.producer().queryMessage(topic, key, 32, begin, begin + 600_000).getMessageList().size();
        } catch (MQClientException none) {
            return 0;
        }
    }
}
