package sluice.connect;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.connect.cli.ConnectStandalone;
import org.apache.kafka.connect.runtime.Connect;

/** Lines of a file through a topic into another file by a stock worker, and what a worker with others is told. */
public final class Main {
    private static final String ADDRESS = System.getenv("KAFKA_ADDR");
    private static final Path HOME = Path.of(System.getProperty("home"));
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final String TOPIC = "connect-" + UUID.randomUUID().toString().substring(0, 13);
    private static final List<String> LINES = IntStream.range(0, 300).mapToObj(n -> "line " + n).toList();

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        int failed = scenario("from-file-to-file", Main::fromFileToFile)
            + scenario("wants-compaction", Main::wantsCompaction);
        System.out.println((2 - failed) + " passed, " + failed + " failed");
        // The worker's threads are no reason to wait.
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    private interface Body {
        void run() throws Exception;
    }

    private static int scenario(String name, Body body) {
        try {
            body.run();
            System.out.println("ok " + name);
            return 0;
        } catch (Exception | AssertionError error) {
            System.out.println("FAIL " + name + " " + String.valueOf(error).replace('\n', ' '));
            return 1;
        }
    }

    /** A worker that is started anew goes on where it was, at both ends. */
    private static void fromFileToFile() throws Exception {
        Path from = HOME.resolve("from");
        Path to = HOME.resolve("to");
        Files.write(from, LINES.subList(0, 200));
        Connect<?> first = start(from, to);
        await(to, LINES.subList(0, 200));
        first.stop();
        first.awaitStop();
        Files.write(from, LINES.subList(200, 300), StandardOpenOption.APPEND);
        Connect<?> second = start(from, to);
        await(to, LINES);
        second.stop();
        second.awaitStop();
    }

    private static Connect<?> start(Path from, Path to) throws IOException {
        Map<String, String> worker = new HashMap<>(Map.of(
            "bootstrap.servers", ADDRESS,
            "key.converter", "org.apache.kafka.connect.storage.StringConverter",
            "value.converter", "org.apache.kafka.connect.json.JsonConverter",
            "offset.storage.file.filename", HOME.resolve("offsets").toString(),
            "offset.flush.interval.ms", "200",
            "plugin.discovery", "service_load",
            "listeners", "http://127.0.0.1:0"));
        ConnectStandalone standalone = new ConnectStandalone();
        Connect<org.apache.kafka.connect.runtime.standalone.StandaloneHerder> connect = standalone.startConnect(worker);
        String[] connectors = {
            null,
            file("source", Map.of("name", TOPIC + "-source", "connector.class", LinesSource.class.getName(),
                "tasks.max", "1", "file", from.toString(), "topic", TOPIC)),
            file("sink", Map.of("name", TOPIC + "-sink", "connector.class", LinesSink.class.getName(),
                "tasks.max", "1", "file", to.toString(), "topics", TOPIC)),
        };
        standalone.processExtraArgs(connect, java.util.Arrays.copyOfRange(connectors, 1, 3));
        return connect;
    }

    private static String file(String name, Map<String, String> settings) throws IOException {
        List<String> lines = new TreeMap<>(settings).entrySet().stream()
            .map(setting -> setting.getKey() + "=" + setting.getValue()).collect(Collectors.toList());
        return Files.write(HOME.resolve(name + ".properties"), lines).toString();
    }

    private static void await(Path file, List<String> wanted) throws Exception {
        long end = System.nanoTime() + PATIENCE.toNanos();
        List<String> found = List.of();
        while (System.nanoTime() < end) {
            found = Files.exists(file) ? Files.readAllLines(file) : List.of();
            if (found.size() >= wanted.size()) {
                break;
            }
            Thread.sleep(50);
        }
        if (!found.equals(wanted)) {
            throw new AssertionError(found.size() + " lines came of " + wanted.size() + ", or others");
        }
    }

    /** What a distributed worker makes first: a topic that it must not lose anything of. */
    private static void wantsCompaction() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", ADDRESS))) {
            NewTopic topic = new NewTopic(TOPIC + "-configs", 1, (short) 1).configs(Map.of("cleanup.policy", "compact"));
            admin.createTopics(List.of(topic)).all().get();
            throw new AssertionError("a compacted topic was made");
        } catch (ExecutionException error) {
            if (!(error.getCause() instanceof InvalidConfigurationException)
                || !error.getCause().getMessage().contains("compaction is not offered")) {
                throw new AssertionError("refused otherwise: " + error.getCause());
            }
        }
    }
}
