package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageQueue;

/** Who may come in: signatures, rights and certificates. */
final class AccessScenarios {
    private static final int NO_PERMISSION = 16;

    private AccessScenarios() {}

    static List<Scenario> all() {
        return List.of(
                acl("acl-accepted", AccessScenarios::accepted),
                acl("acl-wrong-secret", lab -> refused(lab, wrongSecret(lab.settings))),
                acl("acl-unknown-user", lab -> refused(lab, new Settings.Credentials("nobody-of-that-name", "secret"))),
                acl("acl-no-credentials", lab -> refused(lab, null)),
                acl("acl-no-right-to-send", AccessScenarios::limitedSend)
                        .onlyIf(s -> s.limitedUser() != null, "ACL_LIMITED_USER is not set"),
                acl("acl-no-right-to-receive", AccessScenarios::limitedReceive)
                        .onlyIf(s -> s.limitedUser() != null, "ACL_LIMITED_USER is not set"),
                Scenario.of("tls-stranger-refused", AccessScenarios::stranger)
                        .onlyIf(s -> s.tls() && !s.strangerCa().isEmpty(), "TLS is off"),
                Scenario.of("tls-plain-on-same-port", AccessScenarios::plainOnSamePort)
                        .onlyIf(Settings::tls, "TLS is off"));
    }

    private static Scenario acl(String name, Scenario.Body body) {
        return Scenario.of(name, body).onlyIf(Settings::acl, "ACL_USER is not set");
    }

    private static Settings.Credentials wrongSecret(Settings settings) {
        return new Settings.Credentials(settings.user().key(), "not the secret");
    }

    private static void accepted(Lab lab) throws Exception {
        String topic = lab.topic();
        List<String> keys = lab.sendMany(topic, "k", 4);
        Inbox inbox = lab.consume(topic);
        for (String key : keys) {
            inbox.awaitKey(key, SOON);
        }
    }

    private static void refused(Lab lab, Settings.Credentials stranger) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        noPermission(lab, stranger, topic);
    }

    private static void limitedSend(Lab lab) throws Exception {
        String topic = lab.settings.forbiddenTopic();
        lab.send(Lab.message(topic, "first"));
        noPermission(lab, lab.settings.limitedUser(), topic);
    }

    private static void noPermission(Lab lab, Settings.Credentials credentials, String topic) throws Exception {
        try (Clients theirs = new Clients(lab.settings.nameServer(), credentials)) {
            DefaultMQProducer producer = theirs.producer(lab.group());
            Exception refusal = Check.refused(Exception.class, "a send without permission",
                    () -> producer.send(Lab.message(topic, "forbidden")));
            noPermission(refusal, topic, producer.getDefaultMQProducerImpl().getMqClientFactory());
        }
        lab.send(Lab.message(topic, "allowed"));
    }

    /**
     * The refusal must be NO_PERMISSION, with words. A client that may not even learn the route keeps the answer to its
     * log and says only that there is no route or no broker; then the name server must have said NO_PERMISSION.
     */
    private static void noPermission(Exception refusal, String topic, MQClientInstance client) throws Exception {
        Exception answer = refusal;
        if (code(refusal) != NO_PERMISSION && refusal instanceof MQClientException) {
            answer = Check.refused(MQClientException.class, "a route without permission", () -> client
                    .getMQClientAPIImpl()
                    .getTopicRouteInfoFromNameServer(topic, TimeUnit.SECONDS.toMillis(5)));
        }
        Check.equal(NO_PERMISSION, code(answer), "code of: " + answer.getMessage());
        Check.that(words(answer).matches("(?s).*CODE: 16 +DESC: \\S.*"), "the broker gave no words: %s", words(answer));
    }

    /** The messages of an exception and its causes: the client keeps the broker's words in a cause. */
    private static String words(Throwable error) {
        return error == null ? "" : error.getMessage() + "\n" + words(error.getCause());
    }

    private static int code(Exception refusal) {
        if (refusal instanceof MQBrokerException broker) {
            return broker.getResponseCode();
        }
        return refusal instanceof MQClientException client ? client.getResponseCode() : -1;
    }

    @SuppressWarnings("deprecation")
    private static void limitedReceive(Lab lab) throws Exception {
        String topic = lab.settings.forbiddenTopic();
        lab.send(Lab.message(topic, "first"));
        try (Clients theirs = new Clients(lab.settings.nameServer(), lab.settings.limitedUser())) {
            Inbox stolen = new Inbox();
            DefaultMQPushConsumer consumer = theirs.newPushConsumer(lab.group());
            consumer.subscribe(topic, "*");
            stolen.collect(consumer, "limited");
            consumer.start();
            // Three rounds through every queue to one who may read: more time than a pull of theirs would need.
            Inbox allowed = lab.consume(topic);
            for (int round = 0; round < 3; round++) {
                for (String key : lab.sendToEach(topic, "round" + round + "-" + lab.group())) {
                    allowed.awaitKey(key, SOON);
                }
            }
            Check.equal(List.of(), stolen.keys(), "messages of a user without rights");
            // One pull by hand, whose answer a push consumer would only log.
            DefaultMQPullConsumer puller = theirs.newPullConsumer(lab.group());
            puller.start();
            MessageQueue queue = lab.queue(topic, 0);
            Exception refusal = Check.refused(Exception.class, "a pull", () -> puller.pull(queue, "*", 0, 1));
            noPermission(refusal, topic, puller.getDefaultMQPullConsumerImpl().getRebalanceImpl().getmQClientFactory());
        }
    }

    private static void stranger(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        Child child = Child.start(
                List.of("-Dtls.client.trustCertPath=" + lab.settings.strangerCa()),
                "send", "--topic", topic, "--keys", "stranger", "--body", "x");
        lab.clients.onClose(child::kill);
        Check.that(child.process().waitFor(SOON.toSeconds(), TimeUnit.SECONDS), "the client did not give up");
        Check.that(child.process().exitValue() != 0, "a client that trusts another authority could send");
        Child trusting = Child.start("send", "--topic", topic, "--keys", "trusting", "--body", "x");
        lab.clients.onClose(trusting::kill);
        Check.that(trusting.process().waitFor(SOON.toSeconds(), TimeUnit.SECONDS), "the trusting client did not end");
        Check.equal(0, trusting.process().exitValue(), "exit code of the client that trusts the right one");
    }

    private static void plainOnSamePort(Lab lab) throws Exception {
        String topic = lab.topic();
        lab.send(Lab.message(topic, "first"));
        DefaultMQProducer plain = lab.clients.newProducer(lab.group());
        plain.setUseTLS(false);
        plain.start();
        plain.send(Lab.message(topic, "plain"));
        lab.consume(topic).awaitKey("plain", SOON);
    }
}
