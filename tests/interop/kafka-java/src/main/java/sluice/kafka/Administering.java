package sluice.kafka;

import static sluice.kafka.Records.bytes;
import static sluice.kafka.Runner.expect;
import static sluice.kafka.Runner.failure;
import static sluice.kafka.Runner.unique;

import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ReplicaInfo;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;

/** The stock administrative client. */
final class Administering {
    private Administering() {}

    static void topics(Clients clients) throws Exception {
        String topic = unique();
        try (Admin admin = clients.admin()) {
            NewTopic wanted = new NewTopic(topic, 3, (short) 1).configs(Map.of("retention.ms", "3600000"));
            expect("partitions", admin.createTopics(List.of(wanted)).numPartitions(topic).get(), 3);
            Throwable twice = failure("the same topic", () -> admin.createTopics(List.of(wanted)).all().get());
            expect("made twice", twice.getClass(), TopicExistsException.class);
            NewTopic compacted = new NewTopic(unique(), 1, (short) 1).configs(Map.of("cleanup.policy", "compact"));
            Throwable compaction = failure("compaction", () -> admin.createTopics(List.of(compacted)).all().get());
            expect("compaction", compaction.getClass(), InvalidConfigurationException.class);
            expect("listed", admin.listTopics().names().get().contains(topic), true);
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            // The two versions spell the description of topics differently, and ask the same.
            try (KafkaConsumer<byte[], byte[]> consumer = clients.consumer()) {
                expect("grown", consumer.partitionsFor(topic).size(), 5);
            }
            configs(admin, topic);
            records(clients, admin, topic);
            logDirs(admin, topic);
            admin.deleteTopics(List.of(topic)).all().get();
            expect("gone", admin.listTopics().names().get().contains(topic), false);
        }
    }

    private static void configs(Admin admin, String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Config before = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        expect("retention.ms", before.get("retention.ms").value(), "3600000");
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get();
        AlterConfigOp bytes = new AlterConfigOp(new ConfigEntry("retention.bytes", "1000000"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(bytes))).all().get();
        Config after = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        expect("retention.ms", after.get("retention.ms").value(), "7200000");
        expect("retention.bytes", after.get("retention.bytes").value(), "1000000");
    }

    private static void records(Clients clients, Admin admin, String topic) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = clients.producer()) {
            for (int at = 0; at < 5; at++) {
                producer.send(new ProducerRecord<>(topic, 0, 1000L + at, null, bytes("v" + at))).get();
            }
        }
        TopicPartition first = new TopicPartition(topic, 0);
        admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(2))).all().get();
        expect("earliest", admin.listOffsets(Map.of(first, OffsetSpec.earliest())).all().get().get(first).offset(), 2L);
        expect("latest", admin.listOffsets(Map.of(first, OffsetSpec.latest())).all().get().get(first).offset(), 5L);
        expect("by time", admin.listOffsets(Map.of(first, OffsetSpec.forTimestamp(1003))).all().get().get(first).offset(), 3L);
    }

    private static void logDirs(Admin admin, String topic) throws Exception {
        int node = admin.describeCluster().nodes().get().iterator().next().id();
        Map<String, LogDirDescription> dirs = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node);
        expect("log dirs", dirs.size(), 1);
        Map<TopicPartition, ReplicaInfo> sizes = dirs.values().iterator().next().replicaInfos();
        expect("something of the first", sizes.get(new TopicPartition(topic, 0)).size() > 0, true);
        expect("nothing of the second", sizes.get(new TopicPartition(topic, 1)).size(), 0L);
    }

    static void cluster(Clients clients) throws Exception {
        try (Admin admin = clients.admin()) {
            Short level = admin.describeFeatures().featureMetadata().get().finalizedFeatures()
                .get("transaction.version").maxVersionLevel();
            expect("transaction.version", level, (short) 2);
            expect("brokers", admin.describeCluster().nodes().get().size(), 1);
            expect("controller", admin.describeCluster().controller().get().id(), admin.describeCluster().nodes().get().iterator().next().id());
            DescribeClusterOptions rights = new DescribeClusterOptions().includeAuthorizedOperations(true);
            Set<AclOperation> everything = Set.of(AclOperation.ALTER, AclOperation.ALTER_CONFIGS, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS);
            expect("rights", admin.describeCluster(rights).authorizedOperations().get(), everything);
            brokerSettings(admin);
            election(admin);
        }
    }

    private static void brokerSettings(Admin admin) throws Exception {
        int node = admin.describeCluster().nodes().get().iterator().next().id();
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, String.valueOf(node));
        ConfigEntry day = new ConfigEntry("log.retention.ms", "86400000");
        ConfigEntry before = admin.describeConfigs(List.of(broker)).all().get().get(broker).get(day.name());
        admin.incrementalAlterConfigs(Map.of(broker, List.of(new AlterConfigOp(day, AlterConfigOp.OpType.SET)))).all().get();
        ConfigEntry changed = admin.describeConfigs(List.of(broker)).all().get().get(broker).get(day.name());
        expect("changed", changed.value(), day.value());
        admin.incrementalAlterConfigs(Map.of(broker, List.of(new AlterConfigOp(day, AlterConfigOp.OpType.DELETE)))).all().get();
        ConfigEntry after = admin.describeConfigs(List.of(broker)).all().get().get(broker).get(day.name());
        expect("put back", after.value(), before.value());
        AlterConfigOp fixed = new AlterConfigOp(new ConfigEntry("num.partitions", "9"), AlterConfigOp.OpType.SET);
        Throwable why = failure("a fixed setting", () -> admin.incrementalAlterConfigs(Map.of(broker, List.of(fixed))).all().get());
        expect("a fixed setting", why.getClass(), InvalidConfigurationException.class);
    }

    private static void election(Admin admin) throws Exception {
        TopicPartition first = new TopicPartition(unique(), 0);
        admin.createTopics(List.of(new NewTopic(first.topic(), 1, (short) 1))).all().get();
        Throwable why = admin.electLeaders(ElectionType.PREFERRED, Set.of(first)).partitions().get().get(first).get();
        expect("an election", why.getClass(), ElectionNotNeededException.class);
    }

    static void groups(Clients clients) throws Exception {
        String topic = unique();
        String group = unique();
        try (Admin admin = clients.admin()) {
            admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all().get();
            TopicPartition first = new TopicPartition(topic, 0);
            admin.alterConsumerGroupOffsets(group, Map.of(first, new OffsetAndMetadata(0, "a note"))).all().get();
            OffsetAndMetadata known = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(first);
            expect("what is committed", known, new OffsetAndMetadata(0, known.leaderEpoch(), "a note"));
            expect("listed", admin.listConsumerGroups().all().get().stream().anyMatch(one -> one.groupId().equals(group)), true);
            expect("members", admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().size(), 0);
            admin.deleteConsumerGroupOffsets(group, Set.of(first)).all().get();
            admin.deleteConsumerGroups(List.of(group)).all().get();
        }
    }

    /** Where everybody may do everything, there is nobody to be listed. */
    static void withoutUsers(Clients clients) throws Exception {
        try (Admin admin = clients.admin()) {
            Throwable why = failure("a list of permissions", () -> admin.describeAcls(AclBindingFilter.ANY).values().get());
            expect("why", why.getClass(), SecurityDisabledException.class);
        }
    }
}
