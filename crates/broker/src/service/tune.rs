//! Changing settings while the broker runs.

use super::{Broker, Inner};
use crate::core::record::Record;
use crate::{Setting, Tuned};
use sluice_auth::{Action, Session};
use sluice_model::Result;
use sluice_store::Durability;

impl Broker {
    /// The values that hold now of the settings that can be changed while the broker runs.
    pub fn tuned(&self) -> Tuned {
        self.0.by_itself().tuned() // nobody's data: no permit
    }

    /// Changes settings, all or none; they hold at once and after a restart, whatever the file says. Permit: Update on
    /// the cluster.
    ///
    /// # Errors
    /// `InvalidArgument` for a value with which the broker could not work.
    pub async fn tune(&self, session: &Session, settings: &[Setting]) -> Result<()> {
        let permit = self.0.cluster(session, &[Action::Update])?;
        let inner = self.0.under(&permit);
        settings.iter().try_for_each(|setting| setting.check(&inner.config))?;
        if settings.is_empty() {
            return Ok(());
        }
        let records: Vec<_> = settings.iter().map(|setting| Record::Tuned(*setting)).collect();
        let done = {
            let mut core = inner.core.lock();
            let ticket = inner.record(&mut core, &records, Durability::Sync)?;
            let mut tuned = inner.tuned.write();
            settings.iter().for_each(|setting| tuned.set(*setting));
            ticket.done
        };
        tracing::info!(by = %session.principal(), ?settings, "settings were changed");
        inner.check_sooner.notify_one();
        done.await
    }
}

impl Inner {
    pub(super) fn tuned(&self) -> Tuned {
        *self.tuned.read()
    }

    /// Puts what was changed in earlier lives over what the file says.
    pub(super) fn retune(&self, changed: &[Setting]) {
        let mut tuned = self.tuned.write();
        for setting in changed {
            let before = *tuned;
            tuned.set(*setting);
            if *tuned != before {
                tracing::info!(
                    key = setting.key(),
                    ?setting,
                    "a setting that was changed at run time holds, not the configuration file's"
                );
            }
        }
    }
}
