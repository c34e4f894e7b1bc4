//! Who may do what, and how much: Kafka's lists of permissions, quotas and SCRAM credentials, as views of the broker's own.
//!
//! The one idea to know: nothing is kept here. A request is turned into the commands that HTTP's requests are turned into,
//! and what Kafka can say and the broker cannot (or cannot exactly) is refused with the words for it; so what was taken
//! holds on every wire, and is shown as it holds.
//!
//! - `acls` — DescribeAcls, CreateAcls, DeleteAcls; `binding` — one line of Kafka's list, and the policy that it is part of
//! - `operations` — what the client itself may do, in answers about topics, groups and the broker
//! - `quotas` — DescribeClientQuotas, AlterClientQuotas
//! - `scram` — DescribeUserScramCredentials, AlterUserScramCredentials

mod acls;
mod binding;
pub(crate) mod operations;
mod quotas;
mod scram;
#[cfg(test)]
mod tests;

use crate::api::{Api, api};
use crate::client::Client;
use crate::errors::Code;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterUserScramCredentialsRequest, CreateAclsRequest, DeleteAclsRequest,
    DescribeAclsRequest, DescribeClientQuotasRequest, DescribeUserScramCredentialsRequest,
};
use kafka_protocol::protocol::StrBytes;
use sluice_auth::Mode;
use sluice_model::Error;

/// The rows of the table of APIs.
pub(crate) static APIS: [Api; 7] = [
    api!(DescribeAclsRequest, 1..=3, "b s b s s b b", acls::describe),
    api!(CreateAclsRequest, 1..=3, "[b s b s s b b]", acls::create),
    api!(DeleteAclsRequest, 1..=3, "[b s b s s b b]", acls::delete),
    api!(DescribeClientQuotasRequest, 0..=1, "[s b s] b", quotas::describe),
    api!(AlterClientQuotasRequest, 0..=1, "[[s s] [s l b]] b", quotas::alter),
    api!(DescribeUserScramCredentialsRequest, 0..=0, "[s ]", scram::describe),
    api!(AlterUserScramCredentialsRequest, 0..=0, "[s b] [s b i y y]", scram::alter),
];

/// Why something is not done, as it is told.
type Refused = (Code, String);

fn refused(error: &Error) -> Refused {
    (Code::of_cluster(error), error.message().to_owned())
}

fn invalid(why: impl Into<String>) -> Refused {
    (Code::InvalidRequest, why.into())
}

/// Without users there is nothing to be listed or changed.
fn has_users(client: &Client) -> Result<(), Refused> {
    match client.broker().auth().mode() {
        Mode::Acl => Ok(()),
        Mode::Open => Err((Code::SecurityDisabled, "auth.mode is open: there are no users".to_owned())),
    }
}

/// A result as a code and words.
fn told(result: Result<(), Refused>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(()) => (Code::None.number(), None),
        Err((code, why)) => (code.number(), Some(why.into())),
    }
}
