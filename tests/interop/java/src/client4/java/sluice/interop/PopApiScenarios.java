package sluice.interop;

import java.util.List;

/** Clients of 4.x know nothing of POP. The twin in client5 asks with the client's own API. */
final class PopApiScenarios {
    private PopApiScenarios() {}

    static List<Scenario> all() {
        return List.of();
    }
}
