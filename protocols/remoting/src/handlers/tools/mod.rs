//! What administration tools ask, `mqadmin` and the Dashboard before all: the codes that no producer or consumer needs.
//!
//! The one idea to know: a tool prints what it is told, so nothing is answered with an empty success. What one node
//! does not have, or does not do yet, is refused with the code's name.

mod acls;
mod broker;
mod clients;
mod consuming;
mod name_server;
mod users;

use super::{Answer, Call, groups, not_supported, topics};
use crate::codec::Spelling;
use crate::codes::{of_lower_bits, request::*, response::REQUEST_CODE_NOT_SUPPORTED};
use crate::errors::Failure;
use sluice_model::{Error, ErrorKind};

pub(super) fn dispatch(mut call: Call) -> Answer {
    match call.frame.head.code {
        AUTH_CREATE_USER => Answer::later(users::create(call)),
        AUTH_UPDATE_USER => Answer::later(users::update(call)),
        AUTH_DELETE_USER => Answer::later(users::delete(call)),
        AUTH_GET_USER => Answer::later(users::get(call)),
        AUTH_LIST_USER => Answer::later(users::list(call)),
        // What is there already is merged, as stock brokers do it, so making and changing are the same.
        AUTH_CREATE_ACL | AUTH_UPDATE_ACL => Answer::later(acls::put(call)),
        AUTH_DELETE_ACL => Answer::later(acls::delete(call)),
        AUTH_GET_ACL => Answer::later(acls::get(call)),
        AUTH_LIST_ACL => Answer::later(acls::list(call)),
        UPDATE_AND_CREATE_TOPIC_LIST => Answer::later(topics::put_list(call)),
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => Answer::later(groups::put_list(call)),
        GET_PRODUCER_CONNECTION_LIST => Answer::now(clients::producers(&call)),
        GET_ALL_PRODUCER_INFO => Answer::now(clients::all_producers(&call)),
        GET_CONSUMER_RUNNING_INFO => Answer::later(clients::running_info(call)),
        CONSUME_MESSAGE_DIRECTLY => Answer::later(clients::consume(call)),
        QUERY_TOPIC_CONSUME_BY_WHO => Answer::now(consuming::groups_of_topic(&call)),
        QUERY_TOPICS_BY_CONSUMER => Answer::now(consuming::topics_of_group(&call)),
        QUERY_SUBSCRIPTION_BY_CONSUMER => Answer::now(consuming::subscription(&call)),
        QUERY_CONSUME_TIME_SPAN => Answer::later(consuming::time_span(call)),
        CLONE_GROUP_OFFSET => Answer::later(consuming::clone_offsets(call)),
        GET_BROKER_CONSUME_STATS => Answer::later(consuming::lagging(call)),
        PUT_KV_CONFIG => Answer::later(name_server::put_kv(call)),
        GET_KV_CONFIG => Answer::now(name_server::get_kv(&call)),
        DELETE_KV_CONFIG => Answer::later(name_server::delete_kv(call)),
        GET_KVLIST_BY_NAMESPACE => Answer::now(name_server::list_kv(&call)),
        WIPE_WRITE_PERM_OF_BROKER => Answer::now(name_server::write_permission(&call, false)),
        ADD_WRITE_PERM_OF_BROKER => Answer::now(name_server::write_permission(&call, true)),
        GET_TOPICS_BY_CLUSTER => Answer::now(name_server::topics_of_cluster(&call)),
        GET_UNIT_TOPIC_LIST | GET_HAS_UNIT_SUB_TOPIC_LIST | GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
            Answer::now(name_server::topics_of_units(&call))
        }
        GET_NAMESRV_CONFIG => Answer::now(name_server::settings(&call)),
        UPDATE_NAMESRV_CONFIG => Answer::now(Err(name_server::change_settings())),
        UPDATE_BROKER_CONFIG => Answer::later(broker::change_settings(call)),
        VIEW_BROKER_STATS_DATA => Answer::later(broker::statistics(call)),
        CLEAN_EXPIRED_CONSUMEQUEUE | CLEAN_UNUSED_TOPIC => Answer::now(broker::clean(&call)),
        UPDATE_AND_CREATE_ACL_CONFIG..=GET_BROKER_CLUSTER_ACL_CONFIG => Answer::now(Err(acl_1(&call))),
        code => match of_lower_bits(code).filter(|_| call.frame.spelling == Spelling::Binary) {
            Some(code) => {
                call.frame.head.code = code;
                super::dispatch(call)
            }
            None => Answer::now(Err(not_supported(code))),
        },
    }
}

/// 50 to 54: stock brokers have dropped them with 5.3.3.
fn acl_1(call: &Call) -> Failure {
    let refused = not_supported(call.frame.head.code).text;
    let text = format!(
        "{refused}: it is of ACL 1.0. Use ACL 2.0's commands (createUser, createAcl …, codes 3001 to 3010); \
         a plain_acl.yml is imported with auth.file"
    );
    Failure::new(REQUEST_CODE_NOT_SUPPORTED, text)
}

/// What a refused change of users or policies is on this wire: tools retry nothing, they show the words.
fn refused(error: Error) -> Failure {
    let code = match error.kind() {
        // No message is too large: there are too many of something. And the code is known, the mode is not the one.
        ErrorKind::TooLarge | ErrorKind::Unsupported => crate::codes::response::SYSTEM_ERROR,
        _ => return error.into(),
    };
    Failure::new(code, error.message())
}
