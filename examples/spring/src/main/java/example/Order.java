package example;

/** What travels as JSON, in both directions. */
public record Order(int number, String item, int amount) {}
