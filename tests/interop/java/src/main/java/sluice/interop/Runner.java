package sluice.interop;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;

/** Runs scenarios side by side, those with the longest limits first, and prints one line for each as it ends. */
final class Runner {
    private final Settings settings;
    private final AtomicInteger passed = new AtomicInteger();
    private final AtomicInteger failed = new AtomicInteger();
    private final AtomicInteger skipped = new AtomicInteger();
    private final ExecutorService bodies = Executors.newCachedThreadPool();

    Runner(Settings settings) {
        this.settings = settings;
    }

    /** The process's exit code. */
    int run(List<Scenario> scenarios) throws InterruptedException {
        ExecutorService lanes = Executors.newFixedThreadPool(settings.parallel());
        Map<String, Future<?>> runs = new LinkedHashMap<>();
        scenarios.stream()
                .sorted(Comparator.comparing(Scenario::limit).reversed())
                .forEach(s -> runs.put(s.name(), lanes.submit(() -> runOne(s))));
        lanes.shutdown();
        if (!lanes.awaitTermination(settings.total().toMillis(), TimeUnit.MILLISECONDS)) {
            List<String> unfinished = new ArrayList<>();
            runs.forEach((name, run) -> {
                if (!run.isDone()) {
                    unfinished.add(name);
                }
            });
            unfinished.forEach(name -> report(failed, "FAIL " + name + " not done when the whole run's "
                    + settings.total().toSeconds() + " s were over"));
        }
        System.out.printf("%d passed, %d failed, %d skipped%n", passed.get(), failed.get(), skipped.get());
        return failed.get() == 0 && passed.get() > 0 ? 0 : 1;
    }

    private void runOne(Scenario scenario) {
        String reason = scenario.skipReason().apply(settings);
        if (reason != null) {
            report(skipped, "skip " + scenario.name() + " " + reason);
            return;
        }
        long start = System.nanoTime();
        Lab lab = new Lab(settings, scenario.name());
        Future<?> body = bodies.submit(() -> {
            scenario.body().run(lab);
            return null;
        });
        try {
            body.get(scenario.limit().toMillis(), TimeUnit.MILLISECONDS);
            long millis = (System.nanoTime() - start) / 1_000_000;
            report(passed, String.format("ok %s (%.1f s)", scenario.name(), millis / 1000.0));
        } catch (ExecutionException e) {
            report(failed, "FAIL " + scenario.name() + " " + describe(e.getCause()));
        } catch (TimeoutException e) {
            body.cancel(true);
            report(failed, "FAIL " + scenario.name() + " not done within " + scenario.limit().toSeconds() + " s");
        } catch (InterruptedException e) {
            body.cancel(true);
        } finally {
            lab.close();
        }
    }

    private static synchronized void report(AtomicInteger counter, String line) {
        counter.incrementAndGet();
        System.out.println(line);
        System.out.flush();
    }

    private static String describe(Throwable error) {
        if (error instanceof Check.Failed) {
            return where(error) + error.getMessage();
        }
        if (System.getenv("TRACE") != null) {
            StringWriter text = new StringWriter();
            error.printStackTrace(new PrintWriter(text));
            return text.toString();
        }
        String words = String.valueOf(error.getMessage()).lines().findFirst().orElse("");
        return where(error) + error.getClass().getSimpleName() + ": " + words;
    }

    /** The scenario's own line that did not hold. */
    private static String where(Throwable error) {
        for (StackTraceElement element : error.getStackTrace()) {
            if (element.getClassName().endsWith("Scenarios")) {
                return "[" + element.getFileName() + ":" + element.getLineNumber() + "] ";
            }
        }
        return "";
    }
}
