package sluice.mqadmin;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.common.MixAll;

/** Runs every check and prints a line for each: {@code ok NAME} or {@code FAIL NAME why}. */
public final class Main {
    interface Body {
        void run() throws Exception;
    }

    /** They mostly sleep. */
    private static final int SIDE_BY_SIDE = 12;

    private static final Duration ALL = Duration.ofMinutes(5);

    private Main() {}

    public static void main(String[] names) throws Exception {
        String nameServer = System.getenv().getOrDefault("NAMESRV_ADDR", "127.0.0.1:9876");
        System.setProperty(MixAll.NAMESRV_ADDR_PROPERTY, nameServer);
        boolean acl = System.getenv("ACL_USER") != null;
        try (Stage stage = new Stage(nameServer)) {
            Map<String, Body> checks = new LinkedHashMap<>();
            checks.putAll(new Groups(stage).checks());
            checks.putAll(new Cluster(stage).checks());
            checks.putAll(new Topics(stage).checks());
            checks.putAll(new Messages(stage).checks());
            checks.putAll(acl ? new Access(stage).checks() : new Open(stage).checks());
            checks.keySet().removeIf(name -> names.length > 0 && !chosen(name, names));
            boolean passed = run(checks);
            // For a moment it stops all sending.
            Map<String, Body> alone = Map.of("write-permission", new Cluster(stage)::writePermission);
            if (names.length == 0 || chosen("write-permission", names)) {
                passed &= run(alone);
            }
            System.exit(passed ? 0 : 1);
        }
    }

    private static boolean run(Map<String, Body> checks) throws InterruptedException {
        List<String> failed = Collections.synchronizedList(new ArrayList<>());
        ExecutorService workers = Executors.newFixedThreadPool(SIDE_BY_SIDE);
        checks.forEach((name, body) -> workers.execute(() -> {
            if (!passes(name, body)) {
                failed.add(name);
            }
        }));
        workers.shutdown();
        if (!workers.awaitTermination(ALL.toSeconds(), TimeUnit.SECONDS)) {
            failed.add("the time is over");
            System.out.println("FAIL the time is over");
        }
        System.out.printf("%d passed, %d failed%n", checks.size() - failed.size(), failed.size());
        return failed.isEmpty();
    }

    private static boolean passes(String name, Body body) {
        Instant start = Instant.now();
        try {
            body.run();
            System.out.printf("ok %s (%d ms)%n", name, Duration.between(start, Instant.now()).toMillis());
            return true;
        } catch (Throwable error) {
            System.out.printf("FAIL %s %s%n", name, error);
            if (!(error instanceof AssertionError)) {
                error.printStackTrace(System.out);
            }
            return false;
        }
    }

    private static boolean chosen(String name, String[] names) {
        for (String pattern : names) {
            boolean matches = pattern.endsWith("*")
                    ? name.startsWith(pattern.substring(0, pattern.length() - 1))
                    : name.equals(pattern);
            if (matches) {
                return true;
            }
        }
        return false;
    }
}
