package sluice.mqadmin;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.rocketmq.client.producer.SendResult;

/** Messages. */
final class Messages {
    private final Stage stage;
    private final Tool tool;

    Messages(Stage stage) {
        this.stage = stage;
        this.tool = stage.tool;
    }

    Map<String, Main.Body> checks() {
        Map<String, Main.Body> checks = new LinkedHashMap<>();
        checks.put("send-message", this::send);
        checks.put("consume-message", this::consume);
        checks.put("print-messages", this::print);
        checks.put("query-by-id", this::byId);
        checks.put("query-by-offset", this::byOffset);
        checks.put("query-by-key", this::byKey);
        checks.put("query-by-unique-key", this::byUniqueKey);
        checks.put("query-trace", this::trace);
        checks.put("query-trace-refused", this::traceOfTheRefused);
        checks.put("send-time", this::sendTime);
        return checks;
    }

    private void send() {
        String topic = stage.topic();
        tool.run("sendMessage -t " + topic + " -p hello -k k1 -c TagA").has("^" + stage.broker + " +0 +SEND_OK +[0-9A-F]{32}");
        tool.run("sendMessage -t " + topic + " -p there -b " + stage.broker + " -i 0").has("SEND_OK");
        tool.run("topicStatus -t " + topic).has("^" + stage.broker + " +0 +0 +2 ");
    }

    private void consume() throws Exception {
        String topic = stage.topic();
        stage.send(topic, "first", "second");
        tool.run("consumeMessage -t " + topic + " -b " + stage.broker + " -i 0 -o 0 -c 2 -g " + stage.name("g"))
                .has("BODY: first", "BODY: second");
        tool.run("consumeMessage -t " + topic + " -c 8").has("BODY: first");
    }

    private void print() throws Exception {
        String topic = stage.topic();
        stage.send(topic, "first", "second");
        tool.run("printMsg -t " + topic + " -d true").has("minOffset=0, maxOffset=2", "BODY: first", "BODY: second");
        tool.run("printMsg -t " + topic + " -d true -s tag-second").has("BODY: second").hasNot("BODY: first");
        tool.run("printMsgByQueue -t " + topic + " -a " + stage.broker + " -i 0 -p true -d true -f true")
                .has("BODY: first", "Tag: tag-first +Count: 1");
    }

    private void byId() throws Exception {
        String topic = stage.topic();
        SendResult sent = stage.send(topic, "findme").get(0);
        tool.run("queryMsgById -t " + topic + " -i " + sent.getOffsetMsgId())
                .has("^OffsetID: +" + sent.getOffsetMsgId(), "^Tags: +\\[tag-findme\\]", "^Keys: +\\[key-findme\\]", "^Queue Offset: +0$");
    }

    private void byOffset() throws Exception {
        String topic = stage.topic();
        List<SendResult> sent = stage.send(topic, "first", "second");
        tool.run("queryMsgByOffset -t " + topic + " -b " + stage.broker + " -i 0 -o 1")
                .has("^OffsetID: +" + sent.get(1).getOffsetMsgId(), "^Keys: +\\[key-second\\]");
    }

    private void byKey() throws Exception {
        String topic = stage.topic();
        List<SendResult> sent = stage.send(topic, "same", "other", "same");
        tool.run("queryMsgByKey -t " + topic + " -k key-same")
                .has("^" + sent.get(0).getMsgId() + " +0 +0 ", "^" + sent.get(2).getMsgId() + " +0 +2 ")
                .hasNot(sent.get(1).getMsgId());
        tool.run("queryMsgByKey -t " + topic + " -k key-same -m 1").has(sent.get(2).getMsgId()).hasNot(sent.get(0).getMsgId());
        tool.run("queryMsgByKey -t " + topic + " -k key-same -b 1 -e 2").refused(208, "query message by key finished, but no message");
        tool.run("queryMsgByKey -t " + topic + " -k nothing").refused(208);
        tool.run("queryMsgByKey -t " + topic + " -p T -k tag-same")
                .has("^" + sent.get(0).getMsgId() + " +0 +0 ", "^" + sent.get(2).getMsgId() + " +0 +2 ")
                .hasNot(sent.get(1).getMsgId());
        // The last column of what was seen leads on to what came before it.
        Matcher last = Pattern.compile("^" + sent.get(2).getMsgId() + " .* (\\S+@\\d+) *$", Pattern.MULTILINE)
                .matcher(tool.run("queryMsgByKey -t " + topic + " -p T -k tag-same -m 1").text());
        Stage.that(last.find(), "there is no index key");
        tool.run("queryMsgByKey -t " + topic + " -p T -k tag-same -m 1 -l " + last.group(1))
                .has("^" + sent.get(0).getMsgId() + " ").hasNot(sent.get(2).getMsgId());
    }

    private void byUniqueKey() throws Exception {
        String topic = stage.topic();
        SendResult sent = stage.send(topic, "first", "second").get(1);
        tool.run("queryMsgByUniqueKey -t " + topic + " -i " + sent.getMsgId())
                .has("^Topic: +" + topic, "^Tags: +\\[tag-second\\]", "^Keys: +\\[key-second\\]", "^Queue Offset: +1$");
    }

    private void trace() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        SendResult sent = stage.send(topic, "traced").get(0);
        List<String> received = new CopyOnWriteArrayList<>();
        stage.consumer(group, topic, "*", received);
        Stage.eventually(() -> tool.run("queryMsgTraceById -i " + sent.getMsgId())
                .has("^Pub +remoting\\S* +\\S+ +\\d{4}-\\d\\d-\\d\\d .* \\d+ms +success", "^Sub +" + group + " .* success"));
        // The client's own trace comes with the broker's.
        SendResult twice = stage.sendTraced(topic, "twice");
        Stage.eventually(() -> tool.run("queryMsgTraceById -i " + twice.getMsgId())
                .has("^Pub +remoting\\S* .* success", "^Pub +it-mqadmin-traced\\S* .* success"));
    }

    /** A message that is refused, comes again after its ten seconds, is refused and is a dead letter then. */
    private void traceOfTheRefused() throws Exception {
        String topic = stage.topic();
        String group = stage.name("g");
        SendResult sent = stage.send(topic, "refused").get(0);
        List<String> refused = new CopyOnWriteArrayList<>();
        stage.refusing(group, topic, 1, refused);
        Stage.eventually(() -> Stage.that(refused.size() == 2, "refused " + refused));
        String sub = "^Sub +" + group + " .* failed";
        Stage.eventually(() -> tool.run("queryMsgTraceById -i " + sent.getMsgId())
                .has("^Pub +remoting", sub + "[^#]*" + sub).hasNot("^Sub +" + group + " .* success"));
        Stage.eventually(() -> tool.run("consumeMessage -t %DLQ%" + group).has("refused"));
    }

    private void sendTime() {
        tool.run("checkMsgSendRT -t " + stage.topic() + " -a 4 -s 16").has("^Avg RT: \\d+\\.\\d\\d", "true");
    }
}
