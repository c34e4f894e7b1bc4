package sluice.connect;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.source.SourceConnector;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTask;

/** The lines of a file, from where the worker remembers to have been. */
public final class LinesSource extends SourceConnector {
    static final ConfigDef SETTINGS = new ConfigDef()
        .define("file", ConfigDef.Type.STRING, ConfigDef.Importance.HIGH, "where the lines are")
        .define("topic", ConfigDef.Type.STRING, ConfigDef.Importance.HIGH, "where they go");

    private Map<String, String> settings;

    @Override
    public void start(Map<String, String> settings) {
        this.settings = settings;
    }

    @Override
    public Class<? extends Task> taskClass() {
        return Lines.class;
    }

    @Override
    public List<Map<String, String>> taskConfigs(int most) {
        return List.of(settings);
    }

    @Override
    public void stop() {}

    @Override
    public ConfigDef config() {
        return SETTINGS;
    }

    @Override
    public String version() {
        return "1";
    }

    /** The one task. */
    public static final class Lines extends SourceTask {
        private static final int AT_ONCE = 50;
        private Path file;
        private String topic;
        private int next;

        @Override
        public void start(Map<String, String> settings) {
            file = Path.of(settings.get("file"));
            topic = settings.get("topic");
            Map<String, Object> place = context.offsetStorageReader().offset(Map.of("file", file.toString()));
            next = place == null ? 0 : ((Long) place.get("line")).intValue();
        }

        @Override
        public List<SourceRecord> poll() throws InterruptedException {
            List<String> lines;
            try {
                lines = Files.readAllLines(file);
            } catch (IOException error) {
                throw new ConnectException(error);
            }
            List<SourceRecord> records = new ArrayList<>();
            for (; next < lines.size() && records.size() < AT_ONCE; next++) {
                records.add(new SourceRecord(Map.of("file", file.toString()), Map.of("line", next + 1L), topic,
                    Schema.STRING_SCHEMA, lines.get(next)));
            }
            if (records.isEmpty()) {
                Thread.sleep(20);
            }
            return records;
        }

        @Override
        public void stop() {}

        @Override
        public String version() {
            return "1";
        }
    }
}
