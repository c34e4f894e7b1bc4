package sluice.mqadmin;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The broker, the name server, exports, and what one node does not have. */
final class Cluster {
    private final Stage stage;
    private final Tool tool;

    Cluster(Stage stage) {
        this.stage = stage;
        this.tool = stage.tool;
    }

    Map<String, Main.Body> checks() {
        Map<String, Main.Body> checks = new LinkedHashMap<>();
        checks.put("cluster-list", this::list);
        checks.put("broker-status", this::status);
        checks.put("broker-config", this::brokerConfig);
        checks.put("nothing-to-clean", this::clean);
        checks.put("send-msg-status", this::sendMsgStatus);
        checks.put("name-server-config", this::nameServerConfig);
        checks.put("kv-config", this::kvConfig);
        checks.put("exports", this::exports);
        checks.put("refused-by-name", this::refused);
        checks.put("every-command", this::everyCommand);
        checks.put("cluster-rt", this::clusterRt);
        return checks;
    }

    private void list() {
        String row = stage.cluster + " +" + stage.broker + " +0 +" + stage.address;
        tool.run("clusterList").has(row + " +sluice \\d\\S* .*\\(0,0ms\\).* true$");
        tool.run("clusterList -m").has("#InTotalYest", "^" + stage.cluster + " +" + stage.broker + " +\\d+ +\\d+ +\\d+ +\\d+");
    }

    private void status() throws Exception {
        String topic = stage.topic();
        stage.send(topic, "a", "b", "c");
        tool.run("brokerStatus -b " + stage.address)
                .has("^brokerActive +: true", "^brokerVersionDesc +: sluice", "^runtime +: \\[ 0 days", "^bootTimestamp +: \\d{13}")
                .has("^putTps +: (0\\.[1-9]|[1-9])", "^msgPutTotalTodayNow +: [1-9]");
        tool.run("brokerStatus -c " + stage.cluster).has("^" + stage.address + " +brokerActive +: true");
    }

    private void brokerConfig() {
        tool.run("getBrokerConfig -b " + stage.address)
                .has("^brokerName += +" + stage.broker + "$", "^brokerClusterName += +" + stage.cluster + "$", "^maxMessageSize += +4194304$");
        String update = "updateBrokerConfig -b " + stage.address + " -k ";
        tool.run(update + "fileReservedTime -v 71").has("update broker config success");
        tool.run(update + "transactionCheckMax -v 14").has("update broker config success");
        tool.run("getBrokerConfig -b " + stage.address).has("^fileReservedTime += +71$", "^transactionCheckMax += +14$");
        tool.run(update + "fileReservedTime -v 72").has("update broker config success");
        tool.run(update + "transactionCheckMax -v 15").has("update broker config success");
        tool.run(update + "maxMessageSize -v 1").refused(16, "it is broker\\.max_message_size in the configuration file");
        tool.run(update + "haListenPort -v 1").refused(16, "there is no setting haListenPort here");
        tool.run(update + "fileReservedTime -v soon").refused(29, "it is a number");
    }

    /** The table of the README has a place for every command that the tool has, and no other. */
    private void everyCommand() throws Exception {
        Set<String> theirs = new TreeSet<>(Tool.commands());
        Set<String> ours = new TreeSet<>();
        for (String line : Files.readString(Path.of(System.getenv("REMOTING_README"))).split("\n")) {
            if (line.matches("\\| (work|nothing|refused)[^|]*\\|.*")) {
                Matcher names = Pattern.compile("`([A-Za-z]+)( [^`]*)?`").matcher(line.split("\\|")[2]);
                while (names.find()) {
                    ours.add(names.group(1));
                }
            }
        }
        Set<String> missing = new TreeSet<>(theirs);
        missing.removeAll(ours);
        Set<String> unknown = new TreeSet<>(ours);
        unknown.removeAll(theirs);
        Stage.that(missing.isEmpty() && unknown.isEmpty(), "not in the table: " + missing + "; not in the tool: " + unknown);
    }

    private void clean() {
        tool.run("cleanExpiredCQ -b " + stage.address).has("success");
        tool.run("cleanUnusedTopic -c " + stage.cluster).has("success");
        tool.run("deleteExpiredCommitLog -b " + stage.address).hasNot("success");
    }

    private void sendMsgStatus() {
        tool.run("sendMsgStatus -b " + stage.broker + " -s 16 -c 3").has("rt=\\d+ms, SendResult=SendResult \\[sendStatus=SEND_OK");
    }

    /** It sends for ever; one round is enough. */
    private void clusterRt() throws Exception {
        tool.runUntil("clusterRT -a 2 -s 16 -i 60 -c " + stage.cluster, "^" + stage.cluster + " +" + stage.broker + " +\\d+\\.\\d\\d +2 +0 *$");
    }

    private void nameServerConfig() {
        tool.run("getNamesrvConfig").has("clusterName += +" + stage.cluster);
        tool.run("updateNamesrvConfig -k kvConfigPath -v /tmp/x").refused(16, "change the configuration file");
    }

    /** To be run alone: for a moment nobody can send. */
    void writePermission() {
        String topic = stage.topic();
        tool.run("wipeWritePerm -b " + stage.broker).has("wipe write perm of broker\\[" + stage.broker + "\\].* OK, [1-9]");
        try {
            tool.run("topicRoute -t " + topic).has("\"perm\": ?4");
        } finally {
            tool.run("addWritePerm -b " + stage.broker).has("add write perm of broker\\[" + stage.broker + "\\].* OK, [1-9]");
        }
        tool.run("topicRoute -t " + topic).has("\"perm\": ?6");
        tool.run("wipeWritePerm -b another").hasNot("OK").refused(29, "Failed", "there is no broker another");
    }

