package sluice.kafka;

import java.util.List;
import java.util.Map;

/** The scenarios. The argument is the client's version. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        Runner runner = new Runner();
        if (System.getenv("TLS_CLIENT_CERT") != null) {
            Secure.all(runner); // the others speak plain text; here is who may come in, and how
            runner.finish();
        }
        Clients clients = new Clients(Map.of());
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            runner.scenario("codec-" + codec, () -> Records.thereAndBack(clients.with("compression.type", codec)));
        }
        for (String acks : List.of("1", "all")) {
            Clients plain = clients.with("enable.idempotence", "false").with("acks", acks);
            runner.scenario("acks-" + acks, () -> Records.thereAndBack(plain));
        }
        runner.scenario("many-idempotent", () -> Records.many(clients));
        runner.scenario("big", () -> Records.big(clients));
        runner.scenario("truncation", () -> Records.truncation(clients));
        runner.scenario("group", () -> Records.group(clients));
        if (!arguments[0].startsWith("2.")) {
            runner.scenario("group-shared-by-the-broker", () -> Records.group(clients.with("group.protocol", "consumer")));
        }
        runner.scenario("transactions", () -> Transactions.commitAndAbort(clients));
        runner.scenario("transactions-of-a-zombie", () -> Transactions.zombie(clients));
        runner.scenario("transactions-with-offsets", () -> Transactions.offsets(clients));
        runner.scenario("administrates-topics", () -> Administering.topics(clients));
        runner.scenario("administrates-groups", () -> Administering.groups(clients));
        runner.scenario("administrates-cluster", () -> Administering.cluster(clients));
        runner.scenario("administrates-without-users", () -> Administering.withoutUsers(clients));
        runner.finish();
    }
}
