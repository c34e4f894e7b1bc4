package sluice.mqadmin;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** Topics. */
final class Topics {
    private final Stage stage;
    private final Tool tool;

    Topics(Stage stage) {
        this.stage = stage;
        this.tool = stage.tool;
    }

    Map<String, Main.Body> checks() {
        Map<String, Main.Body> checks = new LinkedHashMap<>();
        checks.put("topic-life", this::life);
        checks.put("topic-list-of-several", this::several);
        checks.put("topic-perm", this::perm);
        checks.put("topic-where", this::where);
        checks.put("topic-status", this::status);
        checks.put("topic-order", this::order);
        checks.put("topic-units", this::units);
        checks.put("topic-kinds", this::kinds);
        checks.put("topic-refusals", this::refusals);
        checks.put("stats-all", this::statsAll);
        return checks;
    }

    private void life() {
        String topic = stage.name("t");
        String to = "create topic to " + stage.address + " success";
        tool.run("updateTopic -c " + stage.cluster + " -t " + topic + " -r 2 -w 2 -a +message.type=FIFO").has(to);
        tool.run("topicList").has("^" + topic + "$");
        tool.run("updateTopic -b " + stage.address + " -t " + topic + " -r 4 -w 4").has(to);
        tool.run("topicRoute -t " + topic + " -l").has(stage.broker + " +.*" + stage.address + ".* 4 +4 +6");
        tool.run("deleteTopic -c " + stage.cluster + " -t " + topic)
                .has("delete topic \\[" + topic + "\\] from cluster", "delete topic \\[" + topic + "\\] from NameServer success");
        tool.run("topicList").hasNot("^" + topic + "$");
        tool.run("topicRoute -t " + topic).refused(17, "No topic route info");
    }

    private void several() throws Exception {
        String first = stage.name("t");
        String second = stage.name("t");
        String one = "{\"topicName\":\"%s\",\"readQueueNums\":3,\"writeQueueNums\":3,\"perm\":6}";
        Path file = Tool.HOME.resolve("topics.json");
        Files.writeString(file, "[" + String.format(one, first) + "," + String.format(one, second) + "]");
        tool.run("updateTopicList -b " + stage.address + " -f " + file).has("success");
        tool.run("topicRoute -t " + second + " -l").has(" 3 +3 +6");
        tool.run("topicList -c").has(stage.cluster + " +" + first);
    }

    private void perm() {
        String topic = stage.topic();
        tool.run("updateTopicPerm -c " + stage.cluster + " -t " + topic + " -p 4").has("update topic perm from 6 to 4 in " + stage.address);
        tool.run("topicRoute -t " + topic + " -l").has(" 1 +1 +4");
        tool.run("updateTopicPerm -b " + stage.address + " -t " + topic + " -p 6").has("update topic perm from 4 to 6");
    }

    private void where() {
        String topic = stage.topic();
        tool.run("topicRoute -t " + topic).has("\"brokerAddrs\"", stage.address, "\"writeQueueNums\": ?1");
        tool.run("topicClusterList -t " + topic).has("^" + stage.cluster + "$");
        tool.run("allocateMQ -t " + topic + " -i 10.0.0.1,10.0.0.2").has("10\\.0\\.0\\.1", "\"queueId\": ?0");
    }

    private void status() throws Exception {
        String topic = stage.topic();
        stage.send(topic, "a", "b");
        tool.run("topicStatus -t " + topic)
                .has("^" + stage.broker + " +0 +0 +2 +20\\d\\d-\\d\\d-\\d\\d");
    }

    private void order() {
        String topic = stage.topic();
        String order = stage.broker + ":1";
        tool.run("updateOrderConf -t " + topic + " -m put -v " + order).has("update orderConf success");
        tool.run("updateOrderConf -t " + topic + " -m get").has("orderConf=\\[" + order + "\\]");
        tool.run("updateOrderConf -t " + topic + " -m delete").has("delete orderConf success");
        tool.run("updateOrderConf -t " + topic + " -m get").refused(22, "No config item");
        String ordered = stage.name("t");
        tool.run("updateTopic -c " + stage.cluster + " -t " + ordered + " -r 2 -w 2 -o true").has("set cluster orderConf. isOrder=true");
        tool.run("topicRoute -t " + ordered).has("\"orderTopicConf\": ?\"" + stage.broker + ":2\"");
    }

    private void units() {
        String topic = stage.name("t");
        String update = "updateTopic -c " + stage.cluster + " -r 1 -w 1 -t " + topic;
        tool.run(update + " -u true -s true").has("create topic to \\S+ success");
        tool.run("topicRoute -t " + topic).has("\"topicSysFlag\": ?3");
        tool.run(update + " -s true").has("create topic to \\S+ success");
        tool.run("topicRoute -t " + topic).has("\"topicSysFlag\": ?2");
    }

    private void kinds() {
        String topic = stage.name("t");
        tool.run("updateTopic -c " + stage.cluster + " -r 1 -w 1 -t " + topic + " -a +message.type=TRANSACTION")
                .has("create topic to \\S+ success");
        tool.run("sendMessage -t " + topic + " -p hello").refused(1, "takes only Transaction messages, not Normal");
        tool.run("updateTopic -c " + stage.cluster + " -r 1 -w 1 -t " + topic + " -a -message.type")
                .has("create topic to \\S+ success");
        tool.run("sendMessage -t " + topic + " -p hello").has("SEND_OK");
    }

    private void refusals() {
        String create = "updateTopic -c " + stage.cluster + " -r 1 -w 1 -t ";
        tool.run(create + "TBW102").refused(29, "conflict with system topic");
        tool.run(create + stage.name("t") + " -a +queue.type=BatchCQ").refused(1, "queue.type");
        tool.run("topicStatus -t " + stage.name("unknown")).refused(17);
    }

    private void statsAll() throws Exception {
        String topic = stage.topic();
        stage.send(topic, "a");
        tool.run("statsAll -t " + topic).has("#InMsg24Hour", "^" + topic + " ");
    }
}
