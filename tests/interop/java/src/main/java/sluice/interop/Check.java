package sluice.interop;

import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.Callable;

/** The few assertions that the scenarios need, each with words that tell what was expected. */
final class Check {
    private static final long POLL_MS = 20;

    private Check() {}

    /** A scenario that saw something else than it must. */
    static final class Failed extends RuntimeException {
        Failed(String message) {
            super(message);
        }
    }

    @FunctionalInterface
    interface Action {
        void run() throws Exception;
    }

    static void that(boolean condition, String expectation, Object... arguments) {
        if (!condition) {
            throw new Failed(String.format(expectation, arguments));
        }
    }

    static void equal(Object expected, Object actual, String what) {
        that(Objects.equals(expected, actual), "%s: expected %s, got %s", what, expected, actual);
    }

    /** Runs what must be refused and hands back how it was. */
    static <E extends Exception> E refused(Class<E> kind, String what, Action action) throws Exception {
        try {
            action.run();
        } catch (Exception e) {
            if (kind.isInstance(e)) {
                return kind.cast(e);
            }
            throw e;
        }
        throw new Failed(what + " was accepted");
    }

    static void until(Duration limit, String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + limit.toNanos();
        while (!condition.call()) {
            that(System.nanoTime() < end, "not within %d s: %s", limit.toSeconds(), what);
            Thread.sleep(POLL_MS);
        }
    }
}
