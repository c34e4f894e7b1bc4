//! The table of APIs: what is offered, in which versions, and who answers.
//!
//! What is not in the table is not advertised, and what is advertised is served to the end. The one idea to know: a row
//! names the shape of its request, by which a body is checked before it is decoded, and a handler that is an async
//! function from the decoded request to the response; nothing else of the wire reaches it.
//!
//! Rows of consumer groups are in `groups`, those of permissions in `access`, those of transactions in
//! `transactions`, those of everything else in `handlers`.

use crate::client::Client;
use crate::codec::{Call, begin_response, finish_response};
use crate::shape::{self, Shape};
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
    pub shape: Shape,
    pub run: fn(Arc<Client>, Call, &'static Shape) -> Work,
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
            shape: $crate::shape::Shape::new($shape),
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
    crate::handlers::APIS
        .iter()
        .chain(&crate::groups::APIS)
        .chain(&crate::access::APIS)
        .chain(&crate::transactions::APIS)
}

/// The row of a key, if there is one.
pub(crate) fn find(key: i16) -> Option<&'static Api> {
    all().find(|api| api.key == key)
}

impl Call {
    /// The request, decoded; nothing when it is not one.
    pub fn decode<Q: Request>(&self, shape: &Shape) -> Option<Q> {
        let mut body = self.rest.clone();
        let flexible = Q::header_version(self.version) >= 2;
        if flexible {
            shape::skip_tags(&mut body)?;
        }
        if !shape.fits(&body, self.version, flexible) {
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
    pub async fn answer<Q, F>(self, shape: &'static Shape, handler: impl FnOnce(Head, Q) -> F) -> Answer
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
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::*;
    use proptest::prelude::*;

    #[test]
    fn no_api_is_there_twice_and_each_range_is_one() {
        let mut keys: Vec<i16> = all().map(|api| api.key).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
        assert!(all().all(|api| 0 <= api.min && api.min <= api.max));
    }

    /// Where the walk and the library both find a request, they find its end at the same place. What the walk does not
    /// pass must not reach the library, here as elsewhere: it makes room for whatever a body claims.
    fn agree<Q: Request + Encodable>(body: &[u8], version: i16, shape: &Shape) -> Result<(), TestCaseError> {
        let flexible = Q::header_version(version) >= 2;
        if let Some(rest) = shape.rest(body, version, flexible) {
            let mut left = Bytes::copy_from_slice(body);
            if let Ok(request) = Q::decode(&mut left, version)
                && !(Q::KEY == FetchRequest::KEY && has_tags(&request, body, left.len(), version))
            {
                prop_assert_eq!(left.len(), rest, "v{} {:?}", version, body);
            }
        }
        Ok(())
    }

    /// The library reads Fetch's tagged fields past the size that they claim; without any, a request is written again as
    /// it was read.
    fn has_tags<Q: Request + Encodable>(request: &Q, body: &[u8], left: usize, version: i16) -> bool {
        let mut again = BytesMut::new();
        request.encode(&mut again, version).is_err() || again != body[..body.len() - left]
    }

    /// A fetch of some partitions.
    fn fetch() -> impl Strategy<Value = FetchRequest> {
        use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
        let partition = (any::<i32>(), any::<i64>(), any::<i32>()).prop_map(|(index, offset, max)| {
            FetchPartition::default()
                .with_partition(index)
                .with_fetch_offset(offset)
                .with_partition_max_bytes(max)
        });
        let partitions = prop::collection::vec(partition, 0..4);
        let topics =
            prop::collection::vec(partitions.prop_map(|p| FetchTopic::default().with_partitions(p)), 0..4);
        let forgotten = prop::collection::vec(any::<i32>(), 0..3)
            .prop_map(|partitions| vec![ForgottenTopic::default().with_partitions(partitions)]);
        (topics, forgotten, any::<[i32; 4]>()).prop_map(|(topics, forgotten, [wait, min, max, epoch])| {
            FetchRequest::default()
                .with_cluster_id(None)
                .with_max_wait_ms(wait)
                .with_min_bytes(min)
                .with_max_bytes(max)
                .with_session_epoch(epoch)
                .with_topics(topics)
                .with_forgotten_topics_data(forgotten)
        })
    }

    fn body() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(2), 0_u8..8], 0..40)
    }

