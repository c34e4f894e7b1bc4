package sluice.interop;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** {@code --name value} pairs of a command line. */
record Options(Map<String, List<String>> values) {
    static Options of(List<String> arguments) {
        Map<String, List<String>> values = new TreeMap<>();
        for (int i = 0; i < arguments.size(); i += 2) {
            String name = arguments.get(i);
            if (!name.startsWith("--") || i + 1 == arguments.size()) {
                throw new IllegalArgumentException("expected --name value, got " + name);
            }
            values.computeIfAbsent(name.substring(2), n -> new ArrayList<>()).add(arguments.get(i + 1));
        }
        return new Options(values);
    }

    String need(String name) {
        String value = get(name, null);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    String get(String name, String fallback) {
        List<String> all = values.get(name);
        return all == null ? fallback : all.get(all.size() - 1);
    }

    long number(String name, long fallback) {
        return Long.parseLong(get(name, Long.toString(fallback)));
    }

    List<String> all(String name) {
        return values.getOrDefault(name, List.of());
    }
}
