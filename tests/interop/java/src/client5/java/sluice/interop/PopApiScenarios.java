package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.AckStatus;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.consumer.PopStatus;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.ResponseCode;

/** What stock proxies ask a broker on behalf of others, with the client's own API: more of POP than push consumers use. */
final class PopApiScenarios {
    /** Longer than a scenario may take: nothing comes again because of the machine. */
    private static final long LEASE_MS = 180_000;

    private PopApiScenarios() {}

    static List<Scenario> all() {
        return List.of(
                Scenario.of("pop-api-settles-many", PopApiScenarios::settlesMany),
                Scenario.of("pop-api-notification", PopApiScenarios::notification),
                Scenario.of("pop-api-polling", PopApiScenarios::polling),
                Scenario.of("pop-api-peek", PopApiScenarios::peek),
                Scenario.of("pop-api-in-order", PopApiScenarios::inOrder),
                Scenario.of("acl-pop-api", PopApiScenarios::refused)
                        .onlyIf(s -> s.acl() && s.limitedUser() != null, "ACL_LIMITED_USER is not set"));
    }

    private static PopApi api(Lab lab, String topic) throws Exception {
        PopApi api = new PopApi(lab, lab.clients, topic, lab.group());
        lab.clients.onClose(api::close);
        return api;
    }

    /** Many acknowledged at once, among them one whose lease was changed, and so has another check point. */
    private static void settlesMany(Lab lab) throws Exception {
        String topic = lab.topic();
        List<String> keys = lab.sendMany(topic, "k", 12);
        PopApi api = api(lab, topic);
        List<MessageExt> got = api.popAll(12, LEASE_MS);
        Check.equal(new TreeSet<>(keys), keys(got), "keys popped");
        Check.equal(PopStatus.POLLING_NOT_FOUND, PopApi.get(api.pop(32, 0, LEASE_MS)).getPopStatus(), "a pop while all are leased");

        AckResult longer = api.changeLease(got.get(0), LEASE_MS);
        Check.equal(AckStatus.OK, longer.getStatus(), "a longer lease");
        List<String> points = new ArrayList<>(got.stream().skip(2).map(PopApi::point).toList());
        points.add(longer.getExtraInfo());
        Check.equal(AckStatus.OK, api.ackMany(points), "many acknowledged");

        MessageExt last = got.get(1);
        Check.equal(AckStatus.OK, api.changeLease(last, 1_000).getStatus(), "a shorter lease");
        List<MessageExt> again = api.popAll(1, LEASE_MS);
        Check.equal(last.getKeys(), again.get(0).getKeys(), "what was not acknowledged");
        Check.equal(1, again.get(0).getReconsumeTimes(), "reconsume times");
        Check.equal(AckStatus.OK, api.ackMany(List.of(PopApi.point(again.get(0)))), "the last one acknowledged");
        // What is settled has no lease to change.
        for (MessageExt settled : List.of(got.get(2), again.get(0))) {
            Check.equal(AckStatus.NO_EXIST, api.changeLease(settled, LEASE_MS).getStatus(), "the lease of what is settled");
        }
    }

    /** There is something; there is nothing within a second; there is something as soon as it comes. */
    private static void notification(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        PopApi api = api(lab, topic);
        Check.until(SOON, "a notification of the first message", () -> PopApi.get(api.notification(0)));
        settleOne(api);
        Check.equal(false, PopApi.get(api.notification(1_000)), "a message when there is none");
        CompletableFuture<Boolean> waiting = api.notification(25_000);
        lab.send(Lab.message(topic, "second"));
        Check.equal(true, PopApi.get(waiting), "a message while one waits for it");
        settleOne(api);
    }

    private static void settleOne(PopApi api) throws Exception {
        Check.equal(AckStatus.OK, api.ack(api.popAll(1, LEASE_MS).get(0)).getStatus(), "acknowledgement");
    }

    /** Pops that wait are counted, as long as they do. */
    private static void polling(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        PopApi api = api(lab, topic);
        settleOne(api);
        Check.equal(0, api.waiting(), "pops that wait");
        CompletableFuture<PopResult> pop = api.pop(1, 25_000, LEASE_MS);
        Check.until(SOON, "one pop waits", () -> api.waiting() == 1);
        lab.send(Lab.message(topic, "second"));
        Check.equal("second", PopApi.get(pop).getMsgFoundList().get(0).getKeys(), "what the pop waited for");
        Check.until(SOON, "no pop waits", () -> api.waiting() == 0);
    }

