package sluice.mqadmin;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import org.apache.commons.cli.CommandLine;
import org.apache.commons.cli.DefaultParser;
import org.apache.commons.cli.Options;
import org.apache.rocketmq.acl.common.AclUtils;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.srvutil.ServerUtil;
import org.apache.rocketmq.tools.command.MQAdminStartup;
import org.apache.rocketmq.tools.command.SubCommand;

/**
 * The stock tool without a JVM for each command: the tool's own commands, started as its {@code main0} does it. Ending a
 * command takes its client up to three seconds of sleep, so they run side by side, and what each prints is told apart by
 * the thread that prints it.
 */
final class Tool extends MQAdminStartup {
    /** Where some commands write to. */
    static final Path HOME = Path.of(System.getProperty("rocketmq.home.dir"));

    /** A command names its client after the millisecond in which it starts. */
    private static final Duration APART = Duration.ofMillis(20);

    /** What a command says, before it does anything, whose client's name another one has. */
    private static final String NAME_TAKEN = "has created already, specified another name";

    /** A stack trace that is no part of a thread dump. */
    private static final Pattern FAILURE = Pattern.compile("^(Caused by: )?[\\w.]+(Exception|Error): ", Pattern.MULTILINE);

    private static final boolean SHOW = "1".equals(System.getenv("SHOW"));
    private static final PrintStream OUT = System.out;
    private static final ThreadLocal<PrintStream> CAPTURED = new ThreadLocal<>();

    private final Path secretFile;

    static {
        PrintStream router = new PrintStream(new Router(), true, StandardCharsets.UTF_8);
        System.setOut(router);
        System.setErr(router);
    }

    /** A tool with a secret file of its own. */
    Tool() throws IOException {
        secretFile = Files.createTempFile(HOME, "tools", ".yml");
        sign(System.getenv("ACL_USER"), System.getenv("ACL_SECRET"));
    }

    /** Whose secret the file has from now on; no file without a key. */
    void sign(String accessKey, String secret) throws IOException {
        Files.deleteIfExists(secretFile);
        if (accessKey != null) {
            Files.writeString(secretFile, "accessKey: " + accessKey + "\nsecretKey: " + secret + "\n");
        }
    }

    /** What the tool's commands sign with. */
    RPCHook hook() {
        return AclUtils.getAclRPCHook(secretFile.toString());
    }

    /** The names of all commands. */
    static List<String> commands() {
        synchronized (SUB_COMMANDS) {
            SUB_COMMANDS.clear();
            initCommand();
            return SUB_COMMANDS.stream().map(SubCommand::commandName).toList();
        }
    }

    /** Runs a command that never ends until it has printed this. */
    void runUntil(String command, String pattern) throws Exception {
        String[] words = command.split(" +");
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Pattern wanted = Pattern.compile(pattern, Pattern.MULTILINE);
        Thread runs = new Thread(() -> {
            try (PrintStream captured = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
                CAPTURED.set(captured);
                execute(fresh(words[0]), Arrays.copyOfRange(words, 1, words.length));
            } catch (Exception error) {
                error.printStackTrace(new PrintStream(bytes, true, StandardCharsets.UTF_8));
            }
        });
        runs.setDaemon(true);
        runs.start();
        Stage.eventually(() -> Stage.that(wanted.matcher(bytes.toString(StandardCharsets.UTF_8)).find(), command + " printed:\n" + bytes));
    }

    /** Runs a command, words separated by blanks; again when another one started in the same millisecond after all. */
    Printed run(String command) {
        Printed printed = once(command);
        for (int again = 0; again < 3 && printed.text().contains(NAME_TAKEN); again++) {
            printed = once(command);
        }
        return printed;
    }

    private Printed once(String command) {
        String[] words = command.split(" +");
        long start = System.nanoTime();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (PrintStream captured = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
            CAPTURED.set(captured);
            execute(fresh(words[0]), Arrays.copyOfRange(words, 1, words.length));
        } catch (Exception error) {
            error.printStackTrace(new PrintStream(bytes, true, StandardCharsets.UTF_8));
        } finally {
            CAPTURED.remove();
        }
        Printed printed = new Printed(command, bytes.toString(StandardCharsets.UTF_8));
        if (SHOW) {
            OUT.printf("--- %s (%d ms)%n%s%n", command, (System.nanoTime() - start) / 1_000_000, printed.text());
        }
        return printed;
    }

    private void execute(SubCommand command, String[] arguments) throws Exception {
        Options options = command.buildCommandlineOptions(ServerUtil.buildCommandlineOptions(new Options()));
        CommandLine line =
                ServerUtil.parseCmdLine("mqadmin " + command.commandName(), arguments, options, new DefaultParser());
        if (line != null) {
            command.execute(line, options, AclUtils.getAclRPCHook(secretFile.toString()));
        }
    }

    /** A command that has not run yet: it keeps its client, which starts only once. */
    private static SubCommand fresh(String name) throws InterruptedException {
        synchronized (SUB_COMMANDS) {
            Thread.sleep(APART.toMillis());
            SUB_COMMANDS.clear();
            initCommand();
            return SUB_COMMANDS.stream()
                    .filter(command -> command.commandName().equalsIgnoreCase(name))
                    .findFirst()
                    .orElseThrow(() -> new AssertionError("there is no command " + name));
        }
    }

    /** Sends what a thread prints to where its command's output goes. */
    private static final class Router extends OutputStream {
        @Override
        public void write(int b) {
            to().write(b);
        }

        @Override
        public void write(byte[] bytes, int from, int count) {
            to().write(bytes, from, count);
        }

        private static PrintStream to() {
            PrintStream captured = CAPTURED.get();
            return captured == null ? OUT : captured;
        }
    }

    /** What a command has printed. */
    record Printed(String command, String text) {
        /** It must have printed these, and no stack trace. */
        Printed has(String... expressions) {
            for (String expression : expressions) {
                if (!Pattern.compile(expression, Pattern.MULTILINE).matcher(text).find()) {
                    throw new AssertionError(command + ": no \"" + expression + "\" in:\n" + text);
                }
            }
            if (FAILURE.matcher(text).find()) {
                throw new AssertionError(command + " failed:\n" + text);
            }
            return this;
        }

        Printed hasNot(String expression) {
            if (Pattern.compile(expression, Pattern.MULTILINE).matcher(text).find()) {
                throw new AssertionError(command + ": \"" + expression + "\" in:\n" + text);
            }
            return this;
        }

        /** It must have failed with this code of the broker's, and with these words. */
        void refused(int code, String... expressions) {
            List<String> all = new ArrayList<>(List.of("CODE: " + code + "\\b"));
            all.addAll(List.of(expressions));
            for (String expression : all) {
                if (!Pattern.compile(expression, Pattern.MULTILINE).matcher(text).find()) {
                    throw new AssertionError(command + ": no \"" + expression + "\" in:\n" + text);
                }
            }
        }

        /** The first group of the first match. */
        String find(String expression) {
            var matcher = Pattern.compile(expression, Pattern.MULTILINE).matcher(text);
            if (!matcher.find()) {
                throw new AssertionError(command + ": no \"" + expression + "\" in:\n" + text);
            }
            return matcher.group(1);
        }
    }
}
