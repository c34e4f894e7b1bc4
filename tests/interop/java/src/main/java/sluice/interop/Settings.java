package sluice.interop;

import java.time.Duration;

/** What the environment says about the broker under test. README.md has the table. */
record Settings(
        String nameServer,
        Credentials user,
        Credentials limitedUser,
        String forbiddenTopic,
        boolean tls,
        String strangerCa,
        boolean autoCreate,
        boolean keyIndex,
        Duration timerEarly,
        String clock,
        int parallel,
        Duration total) {

    /** Access key and secret of the signing hook; {@code null} where none is configured. */
    record Credentials(String key, String secret) {
        static Credentials of(String key, String secret) {
            return key == null || key.isEmpty() ? null : new Credentials(key, secret);
        }
    }

    static Settings fromEnvironment() {
        return new Settings(
                env("NAMESRV_ADDR", "127.0.0.1:9876"),
                Credentials.of(env("ACL_USER", ""), env("ACL_SECRET", "")),
                Credentials.of(env("ACL_LIMITED_USER", ""), env("ACL_LIMITED_SECRET", "")),
                env("ACL_FORBIDDEN_TOPIC", "forbidden"),
                Boolean.getBoolean("tls.enable"),
                System.getProperty("interop.stranger.ca", ""),
                !env("AUTO_CREATE", "on").equals("off"),
                !env("KEY_INDEX", "1").equals("0"),
                Duration.ofMillis(Long.parseLong(env("TIMER_EARLY_MS", "0"))),
                env("CLOCK", ""),
                Integer.parseInt(env("PARALLEL", "8")),
                Duration.ofSeconds(Long.parseLong(env("TOTAL_SECONDS", "400"))));
    }

    boolean acl() {
        return user != null;
    }

    private static String env(String name, String fallback) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? fallback : value;
    }
}
