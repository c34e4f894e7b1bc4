package sluice.mqhttp;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;

/** Runs named scenarios side by side and prints one line each: `ok NAME` or `FAIL NAME why`. */
final class Runner {
    interface Body {
        void run() throws Exception;
    }

    private static final int LIMIT_SECONDS = 180;

    private final Map<String, Body> scenarios = new LinkedHashMap<>();
    private final AtomicInteger passed = new AtomicInteger();
    private final AtomicInteger failed = new AtomicInteger();

    void add(String name, Body body) {
        scenarios.put(name, body);
    }

    /** Never returns: the SDK's threads would keep the program alive. */
    void runAll(String[] wanted) throws InterruptedException {
        ExecutorService pool = Executors.newCachedThreadPool();
        scenarios.forEach((name, body) -> {
            if (isWanted(name, wanted)) {
                pool.execute(() -> run(name, body));
            }
        });
        pool.shutdown();
        if (!pool.awaitTermination(LIMIT_SECONDS, TimeUnit.SECONDS)) {
            report("FAIL the suite: not within " + LIMIT_SECONDS + " s");
            failed.incrementAndGet();
        }
        System.out.println(passed + " passed, " + failed + " failed");
        System.out.flush();
        Runtime.getRuntime().halt(failed.get() == 0 && passed.get() > 0 ? 0 : 1);
    }

    private static boolean isWanted(String name, String[] wanted) {
        String only = System.getenv("ONLY");
        String skip = System.getenv("SKIP");
        if (only != null && !Pattern.compile(only).matcher(name).find()
                || skip != null && Pattern.compile(skip).matcher(name).find()) {
            return false;
        }
        for (String pattern : wanted) {
            boolean prefix = pattern.endsWith("*");
            if (prefix ? name.startsWith(pattern.substring(0, pattern.length() - 1)) : name.equals(pattern)) {
                return true;
            }
        }
        return wanted.length == 0;
    }

    private void run(String name, Body body) {
        try {
            body.run();
            passed.incrementAndGet();
            report("ok " + name);
        } catch (Throwable error) {
            failed.incrementAndGet();
            String where = "";
            for (StackTraceElement frame : error.getStackTrace()) {
                if (frame.getClassName().startsWith("sluice.mqhttp.Main")) {
                    where = " (line " + frame.getLineNumber() + ")";
                    break;
                }
            }
            report("FAIL " + name + " " + String.valueOf(error).replace('\n', ' ') + where);
        }
    }

    private static synchronized void report(String line) {
        System.out.println(line);
        System.out.flush();
    }

    /** A name no other scenario or run uses. */
    static String unique(String kind) {
        return "it-mqhttp-" + kind + "-" + UUID.randomUUID().toString().substring(0, 13);
    }

    static void expect(String what, Object actual, Object wanted) {
        if (!wanted.equals(actual)) {
            throw new AssertionError(what + ": got " + actual + ", wanted " + wanted);
        }
    }
}
