//! The table of APIs: what is offered, in which versions, and who answers.
//!
//! What is not in the table is not advertised, and what is advertised is served to the end. The one idea to know: a row
//! names the shape of its request, by which a body is checked before it is decoded, and a handler that is an async
//! function from the decoded request to the response; nothing else of the wire reaches it.
//!
//! Rows of consumer groups are in `groups`, those of everything else in `handlers`.

use crate::client::Client;
use crate::codec::{Call, begin_response, finish_response};
use crate::shape;
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request};
use sluice_net::{BoxFuture, Output};
use std::sync::Arc;

/// One API.
pub(crate) struct Api {
    pub key: i16,
    /// The versions that are advertised.
    pub min: i16,
    pub max: i16,
    /// See `shape`.
    pub shape: &'static str,
    pub run: fn(Arc<Client>, Call, &'static str) -> Work,
}

/// An answer on its way. The work begins when it is first polled, in the order of the requests.
pub(crate) type Work = BoxFuture<'static, Answer>;

/// What becomes of a request.
pub(crate) enum Answer {
    Respond(Output),
    /// The client wants none.
    Silence,
    /// The connection closes after this, because there is no other way to say it.
    Close(Option<Output>, &'static str),
}

/// What a handler is told besides the request.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub version: i16,
    /// What the client calls itself.
    pub client_id: String,
}

/// The connection closes, because the wire has no error to say this with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fatal(pub &'static str);

/// A row: the request's type, its versions, its shape, and the handler.
macro_rules! api {
    ($request:ty, $min:literal ..= $max:literal, $shape:literal, $handler:path) => {
        $crate::api::Api {
            key: <$request as kafka_protocol::protocol::Request>::KEY,
            min: $min,
            max: $max,
            shape: $shape,
            run: |client, call, shape| {
                Box::pin(
                    call.answer::<$request, _>(shape, move |head, request| $handler(client, head, request)),
                )
            },
        }
    };
}
pub(crate) use api;

/// Every row.
pub(crate) fn all() -> impl Iterator<Item = &'static Api> {
    crate::handlers::APIS.iter().chain(crate::groups::APIS)
}

/// The row of a key, if there is one.
pub(crate) fn find(key: i16) -> Option<&'static Api> {
    all().find(|api| api.key == key)
}

impl Call {
    /// The request, decoded; nothing when it is not one.
    pub fn decode<Q: Request>(&self, shape: &str) -> Option<Q> {
        let mut body = self.rest.clone();
        let flexible = Q::header_version(self.version) >= 2;
        if flexible {
            shape::skip_tags(&mut body)?;
        }
        if !shape::fits(shape, &body, self.version, flexible) {
            return None;
        }
        Q::decode(&mut body, self.version).ok()
    }

    /// The response, encoded.
    pub fn respond<R: Encodable + HeaderVersion>(&self, response: &R) -> Answer {
        let room = response.compute_size(self.version).unwrap_or(0);
        let mut out = begin_response(self.correlation, R::header_version(self.version) >= 1, room);
        match response.encode(&mut out, self.version) {
            Ok(()) => Answer::Respond(finish_response(out, 0).into()),
            Err(error) => {
                tracing::error!(key = self.key, version = self.version, %error, "a response cannot be encoded");
                Answer::Close(None, "a response cannot be encoded")
            }
        }
    }

    /// Decodes, handles, encodes.
    pub async fn answer<Q, F>(self, shape: &'static str, handler: impl FnOnce(Head, Q) -> F) -> Answer
    where
        Q: Request,
        F: Future<Output = Result<Q::Response, Fatal>>,
    {
        let Some(request) = self.decode::<Q>(shape) else {
            return Answer::Close(None, "a request that is not readable");
        };
        match handler(self.head(), request).await {
            Ok(response) => self.respond(&response),
            Err(Fatal(why)) => Answer::Close(None, why),
        }
    }

    pub fn head(&self) -> Head {
        Head { version: self.version, client_id: self.client_name().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_api_is_there_twice_and_each_range_is_one() {
        let mut keys: Vec<i16> = all().map(|api| api.key).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert!(all().all(|api| 0 <= api.min && api.min <= api.max));
    }
}
