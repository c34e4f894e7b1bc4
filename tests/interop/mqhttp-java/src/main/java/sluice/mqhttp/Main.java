package sluice.mqhttp;

import static sluice.mqhttp.Runner.expect;
import static sluice.mqhttp.Runner.unique;

import com.aliyun.mq.http.MQClient;
import com.aliyun.mq.http.MQConsumer;
import com.aliyun.mq.http.MQTransProducer;
import com.aliyun.mq.http.common.AckMessageException;
import com.aliyun.mq.http.common.ServiceException;
import com.aliyun.mq.http.model.Message;
import com.aliyun.mq.http.model.TopicMessage;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;

/** The stock SDK of the cloud's HTTP protocol, Maven com.aliyun.mq:mq-http-sdk, against a broker. */
final class Main {
    private static final boolean HAS_TLS = "1".equals(System.getenv("TLS"));
    private static final String HOST = (HAS_TLS ? "https://" : "http://") + System.getenv("HTTP_ADDR");
    private static final String USER = env("ACL_USER", "anyone");
    private static final String SECRET = env("ACL_SECRET", "anything");
    private static final boolean HAS_USERS = System.getenv("ACL_USER") != null;
    /** The broker's http.mq.invisible_time and http.mq.order_invisible_time. */
    private static final long LEASE_MILLIS = 1000L * Long.parseLong(env("MQ_LEASE_SECONDS", "300"));
    private static final MQClient CLIENT = new MQClient(HOST, USER, SECRET);

    private Main() {}

    public static void main(String[] args) throws Exception {
        Runner runner = new Runner();
        runner.add("transactions", Main::transactions);
        runner.add("everything-comes-back", Main::everythingComesBack);
        runner.add("tags-select", Main::tagsSelect);
        runner.add("redelivered-after-the-lease", Main::redeliveredAfterTheLease);
        runner.add("delayed", Main::delayed);
        runner.add("ordered", Main::ordered);
        runner.add("instances", Main::instances);
        runner.add("error-names", Main::errorNames);
        if (HAS_USERS) {
            runner.add("who-is-let-in", Main::whoIsLetIn);
        }
        runner.runAll(args);
    }

