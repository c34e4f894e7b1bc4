package sluice.kafka;

import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.security.auth.callback.Callback;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerTokenCallback;

/** Gives the client a token that somebody else has made. */
public class Token implements AuthenticateCallbackHandler {
    /** One whose signature is wrong. */
    public static final class Forged extends Token {
        @Override
        String text() {
            String right = super.text();
            return right.substring(0, right.length() - 8) + "AAAAAAAA";
        }
    }

    String text() {
        return System.getenv("BEARER");
    }

    @Override
    public void configure(Map<String, ?> settings, String mechanism, List<AppConfigurationEntry> entries) {}

    @Override
    public void close() {}

    @Override
    public void handle(Callback[] callbacks) {
        for (Callback callback : callbacks) {
            if (callback instanceof OAuthBearerTokenCallback asked) {
                asked.token(new OAuthBearerToken() {
                    @Override
                    public String value() {
                        return text();
                    }

                    @Override
                    public Set<String> scope() {
                        return Set.of();
                    }

                    @Override
                    public long lifetimeMs() {
                        return System.currentTimeMillis() + 600_000;
                    }

                    @Override
                    public String principalName() {
                        return System.getenv("ACL_USER");
                    }

                    @Override
                    public Long startTimeMs() {
                        return System.currentTimeMillis();
                    }
                });
            }
        }
    }
}