    /** Looking leases nothing. */
    private static void peek(Lab lab) throws Exception {
        String topic = lab.topic();
        Set<String> keys = new TreeSet<>(lab.sendMany(topic, "k", 8));
        PopApi api = api(lab, topic);
        Check.until(SOON, "all messages seen", () -> keys(api.peeked(32)).equals(keys));
        Check.equal(keys, keys(api.peeked(32)), "keys seen again");
        Check.equal(3, api.peeked(3).size(), "messages when three are wanted");
        List<MessageExt> popped = api.popAll(8, LEASE_MS);
        Check.equal(keys, keys(popped), "keys popped");
        Check.equal(AckStatus.OK, api.ackMany(popped.stream().map(PopApi::point).toList()), "all acknowledged");
        Check.until(SOON, "nothing to be seen", () -> api.peek(32).getCode() == ResponseCode.PULL_NOT_FOUND);
    }

    /** What has the same sharding key is with one member at a time: what comes later waits until that is settled. */
    private static void inOrder(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        PopApi api = api(lab, topic);
        settleOne(api);
        sendSharded(lab, topic, "a1", "a2");
        List<MessageExt> got = api.popAll(2, LEASE_MS, true);
        Check.equal(List.of("a1", "a2"), got.stream().map(MessageExt::getKeys).toList(), "order");
        sendSharded(lab, topic, "a3");
        PopResult meanwhile = PopApi.get(api.pop(32, 2_000, LEASE_MS, true));
        Check.equal(PopStatus.POLLING_NOT_FOUND, meanwhile.getPopStatus(), "a pop while what comes before is leased");
        for (MessageExt message : got) {
            Check.equal(AckStatus.OK, api.ack(message).getStatus(), "acknowledgement");
        }
        Check.equal("a3", api.popAll(1, LEASE_MS, true).get(0).getKeys(), "what comes after that");
    }

    private static void sendSharded(Lab lab, String topic, String... keys) throws Exception {
        for (String key : keys) {
            Message message = Lab.message(topic, key);
            MessageAccessor.putProperty(message, "__SHARDINGKEY", "a");
            lab.producer().send(message, lab.queue(topic, 0));
        }
    }

    /** Who may do nothing with a topic learns nothing of it, and settles nothing for others. */
    private static void refused(Lab lab) throws Exception {
        String topic = lab.settings.forbiddenTopic();
        String group = lab.group();
        lab.send(Lab.message(topic, "first"));
        try (Clients theirs = new Clients(lab.settings.nameServer(), lab.settings.limitedUser());
                PopApi limited = new PopApi(lab, theirs, topic, group);
                PopApi own = new PopApi(lab, lab.clients, topic, group)) {
            noPermission("a pop", () -> PopApi.get(limited.pop(1, 0, LEASE_MS)));
            noPermission("a notification", () -> PopApi.get(limited.notification(0)));
            Check.equal(ResponseCode.NO_PERMISSION, limited.peek(1).getCode(), "code of a peek");
            Check.equal(ResponseCode.NO_PERMISSION, limited.polling().getCode(), "code of a look at who waits");
            PopResult popped = PopApi.get(own.pop(1, 20_000, LEASE_MS));
            Check.equal(PopStatus.FOUND, popped.getPopStatus(), "the pop of one who may");
            MessageExt message = popped.getMsgFoundList().get(0);
            Check.equal(AckStatus.NO_EXIST, limited.ackMany(List.of(PopApi.point(message))), "acknowledged by another");
            Check.equal(AckStatus.OK, own.changeLease(message, LEASE_MS).getStatus(), "the lease after that");
        }
    }

    private static void noPermission(String what, Check.Action action) throws Exception {
        MQBrokerException refusal = Check.refused(MQBrokerException.class, what, action);
        Check.equal(ResponseCode.NO_PERMISSION, refusal.getResponseCode(), "code of: " + refusal.getMessage());
    }

    private static Set<String> keys(List<MessageExt> messages) {
        return messages.stream().map(MessageExt::getKeys).collect(Collectors.toCollection(TreeSet::new));
    }
}