    private static String env(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    private static TopicMessage publish(String instance, String topic, String body, String tag, Consumer<TopicMessage> fill) {
        TopicMessage message = new TopicMessage(body.getBytes(StandardCharsets.UTF_8), tag);
        fill.accept(message);
        return CLIENT.getProducer(instance, topic).publishMessage(message);
    }

    private static TopicMessage publish(String topic, String body) {
        return publish("", topic, body, null, message -> {});
    }

    private static MQConsumer consumer(String topic, String group) {
        return CLIENT.getConsumer("", topic, group, null);
    }

    private static ServiceException fails(String code, Runner.Body call) throws Exception {
        try {
            call.run();
        } catch (ServiceException error) {
            expect("the error", error.getErrorCode(), code);
            return error;
        }
        throw new AssertionError("no " + code);
    }

    /** The SDK makes nothing at all of the error MessageNotExist. */
    private static void none(MQConsumer consumer) {
        expect("messages", String.valueOf(consumer.consumeMessage(1, 1)), "null");
    }

    private static Message one(MQConsumer consumer, int wait) {
        List<Message> got = consumer.consumeMessage(1, wait);
        expect("messages", got == null ? 0 : got.size(), 1);
        return got.get(0);
    }

    private static List<String> bodies(List<Message> messages) {
        return messages.stream().map(Message::getMessageBodyString).toList();
    }

    private static List<String> handles(List<Message> messages) {
        return messages.stream().map(Message::getReceiptHandle).toList();
    }

    private static void everythingComesBack() {
        String topic = unique("topic");
        String body = "grün € \uD83D\uDE00 <tag a=\"1\">&amp;</tag>\n\ttab ]]> end ";
        TopicMessage sent = publish("", topic, body, "TagA", message -> {
            message.setMessageKey("order-17");
            message.getProperties().put("colour", "red");
        });
        MQConsumer consumer = consumer(topic, unique("GID"));
        Message got = one(consumer, 10);
        expect("body", got.getMessageBodyString(), body);
        expect("id", got.getMessageId(), sent.getMessageId());
        expect("digest", got.getMessageBodyMD5(), sent.getMessageBodyMD5());
        expect("tag", got.getMessageTag(), "TagA");
        expect("key", got.getMessageKey(), "order-17");
        expect("property", got.getProperties().get("colour"), "red");
        expect("times", got.getConsumedTimes(), 1);
        long lease = got.getNextConsumeTime() - System.currentTimeMillis();
        expect("the lease", Math.abs(lease - LEASE_MILLIS) < 30_000, true);
        consumer.ackMessage(List.of(got.getReceiptHandle()));
        none(consumer);
    }

    private static void tagsSelect() {
        String topic = unique("topic");
        for (String tag : List.of("A", "B", "C")) {
            publish("", topic, "of " + tag, tag, message -> {});
        }
        MQConsumer consumer = CLIENT.getConsumer("", topic, unique("GID"), "A||C");
        List<String> got = new ArrayList<>();
        while (got.size() < 2) {
            List<Message> messages = consumer.consumeMessage(16, 10);
            got.addAll(bodies(messages));
            consumer.ackMessage(handles(messages));
        }
        expect("bodies", Set.copyOf(got), Set.of("of A", "of C"));
        none(consumer);
    }

    private static void redeliveredAfterTheLease() throws Exception {
        String topic = unique("topic");
        publish(topic, "again");
        MQConsumer consumer = consumer(topic, unique("GID"));
        Message first = one(consumer, 5);
        Message second = one(consumer, 30);
        expect("not too early", System.currentTimeMillis() >= first.getNextConsumeTime() - 50, true);
        expect("times", second.getConsumedTimes(), 2);
        expect("first", second.getFirstConsumeTime(), first.getFirstConsumeTime());
        try {
            consumer.ackMessage(handles(List.of(first, second)));
            throw new AssertionError("the old handle was taken");
        } catch (AckMessageException error) {
            expect("bad handles", error.getErrorMessages().keySet(), Set.of(first.getReceiptHandle()));
            String code = error.getErrorMessages().get(first.getReceiptHandle()).getErrorCode();
            expect("the error", code, "ReceiptHandleError");
        }
        none(consumer);
    }

    private static void delayed() {
        String topic = unique("topic");
        long at = System.currentTimeMillis() + 2000;
        publish("", topic, "later", null, message -> message.setStartDeliverTime(at));
        Message got = one(consumer(topic, unique("GID")), 30);
        expect("not too early", System.currentTimeMillis() >= at, true);
        expect("body", got.getMessageBodyString(), "later");
        expect("time", got.getStartDeliverTime(), at);
    }

    private static void ordered() {
        String topic = unique("topic");
        String group = unique("GID");
        for (int n = 0; n < 4; n++) {
            publish("", topic, "a" + n, null, message -> message.setShardingKey("a"));
        }
        MQConsumer consumer = consumer(topic, group);
        List<Message> first = consumer.consumeMessageOrderly(3, 5);
        expect("a run, in order", bodies(first), List.of("a0", "a1", "a2"));
        expect("sharding key", first.get(0).getShardingKey(), "a");
        consumer.ackMessage(List.of(first.get(0).getReceiptHandle()));
        List<Message> again = consumer.consumeMessageOrderly(16, 30);
        expect("after the lease", System.currentTimeMillis() >= first.get(1).getNextConsumeTime() - 50, true);
        expect("in order", bodies(again), List.of("a1", "a2", "a3"));
        consumer.ackMessage(handles(again));
        expect("messages", String.valueOf(consumer.consumeMessageOrderly(16, 1)), "null");
    }

    private static void instances() throws Exception {
        String topic = unique("topic");
        String group = unique("GID");
        publish("MQ_INST_1_a", topic, "theirs", null, message -> {});
        fails("TopicNotExist", () -> consumer(topic, group).consumeMessage(1, 1));
        MQConsumer consumer = CLIENT.getConsumer("MQ_INST_1_a", topic, group, null);
        Message got = one(consumer, 5);
        expect("body", got.getMessageBodyString(), "theirs");
        consumer.ackMessage(handles(List.of(got)));
    }

    private static void errorNames() throws Exception {
        String topic = unique("topic");
        MQConsumer consumer = consumer(topic, unique("GID"));
        ServiceException unknown = fails("TopicNotExist", () -> consumer.consumeMessage(1, 1));
        expect("host", unknown.getHostId(), HOST);
        expect("request id", unknown.getRequestId().length(), 24);
        publish(topic, "x");
        fails("SubscriptionNotExist", () -> consumer.ackMessage(List.of("h")));
        fails("InvalidArgument", () -> publish("a.b", "x"));
        one(consumer, 5);
        try {
            consumer.ackMessage(List.of("h1", "h2"));
            throw new AssertionError("bad handles were taken");
        } catch (AckMessageException error) {
            expect("bad handles", error.getErrorMessages().keySet(), Set.of("h1", "h2"));
        }
    }

    private static void transactions() throws Exception {
        String topic = unique("topic");
        MQConsumer consumer = consumer(topic, unique("GID"));
        MQTransProducer producer = CLIENT.getTransProducer("", topic, unique("GID"));
        List<String> handles = new ArrayList<>();
        for (String body : List.of("committed", "rolled back", "asked about")) {
            TopicMessage message = new TopicMessage(body.getBytes(StandardCharsets.UTF_8));
            message.setTransCheckImmunityTime(10);
            handles.add(producer.publishMessage(message).getReceiptHandle());
        }
        none(consumer);
        producer.commit(handles.get(0));
        producer.rollback(handles.get(1));
        try {
            producer.commit(handles.get(1));
            throw new AssertionError("committed after the rollback");
        } catch (AckMessageException error) {
            expect("bad handles", error.getErrorMessages().keySet(), Set.of(handles.get(1)));
        }
        Message first = one(consumer, 5);
        expect("body", first.getMessageBodyString(), "committed");
        consumer.ackMessage(handles(List.of(first)));
        List<Message> asked = producer.consumeHalfMessage(3, 30);
        expect("asked", bodies(asked), List.of("asked about"));
        producer.commit(asked.get(0).getReceiptHandle());
        Message got = one(consumer, 5);
        expect("body", got.getMessageBodyString(), "asked about");
        expect("immunity", got.getTransCheckImmunityTime(), 10);
    }

    private static void whoIsLetIn() throws Exception {
        String topic = unique("topic");
        String group = unique("GID");
        publish(topic, "x");
        MQClient wrong = new MQClient(HOST, USER, "wrong");
        fails("SignatureDoesNotMatch", () -> wrong.getConsumer("", topic, group, null).consumeMessage(1, 1));
        MQClient stranger = new MQClient(HOST, "stranger", SECRET);
        fails("InvalidAccessKeyId", () -> stranger.getConsumer("", topic, group, null).consumeMessage(1, 1));
        MQClient limited =
            new MQClient(HOST, System.getenv("ACL_LIMITED_USER"), System.getenv("ACL_LIMITED_SECRET"));
        fails("AccessDenied", () -> limited.getConsumer("", "forbidden", group, null).consumeMessage(1, 1));
        expect("body", one(limited.getConsumer("", topic, group, null), 5).getMessageBodyString(), "x");
    }
}
