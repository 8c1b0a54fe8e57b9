//! Step `admit`: what was decided before is answered, and what the directory has made invalid meanwhile turned away.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::directory::Directory;
use lockstep_core::intent::{Refusal, VerifiedIntent};
use lockstep_core::tables::name;

use super::{Pipeline, answer_all};
use crate::again::read_again;
use crate::execute::Task;
use crate::load;
use crate::open::NodeError;
use crate::submit::{Decided, Job, SubmitError, Work};

impl Pipeline {
    /// What is left to execute.
    pub(super) async fn admit(&mut self, jobs: Vec<Job>) -> Result<Vec<(Job, Task)>, NodeError> {
        let mut valid = Vec::new();
        for job in jobs {
            let Work::Intent { intent, submitted, directory } = &job.work else { continue };
            let (intent, submitted) = (intent.clone(), *submitted);
            if let Some(error) = self.stale(&intent, directory) {
                answer_all(job, &Err(error));
            } else if self.built.in_flight.contains_key(&nonce_of(&intent)) {
                self.deferred.push(job);
            } else {
                let refused_by_database = job.refused_by_database;
                valid.push((job, Task { intent, submitted, refused_by_database }));
            }
        }
        Ok(once_each(self.answer_repeated(valid).await?))
    }

    /// Answers what was decided before, and turns away what has the nonce of such a one.
    async fn answer_repeated(&self, admitted: Vec<(Job, Task)>) -> Result<Vec<(Job, Task)>, NodeError> {
        let intents: Vec<&VerifiedIntent> = admitted.iter().map(|(_, task)| task.intent.as_ref()).collect();
        let (database, table) = (self.shared.parts.database.as_ref(), self.own(name::INTENT)?);
        let used = read_again(&self.shared, || load::used_nonces(database, &table, &intents)).await?;
        let mut fresh = Vec::new();
        for (job, task) in admitted {
            let payload = task.intent.payload();
            match used.get(&(payload.actor.to_string(), payload.nonce.to_string())) {
                None => fresh.push((job, task)),
                Some(known) if *known == task.intent.id().to_string() => {
                    answer_all(job, &Ok(Decided { intent: task.intent.id(), repeated: true }))
                }
                Some(_) => answer_all(job, &Err(nonce_reused(&task.intent))),
            }
        }
        Ok(fresh)
    }

    /// Whether the actor's key is no longer the one that the door checked against.
    fn stale(&self, intent: &VerifiedIntent, checked: &Arc<Directory>) -> Option<SubmitError> {
        if checked.seq() == self.built.directory.seq() {
            return None;
        }
        let actor = &intent.payload().actor;
        let (then, now) = (checked.actors().get(actor), self.built.directory.actors().get(actor));
        match (then, now) {
            (Some(then), Some(now)) if then.key == now.key && now.revoked.is_none() => None,
            _ => Some(SubmitError::Refused(Refusal::new(
                Code::RevokedActor,
                format!("the key of {actor} was taken away while its intent waited"),
            ))),
        }
    }
}

/// One of each intent, for all who wait for it; the first with a nonce has it.
fn once_each(fresh: Vec<(Job, Task)>) -> Vec<(Job, Task)> {
    let mut admitted: Vec<(Job, Task)> = Vec::new();
    let mut first: BTreeMap<(String, Digest), usize> = BTreeMap::new();
    for (mut job, task) in fresh {
        let at = *first.entry(nonce_of(&task.intent)).or_insert(admitted.len());
        match admitted.get_mut(at) {
            None => admitted.push((job, task)),
            Some((known, of)) if of.intent.id() == task.intent.id() => known.waiters.append(&mut job.waiters),
            Some(_) => answer_all(job, &Err(nonce_reused(&task.intent))),
        }
    }
    admitted
}

/// The actor with the nonce.
pub(super) fn nonce_of(intent: &VerifiedIntent) -> (String, Digest) {
    (intent.payload().actor.to_string(), intent.payload().nonce)
}

fn nonce_reused(intent: &VerifiedIntent) -> SubmitError {
    let payload = intent.payload();
    SubmitError::Refused(Refusal::new(
        Code::NonceReused,
        format!("{} used nonce {} for another intent", payload.actor, payload.nonce),
    ))
}
