//! The verbs by name: everything that somebody can be let do, or kept from doing.
//!
//! It exists for those who must not forget one: a test compares the list with the methods that take a session, and the
//! matrix of access (`tests/tests/matrix`) must have a row for each on every wire.

macro_rules! verbs {
    ($($variant:ident $name:ident,)*) => {
        /// One verb of the broker, see [`Broker`](super::Broker) and [`Client`](super::Client).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Verb {
            $($variant,)*
        }

        impl Verb {
            /// Every verb there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its method.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                }
            }
        }
    };
}

verbs! {
    Send send,
    CheckSend check_send,
    Work work,
    SendOnce send_once,
    SendSequenced send_sequenced,
    NameProducer name_producer,
    JoinTransaction join_transaction,
    PromiseOffsets promise_offsets,
    DecideTransaction decide_transaction,
    NamedProducers named_producers,
    Senders senders,
    UnsettledOffsets unsettled_offsets,
    Recall recall,
    Prepare prepare,
    EndTransaction end_transaction,
    Transactions transactions,
    ReceiveChecks receive_checks,
    ProduceAs produce_as,
    Receive receive,
    ReceiveUpTo receive_up_to,
    Ack ack,
    AckAll ack_all,
    Nack nack,
    Release release,
    ChangeInvisible change_invisible,
    DeadLetter dead_letter,
    DeadLetters dead_letters,
    Redrive redrive,
    Pull pull,
    PullPacked pull_packed,
    MessageAt message_at,
    Find find,
    Trace trace,
    Cursor cursor,
    Poll poll,
    Grown grown,
    BornAt born_at,
    SendBack send_back,
    CommitOffset commit_offset,
    Committed committed,
    Bounds bounds,
    WholeBounds whole_bounds,
    OffsetAt offset_at,
    Progress progress,
    ResetOffsets reset_offsets,
    SetOffsets set_offsets,
    CheckConsume check_consume,
    Coordinate coordinate,
    CommitOffsets commit_offsets,
    CommittedOffsets committed_offsets,
    ForgetOffsets forget_offsets,
    Client client,
    Join join,
    Members members,
    Subscription subscription,
    LockQueues lock_queues,
    UnlockQueues unlock_queues,
    HasQueueLocks has_queue_locks,
    PutTopic put_topic,
    EnsureTopic ensure_topic,
    DeleteTopic delete_topic,
    DeleteTopicIf delete_topic_if,
    Truncate truncate,
    TruncateQueue truncate_queue,
    Topic topic,
    Topics topics,
    QueueSizes queue_sizes,
    PutGroup put_group,
    EnsureGroup ensure_group,
    DeleteGroup delete_group,
    DeleteGroupIf delete_group_if,
    Group group,
    Groups groups,
    Users users,
    User user,
    PutUser put_user,
    DeleteUser delete_user,
    Roles roles,
    PutRole put_role,
    DeleteRole delete_role,
    GroupQuotas group_quotas,
    Policies policies,
    DeletePolicies delete_policies,
    CountPolicies count_policies,
    ChangeAccess change_access,
    CheckAccess check_access,
    CreateToken create_token,
    ExplainAccess explain_access,
    Audit audit,
    PermitCluster permit_cluster,
    Tune tune,
    Damages damages,
    Connections connections,
    CloseConnection close_connection,
    SessionEnded session_ended,
}
