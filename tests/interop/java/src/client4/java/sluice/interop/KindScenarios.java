package sluice.interop;

import java.util.List;

/** Clients of 4.x know topics without attributes. The twin in client5 makes topics for one kind of message. */
final class KindScenarios {
    private KindScenarios() {}

    static List<Scenario> all() {
        return List.of();
    }
}
