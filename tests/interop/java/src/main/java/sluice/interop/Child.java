package sluice.interop;

import java.io.BufferedReader;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** This program once more, in a process of its own: to be killed, or to run under other TLS settings. */
record Child(Process process) {
    static Child start(String... arguments) throws IOException {
        return start(List.of(), arguments);
    }

    static Child start(List<String> properties, String... arguments) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
        command.addAll(properties);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Main.class.getName()));
        command.addAll(List.of(arguments));
        return new Child(new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start());
    }

    void onLine(Consumer<String> action) {
        Thread reader = new Thread(() -> {
            try (BufferedReader lines = process.inputReader()) {
                lines.lines().forEach(action);
            } catch (IOException | java.io.UncheckedIOException ended) {
                // it was killed
            }
        });
        reader.setDaemon(true);
        reader.start();
    }

    void kill() {
        process.destroyForcibly();
    }
}
