//! What administration tools ask, `mqadmin` and the Dashboard before all: the codes that no producer or consumer needs.
//!
//! The one idea to know: a tool prints what it is told, so nothing is answered with an empty success. What one node
//! does not have, or does not do yet, is refused with the code's name.

mod acls;
mod users;

use super::{Answer, Call, not_supported};
use crate::codes::{request::*, response::REQUEST_CODE_NOT_SUPPORTED};
use crate::errors::Failure;
use sluice_model::{Error, ErrorKind};

pub(super) fn dispatch(call: Call) -> Answer {
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
        UPDATE_AND_CREATE_ACL_CONFIG..=GET_BROKER_CLUSTER_ACL_CONFIG => Answer::now(Err(acl_1(&call))),
        code => Answer::now(Err(not_supported(code))),
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
