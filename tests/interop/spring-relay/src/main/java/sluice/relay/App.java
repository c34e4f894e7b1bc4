package sluice.relay;

import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import java.io.File;
import java.security.Principal;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLException;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.web.servlet.context.ServletWebServerApplicationContext;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.event.EventListener;
import org.springframework.http.server.ServerHttpRequest;
import org.springframework.messaging.handler.annotation.MessageMapping;
import org.springframework.messaging.handler.annotation.SendTo;
import org.springframework.messaging.simp.annotation.SendToUser;
import org.springframework.messaging.simp.broker.BrokerAvailabilityEvent;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.messaging.simp.stomp.StompReactorNettyCodec;
import org.springframework.messaging.tcp.reactor.ReactorNettyTcpClient;
import org.springframework.stereotype.Controller;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import org.springframework.web.socket.server.support.DefaultHandshakeHandler;
import reactor.netty.tcp.TcpClient;

/** A chat application as Spring's guide builds one, whose messages go through a Sluice. */
@SpringBootApplication
@EnableWebSocketMessageBroker
public class App implements WebSocketMessageBrokerConfigurer {
    static final String HOST = Environment.address()[0];
    static final int PORT = Integer.parseInt(Environment.address()[1]);

    /** Milliseconds between signs of life; the broker gives up who is quiet for two of them. */
    static final int BEAT = 3000;

    final AtomicInteger found = new AtomicInteger();
    final AtomicInteger lost = new AtomicInteger();

    /** One more instance of the application, on a port of its own. */
    static ConfigurableApplicationContext start() {
        Map<String, Object> settings = Map.of("server.port", "0", "server.address", "127.0.0.1",
            "spring.main.banner-mode", "off", "logging.level.root", "OFF", "spring.jmx.enabled", "false");
        return new SpringApplicationBuilder(App.class).properties(settings).run();
    }

    static int port(ConfigurableApplicationContext app) {
        return ((ServletWebServerApplicationContext) app).getWebServer().getPort();
    }

    @Override
    public void configureMessageBroker(MessageBrokerRegistry registry) {
        registry.setApplicationDestinationPrefixes("/app");
        var relay = registry.enableStompBrokerRelay("/topic/", "/queue/")
            .setTcpClient(new ReactorNettyTcpClient<>(App::tcp, new StompReactorNettyCodec()))
            .setSystemHeartbeatSendInterval(BEAT)
            .setSystemHeartbeatReceiveInterval(BEAT)
            // Instances find each other's users through the broker.
            .setUserDestinationBroadcast("/topic/unresolved-user-destination")
            .setUserRegistryBroadcast("/topic/simp-user-registry");
        if (Environment.LOGIN != null) {
            relay.setSystemLogin(Environment.LOGIN).setSystemPasscode(Environment.PASSCODE);
            relay.setClientLogin(Environment.LOGIN).setClientPasscode(Environment.PASSCODE);
        }
    }

    static TcpClient tcp(TcpClient client) {
        TcpClient there = client.host(HOST).port(PORT);
        if (!Environment.TLS) {
            return there;
        }
        try {
            SslContext trusting = SslContextBuilder.forClient().trustManager(new File(Environment.TLS_CA)).build();
            return there.secure(spec -> spec.sslContext(trusting));
        } catch (SSLException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public void registerStompEndpoints(StompEndpointRegistry registry) {
        registry.addEndpoint("/chat").setHandshakeHandler(new DefaultHandshakeHandler() {
            @Override
            protected Principal determineUser(ServerHttpRequest request, WebSocketHandler h, Map<String, Object> a) {
                String name = request.getHeaders().getFirst("x-user");
                return () -> name;
            }
        });
    }

    @EventListener
    public void availability(BrokerAvailabilityEvent event) {
        (event.isBrokerAvailable() ? found : lost).incrementAndGet();
    }

    @Controller
    static class Chat {
        @MessageMapping("/shout")
        @SendTo("/topic/news")
        String shout(String text, Principal user) {
            return user.getName() + ": " + text;
        }

        @MessageMapping("/ask")
        @SendToUser("/queue/answers")
        String ask(String text, Principal user) {
            return text + ", " + user.getName() + "?";
        }
    }
}
