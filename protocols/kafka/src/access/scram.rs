//! DescribeUserScramCredentials and AlterUserScramCredentials: who can log in by SCRAM with a password of its own.
//!
//! The tools hash the password themselves and send what comes out, so it can be checked by SCRAM and by nothing else. A
//! user that is not there is made, as in Kafka; what it may do, policies say.

use super::{Refused, has_users, refused, told};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
};
use sluice_auth::{Command, NewScram, ScramMechanism, Session, UserView};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The numbers of mechanisms.
const MECHANISMS: [(i8, ScramMechanism); 2] = [(1, ScramMechanism::Sha256), (2, ScramMechanism::Sha512)];
/// Users of one answer, as many as there may be.
const MAX_USERS: usize = 100_000;

pub(super) async fn describe(
    client: Arc<Client>,
    _: Head,
    request: DescribeUserScramCredentialsRequest,
) -> Result<DescribeUserScramCredentialsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let names = request.users.unwrap_or_default().into_iter().map(|user| user.name.to_string()).collect();
    let found = find(&client, &session, names).await;
    let response = DescribeUserScramCredentialsResponse::default().with_error_message(None);
    Ok(match found {
        Ok(results) => response.with_results(results),
        Err((code, why)) => response.with_error_code(code.number()).with_error_message(Some(why.into())),
    })
}

async fn find(
    client: &Client,
    session: &Session,
    names: Vec<String>,
) -> Result<Vec<DescribeUserScramCredentialsResult>, Refused> {
    has_users(client)?;
    let users = client.broker().users(session, None, MAX_USERS).await.map_err(|error| refused(&error))?;
    let having: Vec<UserView> = users.into_iter().filter(|user| !user.scram.is_empty()).collect();
    if names.is_empty() {
        return Ok(having.iter().map(shown).collect());
    }
    let mut named = BTreeSet::new();
    let one = |name: &String| {
        let result = DescribeUserScramCredentialsResult::default().with_user(name.clone().into());
        if !named.insert(name.clone()) {
            return failed(result, Code::DuplicateResource, "it is named twice");
        }
        match having.iter().find(|user| user.name == *name) {
            Some(user) => shown(user),
            None => failed(result, Code::ResourceNotFound, "no such user has credentials for SCRAM"),
        }
    };
    Ok(names.iter().map(one).collect())
}

fn failed(
    result: DescribeUserScramCredentialsResult,
    code: Code,
    why: &'static str,
) -> DescribeUserScramCredentialsResult {
    result.with_error_code(code.number()).with_error_message(Some(why.into()))
}

fn shown(user: &UserView) -> DescribeUserScramCredentialsResult {
    let info = |kept: &sluice_auth::ScramView| {
        let (number, _) = MECHANISMS.into_iter().find(|(_, mechanism)| *mechanism == kept.mechanism)?;
        let iterations = i32::try_from(kept.iterations).unwrap_or(i32::MAX);
        Some(CredentialInfo::default().with_mechanism(number).with_iterations(iterations))
    };
    DescribeUserScramCredentialsResult::default()
        .with_user(user.name.clone().into())
        .with_error_message(None)
        .with_credential_infos(user.scram.iter().filter_map(info).collect())
}

pub(super) async fn alter(
    client: Arc<Client>,
    _: Head,
    request: AlterUserScramCredentialsRequest,
) -> Result<AlterUserScramCredentialsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let _turn = client.wire.access.lock().await;
    let deletions = request.deletions.into_iter().map(|gone| {
        let command = mechanism(gone.mechanism)
            .map(|mechanism| Command::DeleteScram { user: gone.name.to_string(), mechanism });
        (gone.name, gone.mechanism, command)
    });
    let upsertions = request.upsertions.into_iter().map(|new| {
        let command = mechanism(new.mechanism).map(|mechanism| {
            Command::PutScram(NewScram {
                user: new.name.to_string(),
                mechanism,
                iterations: u32::try_from(new.iterations).unwrap_or(0),
                salt: new.salt.to_vec(),
                salted_password: new.salted_password.to_vec(),
            })
        });
        (new.name, new.mechanism, command)
    });
    let mut seen = BTreeSet::new();
    let mut results: Vec<AlterUserScramCredentialsResult> = Vec::new();
    for (name, number, command) in deletions.chain(upsertions) {
        let done = match (seen.insert((name.clone(), number)), command) {
            (false, _) => Err((Code::DuplicateResource, "it is named twice".to_owned())),
            (true, Err(why)) => Err(why),
            (true, Ok(command)) => change(&client, &session, command).await,
        };
        let (code, message) = told(done);
        let result = AlterUserScramCredentialsResult::default()
            .with_user(name)
            .with_error_code(code)
            .with_error_message(message);
        // One result for each user; what failed is what is told.
        match results.iter_mut().find(|known| known.user == result.user) {
            Some(known) if known.error_code == Code::None.number() => *known = result,
            Some(_) => {}
            None => results.push(result),
        }
    }
    Ok(AlterUserScramCredentialsResponse::default().with_results(results))
}

fn mechanism(number: i8) -> Result<ScramMechanism, Refused> {
    let known = MECHANISMS.into_iter().find(|(known, _)| *known == number);
    known.map(|(_, mechanism)| mechanism).ok_or_else(|| {
        (Code::UnsupportedSaslMechanism, "there are SCRAM-SHA-256 and SCRAM-SHA-512".to_owned())
    })
}

async fn change(client: &Client, session: &Session, command: Command) -> Result<(), Refused> {
    has_users(client)?;
    if let Command::DeleteScram { user, mechanism } = &command {
        let view = client.broker().user(session, user).await.map_err(|error| refused(&error))?;
        if !view.is_some_and(|view| view.scram.iter().any(|kept| kept.mechanism == *mechanism)) {
            return Err((Code::ResourceNotFound, format!("User:{user} has nothing for {mechanism}")));
        }
    }
    client.broker().change_access(session, command).await.map_err(|error| match error.kind() {
        sluice_model::ErrorKind::InvalidArgument => {
            (Code::UnacceptableCredential, error.message().to_owned())
        }
        _ => refused(&error),
    })
}
