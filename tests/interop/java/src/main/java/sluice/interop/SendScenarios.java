package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** Every way in which a producer sends, and what the result tells it. */
final class SendScenarios {
    /** Response code INVALID_PARAMETER. */
    private static final int INVALID_PARAMETER = 29;

    private SendScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("send-sync", SendScenarios::sync),
                Scenario.of("send-async", SendScenarios::async),
                Scenario.of("send-oneway", SendScenarios::oneWay),
                Scenario.of("send-batch", SendScenarios::batch),
                Scenario.of("send-with-selector", SendScenarios::withSelector),
                Scenario.of("send-to-queue", SendScenarios::toQueue),
                Scenario.of("topic-created-by-first-send", SendScenarios::topicCreated)
                        .onlyIf(Settings::autoCreate, "the broker creates no topics"),
                Scenario.of("topics-created-a-hundred-times", SendScenarios::topicsCreated)
                        .onlyIf(Settings::autoCreate, "the broker creates no topics"),
                Scenario.of("topic-unknown-refused", SendScenarios::topicRefused)
                        .onlyIf(s -> !s.autoCreate(), "the broker creates topics"));
    }

    private static void sync(Lab lab) throws Exception {
        String topic = lab.topic();
        List<String> keys = new ArrayList<>();
        Set<String> ids = new HashSet<>();
        long[] next = new long[4];
        for (int i = 0; i < 20; i++) {
            keys.add("k" + i);
            SendResult result = lab.send(Lab.message(topic, "k" + i));
            int queue = result.getMessageQueue().getQueueId();
            Check.equal(topic, result.getMessageQueue().getTopic(), "topic of the result");
            Check.equal(next[queue]++, result.getQueueOffset(), "offset in queue " + queue);
            Check.that(ids.add(result.getMsgId()), "message id %s came twice", result.getMsgId());
            Check.that(ids.add(result.getOffsetMsgId()), "offset id %s came twice", result.getOffsetMsgId());
        }
        // The client deals them out in turn, and starts anew when it has learned the route of the new topic.
        for (int queue = 0; queue < 4; queue++) {
            Check.that(next[queue] >= 4 && next[queue] <= 6, "%d of 20 messages are in queue %d", next[queue], queue);
        }
        lab.consume(topic).awaitKeys(keys, SOON);
    }

    private static void async(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        List<CompletableFuture<SendResult>> results = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            CompletableFuture<SendResult> result = new CompletableFuture<>();
            results.add(result);
            lab.producer().send(Lab.message(topic, "k" + i), new SendCallback() {
                @Override
                public void onSuccess(SendResult done) {
                    result.complete(done);
                }

                @Override
                public void onException(Throwable error) {
                    result.completeExceptionally(error);
                }
            });
        }
        Set<String> places = new HashSet<>();
        for (CompletableFuture<SendResult> result : results) {
            SendResult done = result.get(SOON.toSeconds(), TimeUnit.SECONDS);
            Check.equal(SendStatus.SEND_OK, done.getSendStatus(), "send status");
            String place = done.getMessageQueue().getQueueId() + "/" + done.getQueueOffset();
            Check.that(places.add(place), "two messages were told the same place %s", place);
        }
        Inbox inbox = lab.consume(topic);
        inbox.await(101, SOON);
        Check.equal(101, new HashSet<>(inbox.keys()).size(), "different messages");
    }

    private static void oneWay(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        for (int i = 0; i < 20; i++) {
            lab.producer().sendOneway(Lab.message(topic, "k" + i));
        }
        Inbox inbox = lab.consume(topic);
        inbox.await(21, SOON);
        Check.equal(21, new HashSet<>(inbox.keys()).size(), "different messages");
    }

    private static void batch(Lab lab) throws Exception {
        String topic = lab.topic();
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            Message message = new Message(topic, "tag" + i, "k" + i, ("body " + i).getBytes());
            message.putUserProperty("number", Integer.toString(i));
            messages.add(message);
        }
        SendResult result = lab.producer().send(messages);
        Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "send status");
        String[] ids = result.getMsgId().split(",");
        String[] offsetIds = result.getOffsetMsgId().split(",");
        Check.equal(10, ids.length, "message ids");
        Check.equal(10, offsetIds.length, "offset ids");

        Inbox inbox = lab.consume(topic);
        inbox.await(10, SOON);
        for (int i = 0; i < 10; i++) {
            var got = inbox.awaitKey("k" + i, SOON).message();
            Check.equal("body " + i, new String(got.getBody()), "body");
            Check.equal("tag" + i, got.getTags(), "tag");
            Check.equal(Integer.toString(i), got.getUserProperty("number"), "property");
            Check.equal(result.getMessageQueue().getQueueId(), got.getQueueId(), "queue");
            Check.equal(result.getQueueOffset() + i, got.getQueueOffset(), "queue offset");
            Check.equal(ids[i], got.getMsgId(), "message id");
            Check.equal(offsetIds[i], Lab.offsetId(got), "offset id");
        }
    }

    private static void withSelector(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        Check.equal(4, lab.producer().fetchPublishMessageQueues(topic).size(), "queues");
        for (int order = 0; order < 12; order++) {
            SendResult result = lab.producer().send(
                    Lab.message(topic, "k" + order),
                    (queues, message, argument) -> queues.get((Integer) argument % queues.size()),
                    order);
            Check.equal(order % 4, result.getMessageQueue().getQueueId(), "queue of order " + order);
        }
        Inbox inbox = lab.consume(topic);
        for (int order = 0; order < 12; order++) {
            Check.equal(order % 4, inbox.awaitKey("k" + order, SOON).message().getQueueId(), "queue of message " + order);
        }
    }

    private static void toQueue(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        List<String> keys = lab.sendToEach(topic, "q");
        Inbox inbox = lab.consume(topic);
        for (String key : keys) {
            Check.equal(key, "q" + inbox.awaitKey(key, SOON).message().getQueueId(), "queue of the message");
        }
        String broker = lab.queue(topic, 0).getBrokerName();
        MQBrokerException refusal = Check.refused(MQBrokerException.class, "a queue that is not there", () -> lab.producer()
                .send(Lab.message(topic, "nowhere"), new MessageQueue(topic, broker, 99)));
        Check.equal(INVALID_PARAMETER, refusal.getResponseCode(), "response code of " + refusal.getMessage());
    }

    private static void topicCreated(Lab lab) throws Exception {
        String topic = lab.topic();
        Check.refused(MQClientException.class, "a look at a topic that is not there",
                () -> lab.producer().fetchPublishMessageQueues(topic));
        lab.send(Lab.message(topic, "first"));
        Check.equal(4, lab.producer().fetchPublishMessageQueues(topic).size(), "queues, by the client's default");

        String wide = lab.topic();
        DefaultMQProducer producer = lab.clients.newProducer(lab.group());
        producer.setDefaultTopicQueueNums(64);
        producer.start();
        producer.send(Lab.message(wide, "first"));
        Check.equal(8, producer.fetchPublishMessageQueues(wide).size(), "queues, by the broker's limit");
    }

    /** The hundredth topic is made as the first was: at once, and with as many queues. */
    private static void topicsCreated(Lab lab) throws Exception {
        for (int i = 1; i <= 100; i++) {
            String topic = lab.topic();
            lab.send(Lab.message(topic, "first"));
            Check.equal(4, lab.producer().fetchPublishMessageQueues(topic).size(), "queues of topic " + i);
        }
    }

    private static void topicRefused(Lab lab) throws Exception {
        MQClientException refusal = Check.refused(MQClientException.class, "a send to a topic that is not there",
                () -> lab.producer().send(Lab.message(lab.topic(), "first")));
        Check.that(refusal.getMessage().contains("No route info of this topic"), "unexpected words: %s", refusal.getMessage());
    }
}
