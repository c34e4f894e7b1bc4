//! One file per command or family of commands: decode the fields, call one verb of the broker, build the answer.
//!
//! The one idea to know: a handler starts its work when it is called and gives either the answer or a future of it. It
//! never sees the socket, so it is tested with a value in and a value out.

mod cluster;
mod groups;
mod heartbeat;
mod json;
mod locks;
mod members;
mod offsets;
mod pop;
mod pull;
mod query;
mod recall;
mod reply;
mod route;
mod send;
mod send_back;
mod stats;
mod system;
mod tools;
mod topics;
mod transactions;
mod view;

use crate::codec::Frame;
use crate::codes::{name_of, request::*, response};
use crate::errors::Failure;
use crate::node::Node;
use crate::response::Response;
use crate::session::Link;
use bytestring::ByteString;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use sluice_auth::Session;
use sluice_model::{ErrorKind, GroupName, QueueId, TopicName};
use std::str::FromStr;
use std::sync::Arc;

/// One request, and everything that answering it needs.
pub(crate) struct Call {
    pub(crate) node: Arc<Node>,
    pub(crate) link: Arc<Link>,
    pub(crate) session: Session,
    pub(crate) frame: Frame,
}

type Result<T, E = Failure> = std::result::Result<T, E>;

/// An answer, now or later.
pub(crate) enum Answer {
    Ready(Response),
    Later(BoxFuture<'static, Response>),
}

impl Answer {
    fn now(result: Result<Response>) -> Self {
        Self::Ready(result.unwrap_or_else(Response::from))
    }

    fn later(future: impl Future<Output = Result<Response>> + Send + 'static) -> Self {
        Self::Later(Box::pin(async { future.await.unwrap_or_else(Response::from) }))
    }
}

/// Answers a request by its code.
pub(crate) fn dispatch(call: Call) -> Answer {
    match call.frame.head.code {
        SEND_MESSAGE | SEND_MESSAGE_V2 | SEND_BATCH_MESSAGE => send::handle(call),
        PULL_MESSAGE | LITE_PULL_MESSAGE => pull::handle(call),
        CONSUMER_SEND_MSG_BACK => Answer::later(send_back::handle(call)),
        UPDATE_CONSUMER_OFFSET => offsets::update(call),
        QUERY_CONSUMER_OFFSET => Answer::now(offsets::query(&call)),
        SEARCH_OFFSET_BY_TIMESTAMP => Answer::later(offsets::search(call)),
        GET_MAX_OFFSET => Answer::now(offsets::max(&call)),
        GET_MIN_OFFSET => Answer::now(offsets::min(&call)),
        GET_EARLIEST_MSG_STORETIME => Answer::later(offsets::earliest_store_time(call)),
        HEART_BEAT => Answer::now(heartbeat::handle(&call)),
        UNREGISTER_CLIENT => Answer::now(members::unregister(&call)),
        GET_CONSUMER_LIST_BY_GROUP => Answer::now(members::list(&call)),
        GET_CONSUMER_CONNECTION_LIST => Answer::now(members::connections(&call)),
        CHECK_CLIENT_CONFIG => Answer::now(members::check_config(&call)),
        LOCK_BATCH_MQ => Answer::now(locks::lock(&call)),
        UNLOCK_BATCH_MQ => Answer::now(locks::unlock(&call)),
        VIEW_MESSAGE_BY_ID => Answer::later(view::handle(call)),
        QUERY_MESSAGE => Answer::later(query::handle(call)),
        GET_ROUTEINFO_BY_TOPIC => Answer::now(route::handle(&call)),
        GET_BROKER_CLUSTER_INFO => Answer::now(cluster::info(&call)),
        GET_BROKER_RUNTIME_INFO => Answer::later(cluster::runtime(call)),
        GET_BROKER_CONFIG => Answer::now(cluster::settings(&call)),
        GET_ALL_TOPIC_LIST_FROM_NAMESERVER => Answer::now(topics::names(&call)),
        GET_SYSTEM_TOPIC_LIST_FROM_NS | GET_SYSTEM_TOPIC_LIST_FROM_BROKER => {
            Answer::now(topics::system(&call))
        }
        GET_ALL_TOPIC_CONFIG => Answer::now(topics::all(&call)),
        GET_TOPIC_CONFIG => Answer::now(topics::one(&call)),
        GET_TOPIC_STATS_INFO => Answer::later(stats::topic(call)),
        GET_CONSUME_STATS => Answer::later(stats::group(call)),
        INVOKE_BROKER_TO_RESET_OFFSET => Answer::later(offsets::reset(call)),
        UPDATE_AND_CREATE_TOPIC => Answer::later(topics::put(call)),
        DELETE_TOPIC_IN_BROKER => Answer::later(topics::delete(call)),
        DELETE_TOPIC_IN_NAMESRV => Answer::now(topics::delete_route(&call)),
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => Answer::later(groups::put(call)),
        DELETE_SUBSCRIPTIONGROUP => Answer::later(groups::delete(call)),
        GET_ALL_SUBSCRIPTIONGROUP_CONFIG => Answer::now(groups::all(&call)),
        GET_SUBSCRIPTIONGROUP_CONFIG => Answer::now(groups::one(&call)),
        RECALL_MESSAGE => Answer::later(recall::handle(call)),
        END_TRANSACTION => Answer::later(transactions::end(call)),
        SEND_REPLY_MESSAGE | SEND_REPLY_MESSAGE_V2 => Answer::later(reply::handle(call)),
        POP_MESSAGE => pop::pop(call),
        ACK_MESSAGE => Answer::later(pop::ack(call)),
        BATCH_ACK_MESSAGE => Answer::later(pop::ack_many(call)),
        CHANGE_MESSAGE_INVISIBLETIME => Answer::later(pop::change_invisible(call)),
        PEEK_MESSAGE => Answer::later(pop::peek(call)),
        QUERY_ASSIGNMENT => Answer::now(pop::assignment(&call)),
        SET_MESSAGE_REQUEST_MODE => Answer::later(pop::set_mode(call)),
        GET_ALL_MESSAGE_REQUEST_MODE => Answer::now(pop::modes(&call)),
        NOTIFICATION => Answer::later(pop::notification(call)),
        POLLING_INFO => Answer::now(pop::polling(&call)),
        _ => tools::dispatch(call),
    }
}

/// The longest name of a group that clients of this wire make, as stock brokers check it.
const MAX_GROUP: usize = 120;

fn long_group(group: &GroupName) -> Failure {
    Failure::invalid(format!("The specified group: {group}, is longer than group max length: {MAX_GROUP}"))
}

fn not_supported(code: i32) -> Failure {
    let name = name_of(code).map(|name| format!(" ({name})")).unwrap_or_default();
    Failure::new(response::REQUEST_CODE_NOT_SUPPORTED, format!("request type {code}{name} not supported"))
}

/// Fields of a request, checked.
impl Call {
    fn text(&self, name: &str) -> Result<&ByteString> {
        self.frame.ext.get(name).ok_or_else(|| Failure::invalid(format!("the field {name} is missing")))
    }

    fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        match self.frame.ext.get(name) {
            None => Ok(None),
            Some(text) if text.is_empty() => Ok(None),
            Some(text) => match text.parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(Failure::invalid(format!("the field {name} has no valid value: {text:?}"))),
            },
        }
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T> {
        self.optional(name)?.ok_or_else(|| Failure::invalid(format!("the field {name} is missing")))
    }

    fn topic(&self, name: &str) -> Result<TopicName> {
        Ok(TopicName::new(self.text(name)?.clone())?)
    }

    fn group(&self, name: &str) -> Result<GroupName> {
        self.named_group(self.text(name)?.clone())
    }

    /// A group by its name. A long one has to be known already: stock brokers make none, other wires may have.
    fn named_group(&self, name: ByteString) -> Result<GroupName> {
        let group = GroupName::new(name)?;
        if group.as_str().len() > MAX_GROUP {
            match self.node.broker.group(&self.session, &group) {
                Err(error) if error.kind() == ErrorKind::GroupNotFound => return Err(long_group(&group)),
                known => known.map(drop)?,
            }
        }
        Ok(group)
    }

    /// The queue; -1 and the like are no queue.
    fn queue(&self) -> Result<QueueId> {
        let number: i32 = self.number("queueId")?;
        u32::try_from(number)
            .map(QueueId)
            .map_err(|_| Failure::invalid(format!("there is no queue {number}")))
    }

    /// The body as JSON.
    fn body<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.frame.body)
            .map_err(|e| Failure::invalid(format!("the body is not readable: {e}")))
    }
}
