package sluice.interop;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.AckStatus;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.consumer.PopStatus;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.impl.mqclient.DoNothingClientRemotingProcessor;
import org.apache.rocketmq.client.impl.mqclient.MQClientAPIExt;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.netty.NettyClientConfig;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.ResponseCode;
import org.apache.rocketmq.remoting.protocol.header.AckMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ChangeInvisibleTimeRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.NotificationRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PeekMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PollingInfoRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PollingInfoResponseHeader;
import org.apache.rocketmq.remoting.protocol.header.PopMessageRequestHeader;

/** One group's pops from one topic, by the API of the stock client with which stock proxies ask brokers. */
final class PopApi implements AutoCloseable {
    private static final long TIMEOUT_MS = 40_000;
    private static final int ANY_QUEUE = -1;

    private final MQClientAPIExt api;
    private final String address;
    private final String broker;
    private final String topic;
    private final String group;

    PopApi(Lab lab, Clients clients, String topic, String group) throws Exception {
        ClientConfig config = new ClientConfig();
        config.setNamesrvAddr(lab.settings.nameServer());
        api = new MQClientAPIExt(config, new NettyClientConfig(), new DoNothingClientRemotingProcessor(null), clients.hook());
        api.updateNameServerAddressList();
        api.start();
        this.topic = topic;
        this.group = group;
        this.broker = lab.queue(topic, 0).getBrokerName();
        this.address = lab.producer().getDefaultMQProducerImpl().getMqClientFactory().findBrokerAddressInPublish(broker);
    }

    /** Waits that long for messages and leases them. */
    CompletableFuture<PopResult> pop(int most, long waitMs, long leaseMs) {
        return pop(most, waitMs, leaseMs, false);
    }

    CompletableFuture<PopResult> pop(int most, long waitMs, long leaseMs, boolean inOrder) {
        PopMessageRequestHeader header = new PopMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(ANY_QUEUE);
        header.setMaxMsgNums(most);
        header.setInvisibleTime(leaseMs);
        header.setPollTime(waitMs);
        header.setBornTime(System.currentTimeMillis());
        header.setInitMode(0);
        header.setExpType("TAG");
        header.setExp("*");
        header.setOrder(inOrder);
        return api.popMessageAsync(address, broker, header, TIMEOUT_MS);
    }

    /** Pops until there are so many. */
    List<MessageExt> popAll(int count, long leaseMs) throws Exception {
        return popAll(count, leaseMs, false);
    }

    List<MessageExt> popAll(int count, long leaseMs, boolean inOrder) throws Exception {
        List<MessageExt> all = new ArrayList<>();
        Check.until(Lab.SOON, count + " messages popped", () -> {
            PopResult result = get(pop(32, 1_000, leaseMs, inOrder));
            if (result.getPopStatus() == PopStatus.FOUND) {
                all.addAll(result.getMsgFoundList());
            }
            return all.size() >= count;
        });
        Check.equal(count, all.size(), "messages popped");
        return all;
    }

    AckResult ack(MessageExt message) throws Exception {
        AckMessageRequestHeader header = new AckMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(message.getQueueId());
        header.setOffset(message.getQueueOffset());
        header.setExtraInfo(point(message));
        return get(api.ackMessageAsync(address, header, TIMEOUT_MS));
    }

    AckStatus ackMany(List<String> points) throws Exception {
        return get(api.batchAckMessageAsync(address, topic, group, points, TIMEOUT_MS)).getStatus();
    }

    /** Gives the delivery that long from now; the result has the new check point. */
    AckResult changeLease(MessageExt message, long leaseMs) throws Exception {
        ChangeInvisibleTimeRequestHeader header = new ChangeInvisibleTimeRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(message.getQueueId());
        header.setOffset(message.getQueueOffset());
        header.setExtraInfo(point(message));
        header.setInvisibleTime(leaseMs);
        return get(api.changeInvisibleTimeAsync(address, broker, header, TIMEOUT_MS));
    }

    /** Whether there is something to pop, or will be within that time. */
    CompletableFuture<Boolean> notification(long waitMs) {
        NotificationRequestHeader header = new NotificationRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(ANY_QUEUE);
        header.setPollTime(waitMs);
        header.setBornTime(System.currentTimeMillis());
        return api.notification(address, header, TIMEOUT_MS);
    }

    /** The stock API has the request's header and no method. */
    RemotingCommand peek(int most) throws Exception {
        PeekMessageRequestHeader header = new PeekMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(ANY_QUEUE);
        header.setMaxMsgNums(most);
        return ask(RequestCode.PEEK_MESSAGE, header);
    }

    List<MessageExt> peeked(int most) throws Exception {
        RemotingCommand response = peek(most);
        Check.equal(ResponseCode.SUCCESS, response.getCode(), "code of: " + response.getRemark());
        return MessageDecoder.decodes(ByteBuffer.wrap(response.getBody()));
    }

    /** The same of this one. */
    RemotingCommand polling() throws Exception {
        PollingInfoRequestHeader header = new PollingInfoRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(ANY_QUEUE);
        return ask(RequestCode.POLLING_INFO, header);
    }

    /** How many pops wait. */
    int waiting() throws Exception {
        RemotingCommand response = polling();
        Check.equal(ResponseCode.SUCCESS, response.getCode(), "code of: " + response.getRemark());
        return ((PollingInfoResponseHeader) response.decodeCommandCustomHeader(PollingInfoResponseHeader.class)).getPollingNum();
    }

    private RemotingCommand ask(int code, CommandCustomHeader header) throws Exception {
        return get(api.invoke(address, RemotingCommand.createRequestCommand(code, header), TIMEOUT_MS));
    }

    static String point(MessageExt message) {
        return message.getProperty("POP_CK");
    }

    /** The result, or the broker's refusal. */
    static <T> T get(CompletableFuture<T> future) throws Exception {
        try {
            return future.get(TIMEOUT_MS, TimeUnit.MILLISECONDS);
        } catch (ExecutionException failure) {
            throw failure.getCause() instanceof MQBrokerException refusal ? refusal : failure;
        }
    }

    @Override
    public void close() {
        api.shutdown();
    }
}
