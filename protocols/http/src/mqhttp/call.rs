//! One request that has been let in.

use super::faults::{Code, Fault};
use super::names;
use super::query::Query;
use crate::app::{App, WaitPlace};
use crate::call::Caller;
use bytes::Bytes;
use sluice_auth::Session;
use sluice_broker::Broker;
use sluice_model::{GroupName, TopicName};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Call {
    pub app: Arc<App>,
    pub session: Session,
    pub caller: Arc<Caller>,
    /// The topic, with its instance.
    pub topic: TopicName,
    pub query: Query,
    /// The body.
    pub document: Bytes,
}

impl Call {
    pub fn broker(&self) -> &Broker {
        &self.app.broker
    }

    /// The group that asks, with its instance.
    pub fn group(&self) -> Result<GroupName, Fault> {
        names::group(&self.query.ns, &self.query.consumer)
    }

    /// Refuses a topic that is unknown, or not to be seen.
    pub fn check_topic(&self) -> Result<(), Fault> {
        self.broker().topic(&self.session, &self.topic)?;
        Ok(())
    }

    /// How long the client is ready to wait.
    pub fn wait(&self) -> Duration {
        self.query.wait.min(self.broker().config().max_wait.0)
    }

    /// What `receive` gives; nothing when the broker shuts down meanwhile.
    pub async fn waiting<T>(
        &self,
        receive: impl Future<Output = Result<Vec<T>, Fault>>,
    ) -> Result<Vec<T>, Fault> {
        let waits = !self.wait().is_zero();
        let _place = waits.then(|| self.wait_place()).transpose()?;
        tokio::select! {
            received = receive => received,
            () = self.caller.drain.signaled(), if waits => Ok(Vec::new()),
            () = self.broker().session_ended(&self.session), if waits => {
                Err(Fault::new(Code::InvalidAccessKeyId, "the access key is no longer good"))
            }
        }
    }

    fn wait_place(&self) -> Result<WaitPlace, Fault> {
        Ok(self.app.wait_place(self.session.principal())?)
    }
}
