//! The numbers of this wire: what can be asked, and how it can go.

/// Request codes that are answered.
pub mod request {
    pub const SEND_MESSAGE: i32 = 10;
    pub const PULL_MESSAGE: i32 = 11;
    pub const QUERY_CONSUMER_OFFSET: i32 = 14;
    pub const UPDATE_CONSUMER_OFFSET: i32 = 15;
    pub const UPDATE_AND_CREATE_TOPIC: i32 = 17;
    pub const GET_ALL_TOPIC_CONFIG: i32 = 21;
    pub const UPDATE_BROKER_CONFIG: i32 = 25;
    pub const GET_BROKER_CONFIG: i32 = 26;
    pub const GET_BROKER_RUNTIME_INFO: i32 = 28;
    pub const SEARCH_OFFSET_BY_TIMESTAMP: i32 = 29;
    pub const GET_MAX_OFFSET: i32 = 30;
    pub const GET_MIN_OFFSET: i32 = 31;
    pub const GET_EARLIEST_MSG_STORETIME: i32 = 32;
    pub const VIEW_MESSAGE_BY_ID: i32 = 33;
    pub const HEART_BEAT: i32 = 34;
    pub const UNREGISTER_CLIENT: i32 = 35;
    pub const CONSUMER_SEND_MSG_BACK: i32 = 36;
    pub const END_TRANSACTION: i32 = 37;
    pub const GET_CONSUMER_LIST_BY_GROUP: i32 = 38;
    pub const NOTIFY_CONSUMER_IDS_CHANGED: i32 = 40;
    pub const LOCK_BATCH_MQ: i32 = 41;
    pub const UNLOCK_BATCH_MQ: i32 = 42;
    pub const CHECK_CLIENT_CONFIG: i32 = 46;
    pub const GET_ROUTEINFO_BY_TOPIC: i32 = 105;
    pub const GET_BROKER_CLUSTER_INFO: i32 = 106;
    pub const UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: i32 = 200;
    pub const GET_ALL_SUBSCRIPTIONGROUP_CONFIG: i32 = 201;
    pub const GET_TOPIC_STATS_INFO: i32 = 202;
    pub const GET_CONSUMER_CONNECTION_LIST: i32 = 203;
    pub const GET_ALL_TOPIC_LIST_FROM_NAMESERVER: i32 = 206;
    pub const DELETE_SUBSCRIPTIONGROUP: i32 = 207;
    pub const GET_CONSUME_STATS: i32 = 208;
    pub const DELETE_TOPIC_IN_BROKER: i32 = 215;
    pub const DELETE_TOPIC_IN_NAMESRV: i32 = 216;
    pub const INVOKE_BROKER_TO_RESET_OFFSET: i32 = 222;
    pub const GET_SYSTEM_TOPIC_LIST_FROM_NS: i32 = 304;
    pub const GET_SYSTEM_TOPIC_LIST_FROM_BROKER: i32 = 305;
    pub const SEND_MESSAGE_V2: i32 = 310;
    pub const SEND_BATCH_MESSAGE: i32 = 320;
    pub const GET_TOPIC_CONFIG: i32 = 351;
    pub const GET_SUBSCRIPTIONGROUP_CONFIG: i32 = 352;
    pub const LITE_PULL_MESSAGE: i32 = 361;
}

/// Response codes that are given.
pub mod response {
    pub const SUCCESS: i32 = 0;
    pub const SYSTEM_ERROR: i32 = 1;
    pub const SYSTEM_BUSY: i32 = 2;
    pub const REQUEST_CODE_NOT_SUPPORTED: i32 = 3;
    pub const MESSAGE_ILLEGAL: i32 = 13;
    pub const SERVICE_NOT_AVAILABLE: i32 = 14;
    pub const NO_PERMISSION: i32 = 16;
    pub const TOPIC_NOT_EXIST: i32 = 17;
    pub const PULL_NOT_FOUND: i32 = 19;
    pub const PULL_RETRY_IMMEDIATELY: i32 = 20;
    pub const PULL_OFFSET_MOVED: i32 = 21;
    pub const QUERY_NOT_FOUND: i32 = 22;
    pub const SUBSCRIPTION_NOT_EXIST: i32 = 24;
    pub const SUBSCRIPTION_NOT_LATEST: i32 = 25;
    pub const SUBSCRIPTION_GROUP_NOT_EXIST: i32 = 26;
    pub const INVALID_PARAMETER: i32 = 29;
    pub const CONSUMER_NOT_ONLINE: i32 = 206;
}

