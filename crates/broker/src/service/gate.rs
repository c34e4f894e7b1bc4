//! The gate: no verb reaches the broker's state without the evidence of a passed check.
//!
//! A [`Broker`](super::Broker) holds only a [`Gate`]. It hands out [`Permit`]s, and lets through whoever shows one; so a
//! verb that forgot to ask does not compile. The other door, [`Gate::by_itself`], is for what the broker does of its own
//! accord, and for rules that must look before they know whose permit to ask for. Each use of it is a line to review.

use super::Inner;
use sluice_auth::{Action, Permit, Resource, Session};
use sluice_model::{GroupName, Result, TopicName};
use std::sync::Arc;

/// See the module.
#[derive(Clone)]
pub(super) struct Gate(Arc<Inner>);

impl Gate {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The state, for whoever may.
    pub(super) fn under(&self, _evidence: &Permit<'_>) -> &Arc<Inner> {
        &self.0
    }

    /// The state, for the broker's own doings.
    pub(super) fn by_itself(&self) -> &Arc<Inner> {
        &self.0
    }

    /// A permit for one of several actions on a topic, each of which suffices.
    pub(super) fn topic<'a>(
        &self,
        session: &'a Session,
        actions: &[Action],
        topic: &'a TopicName,
    ) -> Result<Permit<'a>> {
        self.0.permit(session, actions, Resource::Topic(topic))
    }

    /// A permit for one of several actions on a group, each of which suffices.
    pub(super) fn group<'a>(
        &self,
        session: &'a Session,
        actions: &[Action],
        group: &'a GroupName,
    ) -> Result<Permit<'a>> {
        self.0.permit(session, actions, Resource::Group(group))
    }

    /// A permit for one of several actions on the broker as a whole, each of which suffices.
    pub(super) fn cluster<'a>(&self, session: &'a Session, actions: &[Action]) -> Result<Permit<'a>> {
        self.0.permit(session, actions, Resource::Cluster)
    }
}

impl Inner {
    /// A permit for one of several actions, each of which suffices. The first denial is the one that is told.
    pub(super) fn permit<'a>(
        &self,
        session: &'a Session,
        actions: &[Action],
        resource: Resource<'a>,
    ) -> Result<Permit<'a>> {
        let permit = self.auth.permit_any(session, actions, resource);
        if permit.is_err() {
            self.counts.denied.increment(1);
        }
        permit
    }
}
