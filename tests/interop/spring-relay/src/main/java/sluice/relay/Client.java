package sluice.relay;

import java.lang.reflect.Type;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.messaging.MessageDeliveryException;
import org.springframework.messaging.converter.StringMessageConverter;
import org.springframework.messaging.simp.stomp.ReactorNettyTcpStompClient;
import org.springframework.messaging.simp.stomp.StompCommand;
import org.springframework.messaging.simp.stomp.StompFrameHandler;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompReactorNettyCodec;
import org.springframework.messaging.simp.stomp.StompSession;
import org.springframework.messaging.simp.stomp.StompSessionHandlerAdapter;
import org.springframework.messaging.tcp.reactor.ReactorNettyTcpClient;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.socket.WebSocketHttpHeaders;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.messaging.WebSocketStompClient;

/** Spring's own STOMP clients: of the application over WebSocket, and of the broker itself over TCP. */
final class Client implements AutoCloseable {
    static final long WAIT = 30;
    private static final ThreadPoolTaskScheduler SCHEDULER = new ThreadPoolTaskScheduler();

    static {
        SCHEDULER.setDaemon(true);
        SCHEDULER.initialize();
    }

    private final StompSession session;
    private final CompletableFuture<String> failed;

    private Client(StompSession session, CompletableFuture<String> failed) {
        this.session = session;
        this.failed = failed;
        session.setAutoReceipt(true);
    }

    /** A user of the application. */
    static Client of(ConfigurableApplicationContext app, String user) throws Exception {
        var client = new WebSocketStompClient(new StandardWebSocketClient());
        client.setMessageConverter(new StringMessageConverter());
        client.setTaskScheduler(SCHEDULER);
        client.setDefaultHeartbeat(new long[] {App.BEAT, App.BEAT});
        var headers = new WebSocketHttpHeaders();
        headers.set("x-user", user);
        var failed = new CompletableFuture<String>();
        var url = "ws://127.0.0.1:" + App.port(app) + "/chat";
        var session = client.connectAsync(url, headers, new Handler(failed)).get(WAIT, TimeUnit.SECONDS);
        return new Client(session, failed);
    }

    /** A client of the broker. */
    static Client direct(String login, String passcode) throws Exception {
        var client = new ReactorNettyTcpStompClient(
            new ReactorNettyTcpClient<>(App::tcp, new StompReactorNettyCodec()));
        client.setMessageConverter(new StringMessageConverter());
        client.setTaskScheduler(SCHEDULER);
        var headers = new StompHeaders();
        headers.setLogin(login);
        headers.setPasscode(passcode);
        var failed = new CompletableFuture<String>();
        var connecting = client.connectAsync(headers, new Handler(failed));
        failed.thenAccept(why -> connecting.completeExceptionally(new IllegalStateException(why)));
        return new Client(connecting.get(WAIT, TimeUnit.SECONDS), failed);
    }

    /** Resolves when the subscription stands at the broker. */
    Inbox subscribe(String destination, String... headers) throws Exception {
        var inbox = new Inbox();
        var all = new StompHeaders();
        all.setDestination(destination);
        for (int i = 0; i < headers.length; i += 2) {
            all.set(headers[i], headers[i + 1]);
        }
        await(session.subscribe(all, inbox));
        return inbox;
    }

    /** Resolves when the broker, or the application, has it. */
    void send(String destination, String body) throws Exception {
        await(session.send(destination, body));
    }

    /** To the application, which answers no receipts for what it handles itself. */
    void tell(String destination, String body) {
        session.setAutoReceipt(false);
        session.send(destination, body);
        session.setAutoReceipt(true);
    }

    private void await(StompSession.Receiptable sent) throws Exception {
        var received = new CompletableFuture<Void>();
        sent.addReceiptTask(() -> received.complete(null));
        sent.addReceiptLostTask(() -> received.completeExceptionally(new IllegalStateException("no receipt")));
        failed.thenAccept(why -> received.completeExceptionally(new IllegalStateException(why)));
        received.get(WAIT, TimeUnit.SECONDS);
    }

    String failure() throws Exception {
        return failed.get(WAIT, TimeUnit.SECONDS);
    }

    @Override
    public void close() {
        try {
            session.disconnect();
        } catch (MessageDeliveryException | IllegalStateException ended) {
            // After an ERROR there is nothing left to close.
        }
    }

    /** Messages in the order of their arrival. */
    static final class Inbox implements StompFrameHandler {
        private final BlockingQueue<String> bodies = new LinkedBlockingQueue<>();

        @Override
        public Type getPayloadType(StompHeaders headers) {
            return String.class;
        }

        @Override
        public void handleFrame(StompHeaders headers, Object payload) {
            bodies.add((String) payload);
        }

        String next() throws InterruptedException {
            return bodies.poll(WAIT, TimeUnit.SECONDS);
        }

        boolean isEmpty() {
            return bodies.isEmpty();
        }
    }

    private static final class Handler extends StompSessionHandlerAdapter {
        private final CompletableFuture<String> failed;

        Handler(CompletableFuture<String> failed) {
            this.failed = failed;
        }

        @Override
        public void handleFrame(StompHeaders headers, Object payload) {
            failed.complete(headers.getFirst("message")); // of an ERROR
        }

        @Override
        public void handleException(StompSession s, StompCommand c, StompHeaders h, byte[] p, Throwable error) {
            failed.complete(error.toString());
        }

        @Override
        public void handleTransportError(StompSession session, Throwable error) {
            failed.complete(error.toString());
        }
    }
}