/// The names of codes that clients and tools know and this server does not serve, so that its refusal can say which.
const NOT_SERVED: [(i32, &str); 50] = [
    (12, "QUERY_MESSAGE"),
    (18, "UPDATE_AND_CREATE_TOPIC_LIST"),
    (43, "GET_ALL_CONSUMER_OFFSET"),
    (45, "GET_ALL_DELAY_OFFSET"),
    (50, "UPDATE_AND_CREATE_ACL_CONFIG"),
    (51, "DELETE_ACL_CONFIG"),
    (52, "GET_BROKER_CLUSTER_ACL_INFO"),
    (100, "PUT_KV_CONFIG"),
    (101, "GET_KV_CONFIG"),
    (102, "DELETE_KV_CONFIG"),
    (103, "REGISTER_BROKER"),
    (104, "UNREGISTER_BROKER"),
    (204, "GET_PRODUCER_CONNECTION_LIST"),
    (205, "WIPE_WRITE_PERM_OF_BROKER"),
    (219, "GET_KVLIST_BY_NAMESPACE"),
    (223, "INVOKE_BROKER_TO_GET_CONSUMER_STATUS"),
    (224, "GET_TOPICS_BY_CLUSTER"),
    (225, "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST"),
    (300, "QUERY_TOPIC_CONSUME_BY_WHO"),
    (303, "QUERY_CONSUME_TIME_SPAN"),
    (307, "GET_CONSUMER_RUNNING_INFO"),
    (308, "QUERY_CORRECTION_OFFSET"),
    (309, "CONSUME_MESSAGE_DIRECTLY"),
    (314, "CLONE_GROUP_OFFSET"),
    (315, "VIEW_BROKER_STATS_DATA"),
    (317, "GET_BROKER_CONSUME_STATS"),
    (321, "QUERY_CONSUME_QUEUE"),
    (322, "QUERY_DATA_VERSION"),
    (324, "SEND_REPLY_MESSAGE"),
    (325, "SEND_REPLY_MESSAGE_V2"),
    (328, "GET_ALL_PRODUCER_INFO"),
    (343, "QUERY_TOPICS_BY_CONSUMER"),
    (345, "QUERY_SUBSCRIPTION_BY_CONSUMER"),
    (353, "UPDATE_AND_GET_GROUP_FORBIDDEN"),
    (370, "RECALL_MESSAGE"),
    (400, "QUERY_ASSIGNMENT"),
    (401, "SET_MESSAGE_REQUEST_MODE"),
    (513, "UPDATE_AND_CREATE_STATIC_TOPIC"),
    (901, "GET_BROKER_MEMBER_GROUP"),
    (904, "BROKER_HEARTBEAT"),
    (3001, "AUTH_CREATE_USER"),
    (3006, "AUTH_CREATE_ACL"),
    (200_050, "POP_MESSAGE"),
    (200_051, "ACK_MESSAGE"),
    (200_052, "PEEK_MESSAGE"),
    (200_053, "CHANGE_MESSAGE_INVISIBLETIME"),
    (200_054, "NOTIFICATION"),
    (200_055, "POLLING_INFO"),
    (200_056, "POP_ROLLBACK"),
    (200_151, "BATCH_ACK_MESSAGE"),
];

/// The name of a code that is not served, if it is a known one.
pub(crate) fn name_of(code: i32) -> Option<&'static str> {
    NOT_SERVED.iter().find(|(c, _)| *c == code).map(|(_, name)| *name)
}