    macro_rules! each_api {
        ($($request:ident),* $(,)?) => {
            fn agree_on(key: i16, body: &[u8], version: i16, shape: &Shape) -> Result<(), TestCaseError> {
                match key {
                    $(key if key == <$request as Request>::KEY => agree::<$request>(body, version, shape),)*
                    _ => Ok(()),
                }
            }

            /// What the library itself writes, the walk passes.
            fn default_of(key: i16, version: i16) -> Option<BytesMut> {
                let mut out = BytesMut::new();
                match key {
                    $(key if key == <$request as Request>::KEY => {
                        let request = <$request>::default();
                        request.encode(&mut out, version).ok().map(|()| out)
                    })*
                    _ => None,
                }
            }
        };
    }
    each_api!(
        ProduceRequest,
        FetchRequest,
        ListOffsetsRequest,
        MetadataRequest,
        OffsetCommitRequest,
        OffsetFetchRequest,
        FindCoordinatorRequest,
        JoinGroupRequest,
        HeartbeatRequest,
        LeaveGroupRequest,
        SyncGroupRequest,
        DescribeGroupsRequest,
        ListGroupsRequest,
        SaslHandshakeRequest,
        ApiVersionsRequest,
        CreateTopicsRequest,
        DeleteTopicsRequest,
        DeleteRecordsRequest,
        InitProducerIdRequest,
        OffsetForLeaderEpochRequest,
        DescribeConfigsRequest,
        AlterConfigsRequest,
        SaslAuthenticateRequest,
        CreatePartitionsRequest,
        DeleteGroupsRequest,
        IncrementalAlterConfigsRequest,
        OffsetDeleteRequest,
        AddPartitionsToTxnRequest,
        AddOffsetsToTxnRequest,
        EndTxnRequest,
        TxnOffsetCommitRequest,
        DescribeProducersRequest,
        DescribeTransactionsRequest,
        ListTransactionsRequest,
        DescribeAclsRequest,
        CreateAclsRequest,
        DeleteAclsRequest,
        DescribeClientQuotasRequest,
        AlterClientQuotasRequest,
        DescribeUserScramCredentialsRequest,
        AlterUserScramCredentialsRequest,
        DescribeClusterRequest,
        DescribeLogDirsRequest,
        ElectLeadersRequest,
        ListPartitionReassignmentsRequest,
        ListConfigResourcesRequest,
        ConsumerGroupHeartbeatRequest,
        ConsumerGroupDescribeRequest,
    );

    #[test]
    fn what_the_library_writes_has_the_shape_it_should() {
        let mut seen = 0;
        for api in all() {
            for version in api.min..=api.max {
                let Some(body) = default_of(api.key, version) else { continue };
                let flexible = ApiKey::try_from(api.key).unwrap().request_header_version(version) >= 2;
                assert!(api.shape.fits(&body, version, flexible), "key {} v{version}: {body:?}", api.key);
                seen += 1;
            }
        }
        assert!(seen > 60, "{seen}");
    }

    proptest! {
        #[test]
        fn the_walk_finds_the_end_of_a_fetch(request in fetch(), version in 12_i16..=17, more in 0_usize..20) {
            let mut body = BytesMut::new();
            request.encode(&mut body, version).unwrap();
            let end = body.len();
            body.resize(end + more, 1);
            let shape = &find(FetchRequest::KEY).unwrap().shape;
            prop_assert_eq!(shape.rest(&body, version, true), Some(more));
            for cut in 0..end {
                prop_assert_eq!(shape.rest(&body[..cut], version, true), None, "{} of {}", cut, end);
            }
            agree::<FetchRequest>(&body, version, shape)?;
        }

        #[test]
        fn the_walk_and_the_library_agree_on_where_a_body_ends(body in body(), version in 0_i16..19) {
            for api in all() {
                let (min, max) = match api.key {
                    0 => (3, api.max),
                    _ => (api.min, api.max),
                };
                if (min..=max).contains(&version) {
                    agree_on(api.key, &body, version, &api.shape)?;
                }
            }
        }
    }
}
