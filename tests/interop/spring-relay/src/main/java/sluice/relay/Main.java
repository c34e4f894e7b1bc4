package sluice.relay;

import java.util.UUID;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.messaging.simp.SimpMessagingTemplate;

/** The scenarios: what users of two instances of an application say to each other through the broker. */
public final class Main {
    private static int passed;
    private static int failed;

    private interface Scenario {
        void run() throws Exception;
    }

    public static void main(String[] arguments) {
        ConfigurableApplicationContext here = App.start();
        ConfigurableApplicationContext there = App.start();
        scenario("relay-finds-the-broker", () -> until("both are connected", () -> found(here) && found(there)));
        long connected = System.nanoTime();
        scenario("topic-reaches-everyone", () -> topic(here, there));
        scenario("topic-is-the-brokers-own", () -> own(here));
        scenario("queue-has-one-reader-each", () -> queue(here));
        scenario("answer-goes-to-who-asked", () -> answer(here));
        scenario("user-has-several-sessions", () -> sessions(here));
        scenario("user-of-another-instance", () -> elsewhere(here, there));
        scenario("bad-destination-is-an-error", () -> error(here));
        if (Environment.LOGIN != null) {
            scenario("wrong-passcode-is-refused", Main::passcode);
        }
        scenario("heart-beats-keep-the-relay", () -> {
            // Longer than either side bears silence.
            until("three intervals", () -> System.nanoTime() - connected > 3 * App.BEAT * 1_000_000L);
            expect("losses", here.getBean(App.class).lost.get() + there.getBean(App.class).lost.get(), 0);
        });
        there.close();
        here.close();
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 && passed > 0 ? 0 : 1);
    }

    private static boolean found(ConfigurableApplicationContext app) {
        return app.getBean(App.class).found.get() > 0;
    }

    private static void topic(ConfigurableApplicationContext here, ConfigurableApplicationContext there)
            throws Exception {
        try (var alice = Client.of(here, "alice"); var bob = Client.of(there, "bob")) {
            var hears = alice.subscribe("/topic/news");
            var listens = bob.subscribe("/topic/news");
            alice.tell("/app/shout", "Grüße 🦀");
            expect("at the same instance", hears.next(), "alice: Grüße 🦀");
            expect("at the other", listens.next(), "alice: Grüße 🦀");
        }
    }

    private static void own(ConfigurableApplicationContext here) throws Exception {
        String to = "/topic/" + unique();
        try (var alice = Client.of(here, "alice"); var direct = Client.direct(Environment.LOGIN, Environment.PASSCODE)) {
            var hears = alice.subscribe(to);
            var listens = direct.subscribe(to);
            direct.send(to, "from outside");
            expect("relayed", hears.next(), "from outside");
            expect("direct", listens.next(), "from outside");
            alice.send(to, "from inside");
            expect("relayed", hears.next(), "from inside");
            expect("direct", listens.next(), "from inside");
        }
    }

    private static void queue(ConfigurableApplicationContext here) throws Exception {
        String to = "/queue/" + unique();
        try (var alice = Client.of(here, "alice"); var bob = Client.of(here, "bob")) {
            alice.send(to, "before anybody listens");
            var hears = bob.subscribe(to);
            expect("kept", hears.next(), "before anybody listens");
            here.getBean(SimpMessagingTemplate.class).convertAndSend(to, "from the application");
            expect("from the application itself", hears.next(), "from the application");
        }
    }

    private static void answer(ConfigurableApplicationContext here) throws Exception {
        try (var alice = Client.of(here, "alice"); var bob = Client.of(here, "bob")) {
            var hears = alice.subscribe("/user/queue/answers");
            var listens = bob.subscribe("/user/queue/answers");
            alice.tell("/app/ask", "who");
            expect("answer", hears.next(), "who, alice?");
            bob.tell("/app/ask", "why");
            expect("answer", listens.next(), "why, bob?");
            expect("nothing of the other's", hears.isEmpty() && listens.isEmpty(), true);
        }
    }

    private static void sessions(ConfigurableApplicationContext here) throws Exception {
        try (var desk = Client.of(here, "dora"); var phone = Client.of(here, "dora"); var other = Client.of(here, "eve")) {
            var one = desk.subscribe("/user/queue/mail");
            var two = phone.subscribe("/user/queue/mail");
            var none = other.subscribe("/user/queue/mail");
            here.getBean(SimpMessagingTemplate.class).convertAndSendToUser("dora", "/queue/mail", "hello");
            expect("desk", one.next(), "hello");
            expect("phone", two.next(), "hello");
            expect("nobody else", none.isEmpty(), true);
        }
    }

    private static void elsewhere(ConfigurableApplicationContext here, ConfigurableApplicationContext there)
            throws Exception {
        try (var carol = Client.of(there, "carol")) {
            var hears = carol.subscribe("/user/queue/mail");
            here.getBean(SimpMessagingTemplate.class).convertAndSendToUser("carol", "/queue/mail", "hi");
            expect("through the broker", hears.next(), "hi");
        }
    }

    private static void error(ConfigurableApplicationContext here) throws Exception {
        try (var alice = Client.of(here, "alice")) {
            alice.tell("/queue/", "to nobody");
            expect("an ERROR reaches the user", alice.failure() != null, true);
        }
    }

    private static void passcode() throws Exception {
        try (var stranger = Client.direct(Environment.LOGIN, "certainly wrong")) {
            throw new AssertionError("connected with a wrong passcode");
        } catch (java.util.concurrent.ExecutionException refused) {
            expect("told so", refused.getMessage().contains("Access refused"), true);
        }
    }

    private interface Condition {
        boolean holds();
    }

    private static void until(String what, Condition condition) throws InterruptedException {
        long deadline = System.nanoTime() + 60_000_000_000L;
        while (!condition.holds()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + ": not in time");
            }
            Thread.sleep(20);
        }
    }

    private static void scenario(String name, Scenario scenario) {
        String only = System.getenv("ONLY");
        if (only != null && !java.util.regex.Pattern.compile(only).matcher(name).find()) {
            return;
        }
        try {
            scenario.run();
            passed++;
            System.out.println("ok " + name);
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.println("FAIL " + name + " " + error);
        }
    }

    private static void expect(String what, Object got, Object wanted) {
        if (!wanted.equals(got)) {
            throw new AssertionError(what + ": got " + got + ", wanted " + wanted);
        }
    }

    private static String unique() {
        return "it-spring-" + UUID.randomUUID().toString().substring(0, 13);
    }
}
