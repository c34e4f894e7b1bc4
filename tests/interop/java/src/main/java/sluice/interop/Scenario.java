package sluice.interop;

import java.time.Duration;
import java.util.function.Function;
import java.util.function.Predicate;

/** One named promise to stock clients: passes, fails with a reason, or is skipped with one. */
record Scenario(String name, Duration limit, Function<Settings, String> skipReason, Body body) {
    private static final Duration USUAL = Duration.ofSeconds(120);

    @FunctionalInterface
    interface Body {
        void run(Lab lab) throws Exception;
    }

    static Scenario of(String name, Body body) {
        return new Scenario(name, USUAL, settings -> null, body);
    }

    Scenario within(Duration longer) {
        return new Scenario(name, longer, skipReason, body);
    }

    /** Skipped, with that reason, unless this condition holds too. */
    Scenario onlyIf(Predicate<Settings> condition, String otherwise) {
        Function<Settings, String> before = skipReason;
        return new Scenario(
                name,
                limit,
                settings -> {
                    String reason = before.apply(settings);
                    return reason != null || condition.test(settings) ? reason : otherwise;
                },
                body);
    }
}
