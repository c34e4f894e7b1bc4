package sluice.kafka;

import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Pattern;

/** Runs named scenarios and prints one line each, as the other suites do. */
final class Runner {
    private static final long PATIENCE_SECONDS = 60;
    private static final ExecutorService THREADS = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work);
        thread.setDaemon(true); // a hung client must not hold us
        return thread;
    });

    private int passed;
    private int failed;

    interface Body {
        void run() throws Exception;
    }

    void scenario(String name, Body body) {
        String only = System.getenv("ONLY");
        if (only != null && !Pattern.compile(only).matcher(name).find()) {
            return;
        }
        Future<?> running = THREADS.submit((Callable<Void>) () -> {
            body.run();
            return null;
        });
        try {
            running.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
            passed++;
            System.out.println("ok " + name);
        } catch (TimeoutException late) {
            failed++;
            running.cancel(true);
            System.out.println("FAIL " + name + " not within " + PATIENCE_SECONDS + " s");
        } catch (Exception error) {
            failed++;
            Throwable why = error.getCause() == null ? error : error.getCause();
            System.out.println("FAIL " + name + " " + String.valueOf(why).replace('\n', ' '));
        }
    }

    void finish() {
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(passed > 0 && failed == 0 ? 0 : 1);
    }

    static String unique() {
        return "kafka-java-" + UUID.randomUUID().toString().substring(0, 13);
    }

    static void expect(String what, Object got, Object wanted) {
        if (!Objects.deepEquals(got, wanted)) {
            throw new AssertionError(what + ": got " + got + ", wanted " + wanted);
        }
    }

    /** The failure of a call that must fail. */
    static Throwable failure(String what, Callable<?> call) {
        try {
            call.call();
        } catch (java.util.concurrent.ExecutionException error) {
            return error.getCause();
        } catch (Exception error) {
            return error;
        }
        throw new AssertionError(what + " was let through");
    }
}
