package sluice.kafka;

import static sluice.kafka.Runner.expect;
import static sluice.kafka.Runner.failure;
import static sluice.kafka.Runner.unique;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialDeletion;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.errors.InvalidRequestException;
import org.apache.kafka.common.errors.ResourceNotFoundException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;

/** Permissions, quotas and credentials through the stock administrative client. */
final class Permissions {
    private Permissions() {}

    private static AclBinding on(String topic, String user, AclOperation operation) {
        ResourcePattern pattern = new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL);
        return new AclBinding(pattern, new AccessControlEntry("User:" + user, "*", operation, AclPermissionType.ALLOW));
    }

    private static AclBindingFilter about(String topic) {
        return new AclBindingFilter(new ResourcePatternFilter(ResourceType.TOPIC, topic, PatternType.LITERAL), AccessControlEntryFilter.ANY);
    }

    /** A user who is made here may do what it is allowed here, and no more once that is taken away. */
    static void permissions(Clients clients) throws Exception {
        String user = unique();
        String topic = unique() + ".with.dots";
        try (Admin admin = clients.admin()) {
            admin.alterUserScramCredentials(List.of(upsertion(user, "a password"))).all().get();
            Clients own = Secure.user(user, "a password");
            Throwable denied = failure("a stranger's record", () -> send(own, topic));
            expect("why", denied.getClass(), TopicAuthorizationException.class);
            Set<AclBinding> wanted = Set.of(on(topic, user, AclOperation.WRITE), on(topic, user, AclOperation.CREATE), on(topic, user, AclOperation.DESCRIBE));
            admin.createAcls(wanted).all().get();
            Collection<AclBinding> listed = admin.describeAcls(about(topic)).values().get();
            expect("what is listed", Set.copyOf(listed), wanted);
            send(own, topic);
            admin.deleteAcls(List.of(on(topic, user, AclOperation.WRITE).toFilter())).all().get();
            Set<AclOperation> left = admin.describeAcls(about(topic)).values().get().stream()
                .map(one -> one.entry().operation()).collect(Collectors.toSet());
            expect("what is left", left, Set.of(AclOperation.CREATE, AclOperation.DESCRIBE));
            Throwable again = failure("a record", () -> send(own, topic));
            expect("why", again.getClass(), TopicAuthorizationException.class);
            Throwable everybody = failure("a permission for everybody", () ->
                admin.createAcls(List.of(on(topic, "*", AclOperation.READ))).all().get());
            expect("why", everybody.getClass(), InvalidRequestException.class);
            expect("deleted", admin.deleteAcls(List.of(about(topic))).all().get().size(), 2);
        }
    }

    private static Object send(Clients clients, String topic) throws Exception {
        try (var producer = clients.producer()) {
            return producer.send(new org.apache.kafka.clients.producer.ProducerRecord<>(topic, 0, null, new byte[1])).get();
        }
    }

    private static UserScramCredentialUpsertion upsertion(String user, String password) {
        ScramCredentialInfo info = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192);
        return new UserScramCredentialUpsertion(user, info, password);
    }

    static void credentials(Clients clients) throws Exception {
        String user = unique();
        try (Admin admin = clients.admin()) {
            admin.alterUserScramCredentials(List.of(upsertion(user, "first"))).all().get();
            ScramCredentialInfo known = admin.describeUserScramCredentials(List.of(user)).description(user).get().credentialInfos().get(0);
            expect("what is kept", known, new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192));
            try (Admin own = Secure.user(user, "first").admin()) {
                expect("who comes in", own.describeCluster().nodes().get().size(), 1);
            }
            UserScramCredentialDeletion gone = new UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_256);
            admin.alterUserScramCredentials(List.of(gone)).all().get();
            Throwable none = failure("what is gone", () -> admin.describeUserScramCredentials(List.of(user)).description(user).get());
            expect("why", none.getClass(), ResourceNotFoundException.class);
        }
    }

    static void quotas(Clients clients) throws Exception {
        String user = unique();
        try (Admin admin = clients.admin()) {
            admin.alterUserScramCredentials(List.of(upsertion(user, "first"))).all().get();
            ClientQuotaEntity entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.USER, user));
            List<ClientQuotaAlteration.Op> ops = List.of(new ClientQuotaAlteration.Op("bytes_per_second", 1048576.0), new ClientQuotaAlteration.Op("connections", 5.0));
            admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, ops))).all().get();
            ClientQuotaFilter filter = ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.USER, user)));
            expect("the quota", admin.describeClientQuotas(filter).entities().get(), Map.of(entity, Map.of("bytes_per_second", 1048576.0, "connections", 5.0)));
            List<ClientQuotaAlteration.Op> kafkas = List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1.0));
            Throwable why = failure("a rate for producers alone", () -> admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, kafkas))).all().get());
            expect("why", why.getClass(), InvalidRequestException.class);
            List<ClientQuotaAlteration.Op> none = List.of(new ClientQuotaAlteration.Op("bytes_per_second", null), new ClientQuotaAlteration.Op("connections", null));
            admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, none))).all().get();
            expect("nothing is left", admin.describeClientQuotas(filter).entities().get(), Map.of());
        }
    }
}
