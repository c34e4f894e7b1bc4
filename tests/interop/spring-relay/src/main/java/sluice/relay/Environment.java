package sluice.relay;

/** What the suite is told from outside. */
final class Environment {
    static final boolean TLS = "1".equals(System.getenv("TLS"));
    static final String TLS_CA = System.getenv("TLS_CA");
    static final String LOGIN = System.getenv("STOMP_LOGIN");
    static final String PASSCODE = System.getenv("STOMP_PASSCODE");

    private Environment() {
    }

    static String[] address() {
        String address = System.getenv("STOMP_ADDR");
        int colon = address.lastIndexOf(':');
        return new String[] {address.substring(0, colon), address.substring(colon + 1)};
    }
}
