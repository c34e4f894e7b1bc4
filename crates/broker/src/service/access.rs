//! Users, roles and policies, as administrators look at them and name them one by one.
//!
//! A look copies the whole list out of the directory, tens of milliseconds when it is long, so it is made where
//! blocking is allowed. What changes is decided by `change_access` in `admin`, which the changes here go through.

use super::Broker;
use super::log::blocking;
use crate::Removed;
use sluice_auth::{
    Action, Auth, Command, GroupQuota, Mode, Policy, ResourcePattern, RoleSpec, RoleView, Session, UserSpec,
    UserView,
};
use sluice_model::Result;
use std::sync::Arc;

const SEE_CLUSTER: [Action; 2] = [Action::Get, Action::List];

impl Broker {
    /// Asks whether a session may do something to the broker as a whole, for what a front-end itself keeps or knows.
    /// Permit: that action on the cluster.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn permit_cluster(&self, session: &Session, action: Action) -> Result<()> {
        self.0.cluster(session, &[action]).map(drop)
    }

    /// Some users by name, without secrets: at most `limit` after the one named `after`. Permit: Get or List on the
    /// cluster.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub async fn users(
        &self,
        session: &Session,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<UserView>> {
        let permit = self.0.cluster(session, &SEE_CLUSTER)?;
        let auth = Arc::clone(&self.0.under(&permit).auth);
        let follows = move |user: &UserView| after.as_ref().is_none_or(|after| user.name > *after);
        blocking(move || Ok(auth.users().into_iter().filter(follows).take(limit).collect())).await
    }

    /// One user, without secrets, if there is such a one. Permit: Get or List on the cluster.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub async fn user(&self, session: &Session, name: &str) -> Result<Option<UserView>> {
        let permit = self.0.cluster(session, &SEE_CLUSTER)?;
        find_user(&self.0.under(&permit).auth, name).await
    }

    /// The policies about a subject, or all: by the name of their user, then those of roles. Permit: Get or List on the
    /// cluster.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub async fn policies(&self, session: &Session, subject: Option<&str>) -> Result<Vec<Policy>> {
        let permit = self.0.cluster(session, &SEE_CLUSTER)?;
        let auth = Arc::clone(&self.0.under(&permit).auth);
        let subject = subject.map(str::to_owned);
        blocking(move || {
            let about = |policy: &Policy| subject.as_ref().is_none_or(|subject| policy.subject == *subject);
            Ok(auth.policies().into_iter().filter(about).collect())
        })
        .await
    }

    /// Makes a user, or changes one. True when it is new. Permit: Update on the cluster.
    ///
    /// # Errors
    /// As for [`Broker::change_access`].
    pub async fn put_user(&self, session: &Session, spec: UserSpec) -> Result<bool> {
        let permit = self.0.cluster(session, &[Action::Update])?;
        let known = find_user(&self.0.under(&permit).auth, &spec.name).await?.is_some();
        self.change_access(session, Command::PutUser(spec)).await.map(|()| !known)
    }

    /// Removes a user and the policies about it; false when there is none. Its sessions may do nothing more. Permit:
    /// Update on the cluster.
    ///
    /// # Errors
    /// As for [`Broker::change_access`].
    pub async fn delete_user(&self, session: &Session, name: &str) -> Result<bool> {
        let permit = self.0.cluster(session, &[Action::Update])?;
        let auth = &self.0.under(&permit).auth;
        // Where there can be no users, the change itself says so.
        if auth.mode() == Mode::Acl && find_user(auth, name).await?.is_none() {
            return Ok(false);
        }
        self.change_access(session, Command::DeleteUser(name.to_owned())).await.map(|()| true)
    }

    /// All roles, by name. Permit: Get or List on the cluster.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn roles(&self, session: &Session) -> Result<Vec<RoleView>> {
        let permit = self.0.cluster(session, &SEE_CLUSTER)?;
        Ok(self.0.under(&permit).auth.roles())
    }

    /// The quotas of consumer groups, by name. Permit: Get or List on the cluster.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn group_quotas(&self, session: &Session) -> Result<Vec<GroupQuota>> {
        let permit = self.0.cluster(session, &SEE_CLUSTER)?;
        Ok(self.0.under(&permit).auth.group_quotas())
    }

    /// Makes a role, or changes one. True when it is new. Permit: Update on the cluster.
    ///
    /// # Errors
    /// As for [`Broker::change_access`].
    pub async fn put_role(&self, session: &Session, spec: RoleSpec) -> Result<bool> {
        let permit = self.0.cluster(session, &[Action::Update])?;
        let known = has_role(&self.0.under(&permit).auth, &spec.name);
        self.change_access(session, Command::PutRole(spec)).await.map(|()| !known)
    }

    /// Removes a role that nobody has, and the policies about it; false when there is none. Permit: Update on the
    /// cluster.
    ///
    /// # Errors
    /// As for [`Broker::change_access`].
    pub async fn delete_role(&self, session: &Session, name: &str) -> Result<bool> {
        let permit = self.0.cluster(session, &[Action::Update])?;
        let auth = &self.0.under(&permit).auth;
        if auth.mode() == Mode::Acl && !has_role(auth, name) {
            return Ok(false);
        }
        self.change_access(session, Command::DeleteRole(name.to_owned())).await.map(|()| true)
    }

    /// Removes the policies of a subject, all of them or those with this very pattern; those of the operator's file
    /// stay. Permit: Update on the cluster.
    ///
    /// # Errors
    /// As for [`Broker::change_access`].
    pub async fn delete_policies(
        &self,
        session: &Session,
        subject: &str,
        resource: Option<ResourcePattern>,
    ) -> Result<Removed> {
        let permit = self.0.cluster(session, &[Action::Update])?;
        let auth = &self.0.under(&permit).auth;
        let meant = count_policies(auth, subject, resource.clone()).await?;
        if auth.mode() == Mode::Acl && meant == Removed::default() {
            return Ok(meant);
        }
        let command = Command::DeletePolicy { subject: subject.to_owned(), resource };
        self.change_access(session, command).await.map(|()| meant)
    }

    /// Refuses what [`Broker::change_access`] would refuse, and changes nothing. False for the removal of a user or role
    /// that is not there. Permit: Update on the cluster.
    ///
    /// # Errors
    /// As for [`Broker::change_access`].
    pub async fn check_access(&self, session: &Session, command: Command) -> Result<bool> {
        let permit = self.0.cluster(session, &[Action::Update])?;
        let auth = Arc::clone(&self.0.under(&permit).auth);
        let is_there = match &command {
            Command::DeleteUser(name) => find_user(&auth, name).await?.is_some(),
            Command::DeleteRole(name) => has_role(&auth, name),
            _ => true,
        };
        // Where there can be no users, the change itself says so.
        if auth.mode() == Mode::Acl && !is_there {
            return Ok(false);
        }
        blocking(move || auth.plan(command).map(|_| true)).await
    }

    /// What [`Broker::delete_policies`] would remove and keep. Permit: Update on the cluster.
    ///
    /// # Errors
    /// As for [`Broker::change_access`].
    pub async fn count_policies(
        &self,
        session: &Session,
        subject: &str,
        resource: Option<ResourcePattern>,
    ) -> Result<Removed> {
        let permit = self.0.cluster(session, &[Action::Update])?;
        let auth = &self.0.under(&permit).auth;
        let meant = count_policies(auth, subject, resource.clone()).await?;
        if auth.mode() == Mode::Acl && meant == Removed::default() {
            return Ok(meant);
        }
        let command = Command::DeletePolicy { subject: subject.to_owned(), resource };
        self.check_access(session, command).await.map(|_| meant)
    }
}

fn has_role(auth: &Auth, name: &str) -> bool {
    auth.roles().iter().any(|role| role.name == name)
}

async fn find_user(auth: &Arc<Auth>, name: &str) -> Result<Option<UserView>> {
    let (auth, name) = (Arc::clone(auth), name.to_owned());
    blocking(move || Ok(auth.users().into_iter().find(|user| user.name == name))).await
}

async fn count_policies(
    auth: &Arc<Auth>,
    subject: &str,
    resource: Option<ResourcePattern>,
) -> Result<Removed> {
    let (auth, subject) = (Arc::clone(auth), subject.to_owned());
    blocking(move || {
        let (removed, kept) = auth.count_policies(&subject, resource.as_ref());
        Ok(Removed { removed, kept })
    })
    .await
}
