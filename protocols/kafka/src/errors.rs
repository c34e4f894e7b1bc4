//! Errors as Kafka's codes.
//!
//! The one idea to know: what a client does next depends on the code alone, and differs between kinds of resources, so
//! the same refusal is another code for a topic, a group and the cluster. What is not settled by Kafka's documents is
//! settled by its clients; `README.md` has the list.

use sluice_model::{Error, ErrorKind};

/// Kafka's error codes, those that are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub(crate) enum Code {
    Unknown = -1,
    None = 0,
    OffsetOutOfRange = 1,
    CorruptMessage = 2,
    UnknownTopicOrPartition = 3,
    RequestTimedOut = 7,
    MessageTooLarge = 10,
    CoordinatorNotAvailable = 15,
    InvalidTopic = 17,
    InvalidRequiredAcks = 21,
    TopicAuthorizationFailed = 29,
    ClusterAuthorizationFailed = 31,
    UnsupportedSaslMechanism = 33,
    IllegalSaslState = 34,
    InvalidTimestamp = 32,
    UnsupportedVersion = 35,
    TopicAlreadyExists = 36,
    InvalidPartitions = 37,
    InvalidReplicationFactor = 38,
    InvalidReplicaAssignment = 39,
    InvalidConfig = 40,
    InvalidRequest = 42,
    UnsupportedForMessageFormat = 43,
    OutOfOrderSequenceNumber = 45,
    InvalidProducerEpoch = 47,
    InvalidTxnState = 48,
    InvalidProducerIdMapping = 49,
    InvalidTransactionTimeout = 50,
    TransactionalIdAuthorizationFailed = 53,
    SecurityDisabled = 54,
    KafkaStorageError = 56,
    SaslAuthenticationFailed = 58,
    GroupIdNotFound = 69,
    FetchSessionIdNotFound = 70,
    FencedLeaderEpoch = 74,
    UnknownLeaderEpoch = 75,
    UnsupportedCompressionType = 76,
    ElectionNotNeeded = 84,
    InvalidRecord = 87,
    UnstableOffsetCommit = 88,
    ProducerFenced = 90,
    ResourceNotFound = 91,
    DuplicateResource = 92,
    UnacceptableCredential = 93,
    UnknownTopicId = 100,
    TransactionalIdNotFound = 105,
    UnsupportedEndpointType = 115,
    TransactionAbortable = 120,
    PolicyViolation = 44,
}

impl Code {
    pub fn number(self) -> i16 {
        self as i16
    }

    /// For a request about a topic.
    pub fn of_topic(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => Self::TopicAuthorizationFailed,
            ErrorKind::AlreadyExists => Self::TopicAlreadyExists,
            ErrorKind::InvalidArgument | ErrorKind::Conflict => Self::InvalidRequest,
            _ => Self::common(error),
        }
    }

    /// For a request about a partition: what is not there is a partition.
    pub fn of_partition(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidArgument => Self::UnknownTopicOrPartition,
            _ => Self::of_topic(error),
        }
    }

    /// For records that are to be stored.
    pub fn of_records(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::Conflict | ErrorKind::Unsupported => Self::InvalidRecord,
            _ => Self::of_topic(error),
        }
    }

    /// For a request about the broker as a whole.
    pub fn of_cluster(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => Self::ClusterAuthorizationFailed,
            ErrorKind::InvalidArgument | ErrorKind::Conflict | ErrorKind::AlreadyExists => {
                Self::InvalidRequest
            }
            _ => Self::common(error),
        }
    }

    fn common(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::TopicNotFound => Self::UnknownTopicOrPartition,
            ErrorKind::GroupNotFound => Self::GroupIdNotFound,
            ErrorKind::TooLarge => Self::MessageTooLarge,
            ErrorKind::OffsetOutOfRange | ErrorKind::MessageNotFound | ErrorKind::ReceiptExpired => {
                Self::OffsetOutOfRange
            }
            // Clients try again after these; the produce path waits first, as nothing else slows a producer down.
            ErrorKind::Throttled => Self::RequestTimedOut,
            ErrorKind::Unavailable => Self::CoordinatorNotAvailable,
            ErrorKind::StorageFull => Self::KafkaStorageError,
            ErrorKind::Unsupported => Self::PolicyViolation,
            ErrorKind::Corrupt => {
                tracing::error!(?error, "stored bytes are damaged");
                Self::CorruptMessage
            }
            ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => Self::ClusterAuthorizationFailed,
            ErrorKind::InvalidArgument | ErrorKind::Conflict | ErrorKind::AlreadyExists => {
                Self::InvalidRequest
            }
            ErrorKind::Internal => {
                tracing::error!(?error, "a request failed");
                Self::Unknown
            }
        }
    }
}
