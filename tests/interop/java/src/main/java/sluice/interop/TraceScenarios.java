package sluice.interop;

import static sluice.interop.Lab.SOON;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;

/** What producers and consumers tell of each message when they are asked to, in the topic where tools look for it. */
final class TraceScenarios {
    private static final String TRACES = "RMQ_SYS_TRACE_TOPIC";

    /** Records in a body end with this, their fields with the one before. */
    private static final String END_OF_RECORD = "\u0002";
    private static final String END_OF_FIELD = "\u0001";

    private TraceScenarios() {}

    static List<Scenario> all() {
        return List.of(Scenario.of("trace-of-clients", TraceScenarios::ofClients));
    }

    private static void ofClients(Lab lab) throws Exception {
        String topic = lab.topic();
        String group = lab.group();
        DefaultMQProducer producer = lab.clients.tracedProducer(lab.group());
        producer.start();
        SendResult sent = producer.send(Lab.message(topic, "k"));
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = lab.clients.tracedPushConsumer(group);
        consumer.subscribe(topic, "*");
        inbox.collect(consumer, "only");
        consumer.start();
        inbox.awaitKey("k", SOON);
        Inbox traces = lab.consume(TRACES);
        Set<String> told = new TreeSet<>();
        Check.until(SOON, "what the producer and the consumer tell of the message", () -> {
            for (Inbox.Received received : traces.all()) {
                for (String record : received.text().split(END_OF_RECORD)) {
                    if (record.contains(END_OF_FIELD + sent.getMsgId() + END_OF_FIELD)) {
                        told.add(record.substring(0, record.indexOf(END_OF_FIELD)));
                    }
                }
            }
            return told.containsAll(Set.of("Pub", "SubBefore", "SubAfter"));
        });
    }
}