    private void kvConfig() {
        String topic = stage.topic();
        String order = stage.broker + ":1";
        tool.run("updateKvConfig -s ORDER_TOPIC_CONFIG -k " + topic + " -v " + order).has("success");
        tool.run("topicRoute -t " + topic).has("\"orderTopicConf\": ?\"" + order + "\"");
        tool.run("deleteKvConfig -s ORDER_TOPIC_CONFIG -k " + topic).has("success");
        tool.run("topicRoute -t " + topic).hasNot("orderTopicConf");
        tool.run("updateKvConfig -s OTHER -k k -v v").refused(3, "PUT_KV_CONFIG", "ORDER_TOPIC_CONFIG");
    }

    private void exports() throws Exception {
        String topic = stage.topic();
        Path folder = Files.createTempDirectory(Tool.HOME, "export");
        tool.run("exportMetadata -c " + stage.cluster + " -f " + folder).has("export \\S+ success");
        tool.run("exportMetadata -b " + stage.address + " -t -f " + folder).has("export \\S+ success");
        contains(folder.resolve("topic.json"), topic);
        contains(folder.resolve("metadata.json"), topic);
        tool.run("exportConfigs -c " + stage.cluster + " -f " + folder).has("export \\S+ success");
        contains(folder.resolve("configs.json"), stage.broker);
        tool.run("exportMetrics -c " + stage.cluster + " -f " + folder).has("export \\S+ success");
        contains(folder.resolve("metrics.json"), "\"normalInTps\"");
    }

    private static void contains(Path file, String text) throws Exception {
        Stage.that(Files.readString(file).contains(text), file + " does not name " + text);
    }

    private void refused() {
        String at = " -b " + stage.address;
        String controller = " -a " + stage.address;
        Map<String, String> commands = new LinkedHashMap<>();
        String topic = stage.topic();
        commands.put("queryCq -t " + topic + " -q 0 -i 0 -c 1" + at, "QUERY_CONSUME_QUEUE");
        commands.put("getBrokerEpoch -b " + stage.broker, "GET_BROKER_EPOCH_CACHE");
        commands.put("haStatus" + at, "GET_BROKER_HA_STATUS");
        commands.put("resetMasterFlushOffset -o 0" + at, "RESET_MASTER_FLUSH_OFFSET");
        commands.put("addBroker -b /tmp/none -c " + stage.address, "ADD_BROKER");
        commands.put("removeBroker -b c:b:0 -c " + stage.address, "REMOVE_BROKER");
        commands.put("exportPopRecord" + at, "POP_ROLLBACK");
        commands.put("getSyncStateSet -b " + stage.broker + controller, "CONTROLLER_GET_METADATA_INFO");
        commands.put("getControllerMetaData" + controller, "CONTROLLER_GET_METADATA_INFO");
        commands.put("getControllerConfig" + controller, "GET_CONTROLLER_CONFIG");
        commands.put("updateControllerConfig -k a -v b" + controller, "UPDATE_CONTROLLER_CONFIG");
        commands.put("setCommitLogReadAheadMode -m 0" + at, "SET_COMMITLOG_READ_MODE");
        commands.put("electMaster -bn " + stage.broker + " -b 0 -c " + stage.cluster + controller, "CONTROLLER_GET_METADATA_INFO");
        commands.put("cleanBrokerMetadata -bn " + stage.broker + " -b 0 -c " + stage.cluster + controller, "CONTROLLER_GET_METADATA_INFO");
        commands.put("updateColdDataFlowCtrGroupConfig -g cg -v 1" + at, "UPDATE_COLD_DATA_FLOW_CTR_CONFIG");
        commands.put("removeColdDataFlowCtrGroupConfig -g cg" + at, "REMOVE_COLD_DATA_FLOW_CTR_CONFIG");
        commands.put("getColdDataFlowCtrInfo" + at, "GET_COLD_DATA_FLOW_CTR_INFO");
        commands.put("checkRocksdbCqWriteProgress -cf 0 -c " + stage.cluster + " -n " + System.getProperty("rocketmq.namesrv.addr"), "CHECK_ROCKSDB_CQ_WRITE_PROGRESS");
        commands.put("switchTimerEngine -e F" + at, "SWITCH_TIMER_ENGINE");
        commands.put("getBrokerLiteInfo" + at, "GET_BROKER_LITE_INFO");
        commands.put("rocksDBConfigToJson" + at, "EXPORT_ROCKSDB_CONFIG_TO_JSON");
        commands.put("updateStaticTopic -qn 4 -t " + stage.name("t") + " -c " + stage.cluster, "STATIC_TOPIC");
        commands.put("deleteExpiredCommitLog" + at, "DELETE_EXPIRED_COMMITLOG");
        commands.forEach((command, name) -> tool.run(command).refused(3, name));
        // Of these the tool tells that they failed, and keeps to itself why.
        String parent = " -p " + topic;
        for (String lite : List.of("getLiteClientInfo -g cg -c id", "getLiteGroupInfo -g cg -k 1", "getLiteTopicInfo -l lt", "getParentTopicInfo", "triggerLiteDispatch -g cg")) {
            tool.run(lite + parent).has("^(\\[" + stage.broker + "\\]|" + stage.broker + ") +error");
        }
        String remapped = tool.run("remappingStaticTopic -t " + topic + " -c " + stage.cluster).text();
        Stage.that(remapped.contains("Mapping info should not be null in broker " + stage.broker), remapped);
    }
}
