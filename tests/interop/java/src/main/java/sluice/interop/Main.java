package sluice.interop;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Stock RocketMQ clients against a broker that runs: the scenarios, and small commands for tests in other languages. */
public final class Main {
    private static final String USAGE = """
            usage: run [SCENARIO...]      the named scenarios, or all; a name may end in *
                   list                   their names
                   send --topic T [--tag T] [--keys K] [--prop NAME=VALUE]... [--delay-ms N] [--body TEXT | --body-file F]
                   receive --topic T --group G --count N [--timeout SECONDS] [--tag EXPRESSION]
                   prepare --topic T --group P --keys K [--check COMMIT_MESSAGE]   prepares, and says so when checked
                   serve                  JSON commands on standard input, JSON answers on standard output
                   produce-until --topic T --group G --stop FILE --acked FILE [--ready FILE] [--pause-ms N]
                   flow-control --topic T [--count N] [--threads N] [--tries N] [--body BYTES] [--quota MESSAGES_A_SECOND]
                   load --topic T [--threads N] [--body BYTES] [--rate N] [--warm-up-ms N] [--measured-ms N]
                   verify --topic T --group G --acked FILE [--timeout SECONDS]
            """;

    private Main() {}

    public static void main(String[] arguments) {
        int code = 1;
        try {
            code = carryOut(arguments);
        } catch (Throwable failed) {
            failed.printStackTrace();
        }
        // Clients leave threads behind that are no daemons.
        System.exit(code);
    }

    private static int carryOut(String[] arguments) throws Exception {
        String command = arguments.length == 0 ? "run" : arguments[0];
        List<String> rest = Arrays.asList(arguments).subList(Math.min(1, arguments.length), arguments.length);
        Settings settings = Settings.fromEnvironment();
        return switch (command) {
            case "run" -> new Runner(settings).run(chosen(rest));
            case "list" -> list();
            case "send" -> OneShot.send(settings, Options.of(rest));
            case "receive" -> OneShot.receive(settings, Options.of(rest));
            case "prepare" -> TransactionScenarios.prepare(settings, Options.of(rest));
            case "hold" -> OneShot.hold(settings, Options.of(rest));
            case "serve" -> new Serve(settings).run(System.in, System.out);
            case "produce-until" -> Restart.produceUntil(settings, Options.of(rest));
            case "flow-control" -> FlowControl.run(settings, Options.of(rest));
            case "load" -> Load.run(settings, Options.of(rest));
            case "verify" -> Restart.verify(settings, Options.of(rest));
            default -> {
                System.err.print(USAGE);
                yield 2;
            }
        };
    }

    private static List<Scenario> all() {
        return Stream.of(
                        RetryScenarios.all(),
                        OffsetScenarios.all(),
                        RebalanceScenarios.all(),
                        PopScenarios.all(),
                        PopApiScenarios.all(),
                        DelayScenarios.all(),
                        SendScenarios.all(),
                        ConsumeScenarios.all(),
                        FilterScenarios.all(),
                        TransactionScenarios.all(),
                        MessageScenarios.all(),
                        ReplyScenarios.all(),
                        NameScenarios.all(),
                        KindScenarios.all(),
                        TraceScenarios.all(),
                        AccessScenarios.all(),
                        ClockScenarios.all(),
                        PlaceScenarios.all())
                .flatMap(List::stream)
                .toList();
    }

    private static int list() {
        all().forEach(s -> System.out.println(s.name()));
        return 0;
    }

    private static List<Scenario> chosen(List<String> names) {
        List<Scenario> chosen = new ArrayList<>();
        for (Scenario scenario : all()) {
            boolean named = names.isEmpty() || names.stream().anyMatch(name -> matches(name, scenario.name()));
            if (named && says("ONLY", true, scenario) && !says("SKIP", false, scenario)) {
                chosen.add(scenario);
            }
        }
        for (String name : names) {
            if (all().stream().noneMatch(s -> matches(name, s.name()))) {
                System.err.println("no scenario is called " + name);
                System.exit(2);
            }
        }
        return chosen;
    }

    /** Whether that variable's regular expression is in the scenario's name. */
    private static boolean says(String variable, boolean unset, Scenario scenario) {
        String expression = System.getenv(variable);
        return expression == null || expression.isEmpty() ? unset : Pattern.compile(expression).matcher(scenario.name()).find();
    }

    private static boolean matches(String pattern, String name) {
        return pattern.endsWith("*") ? name.startsWith(pattern.substring(0, pattern.length() - 1)) : name.equals(pattern);
    }
}
