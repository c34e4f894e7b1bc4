package example;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.springframework.stereotype.Component;

/** What the listeners have got, a line for each message, as it happens and in the end. */
@Component
public class Seen {
    private final List<String> lines = new CopyOnWriteArrayList<>();

    void add(String listener, Object what) {
        String line = listener + " got " + what;
        lines.add(line);
        System.out.println(line);
    }

    /** Waits until a listener has got that many. */
    void await(String listener, int count) throws InterruptedException {
        long end = System.nanoTime() + Duration.ofSeconds(90).toNanos();
        while (of(listener) < count) {
            if (System.nanoTime() > end) {
                throw new IllegalStateException(listener + " got " + of(listener) + " of " + count);
            }
            Thread.sleep(10);
        }
    }

    private long of(String listener) {
        return lines.stream().filter(line -> line.startsWith(listener + " got ")).count();
    }
}
