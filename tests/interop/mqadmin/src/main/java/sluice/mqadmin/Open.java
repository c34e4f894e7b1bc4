package sluice.mqadmin;

import java.util.LinkedHashMap;
import java.util.Map;

/** Users where everybody may do everything. */
final class Open {
    private final Stage stage;

    Open(Stage stage) {
        this.stage = stage;
    }

    Map<String, Main.Body> checks() {
        Map<String, Main.Body> checks = new LinkedHashMap<>();
        checks.put("no-users", () -> stage.tool
                .run("createUser -b " + stage.address + " -u alice -p secret123 -t Normal")
                .refused(1, "there are no users in auth.mode=open"));
        return checks;
    }
}
