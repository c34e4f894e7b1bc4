package sluice.interop;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;

/**
 * The clock of a broker that was started to have it set: that of the machine and so many seconds, which a file says. What
 * the broker measures durations with is not set, and this process's clock is not either.
 */
final class Clock {
    private static final long SECOND = 1_000;

    private final Path file;
    private volatile long ahead;

    Clock(Path file) throws IOException {
        this.file = file;
        this.ahead = Long.parseLong(Files.readString(file).strip());
    }

    long now() {
        return System.currentTimeMillis() + ahead * SECOND;
    }

    /** Sets it so that it is that late at least, and not much later. */
    void reach(long millis) throws IOException {
        forward(Math.max(0, millis - now() + SECOND - 1));
    }

    /** Sets it so that it is that late at most, and not much earlier, unless it is later already. */
    void approach(long millis) throws IOException {
        forward(Math.max(0, millis - now()));
    }

    void forward(Duration by) throws IOException {
        forward(by.toMillis());
    }

    private void forward(long millis) throws IOException {
        // First here: what comes at once must not seem to come early.
        ahead += millis / SECOND;
        Path next = file.resolveSibling(file.getFileName() + ".new");
        Files.writeString(next, "+" + ahead + "\n");
        Files.move(next, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    }
}
