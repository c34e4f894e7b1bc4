package sluice.kafka;

import static sluice.kafka.Runner.expect;
import static sluice.kafka.Runner.failure;
import static sluice.kafka.Runner.unique;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.TopicAuthorizationException;

/** Over TLS, by every way of logging in: who is right comes in, who is wrong does not. */
final class Secure {
    private static final String MODULES = "org.apache.kafka.common.security.";
    static final List<String> WAYS = List.of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "certificate");

    private Secure() {}

    static Clients as(String way, boolean right) {
        String user = System.getenv("ACL_USER");
        return as(way, user, right ? System.getenv("ACL_SECRET") : "wrong", right);
    }

    private static Clients as(String way, String user, String secret, boolean right) {
        String stores = System.getProperty("stores");
        Map<String, String> all = new HashMap<>();
        all.put("ssl.truststore.location", stores + "/trust.p12");
        all.put("ssl.truststore.type", "PKCS12");
        all.put("ssl.truststore.password", "changeit");
        if (way.equals("certificate")) {
            all.put("security.protocol", "SSL");
            all.put("ssl.keystore.location", stores + (right ? "/client.p12" : "/stranger.p12"));
            all.put("ssl.keystore.type", "PKCS12");
            all.put("ssl.keystore.password", "changeit");
            all.put("ssl.key.password", "changeit");
            return new Clients(all);
        }
        all.put("security.protocol", "SASL_SSL");
        all.put("sasl.mechanism", way);
        String pair = " required username=\"" + user + "\" password=\"" + secret + "\";";
        switch (way) {
            case "PLAIN" -> all.put("sasl.jaas.config", MODULES + "plain.PlainLoginModule" + pair);
            case "OAUTHBEARER" -> {
                all.put("sasl.jaas.config", MODULES + "oauthbearer.OAuthBearerLoginModule required;");
                Class<?> token = right ? Token.class : Token.Forged.class;
                all.put("sasl.login.callback.handler.class", token.getName());
            }
            default -> all.put("sasl.jaas.config", MODULES + "scram.ScramLoginModule" + pair);
        }
        return new Clients(all);
    }

    private static Object send(Clients clients, String topic) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = clients.producer()) {
            return producer.send(new ProducerRecord<>(topic, 0, null, new byte[1])).get();
        }
    }

    static void keptOut(String way) {
        Throwable why = failure(way, () -> send(as(way, false).with("max.block.ms", "5000"), unique()));
        // One whose certificate does not count is told nothing, and hears the end.
        if (!way.equals("certificate") && !(why instanceof AuthenticationException)) {
            throw new AssertionError("refused for another reason", why);
        }
    }

    static void forbidden() throws Exception {
        Clients limited = as("SCRAM-SHA-256", System.getenv("ACL_LIMITED_USER"), System.getenv("ACL_LIMITED_SECRET"), true);
        send(limited, unique());
        Throwable why = failure("forbidden", () -> send(limited, "forbidden"));
        expect("why", why.getClass(), TopicAuthorizationException.class);
    }

    static void all(Runner runner) {
        // Failures slow down whoever fails, and all tests come from one address: those who are right come first.
        for (String way : WAYS) {
            runner.scenario("secure-there-and-back-" + way, () -> Records.thereAndBack(as(way, true)));
        }
        runner.scenario("secure-forbidden", Secure::forbidden);
        runner.scenario("secure-permissions", () -> Permissions.permissions(as("SCRAM-SHA-512", true)));
        runner.scenario("secure-quotas", () -> Permissions.quotas(as("PLAIN", true)));
        runner.scenario("secure-credentials", () -> Permissions.credentials(as("PLAIN", true)));
        for (String way : WAYS) {
            runner.scenario("secure-kept-out-" + way, () -> keptOut(way));
        }
    }

    static Clients user(String name, String password) {
        return as("SCRAM-SHA-256", name, password, true);
    }
}
