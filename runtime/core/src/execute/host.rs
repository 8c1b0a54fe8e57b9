//! What a contract sees and does: core's side of the engine's seam.
//!
//! Only what the manifest declares is handed over; everything else ends the call. Later reads of the same
//! call see earlier writes.

use crate::codes::Code;
use crate::engine::{Host, HostError};
use crate::event::{MAX_NOTIFICATIONS, Notification};
use crate::json::{Json, Operation, Pointer, json};
use crate::package::Package;
use crate::spec::PARTIES;

use super::draft::DraftRecord;
use super::{Job, Rejected, entitle};

pub(super) struct Execution<'a> {
    job: &'a Job<'a>,
    drafts: Vec<DraftRecord>,
    method: &'a str,
    package: &'a Package,
    notifications: usize,
    trace: Vec<String>,
    stopped: Option<Rejected>,
}

impl<'a> Execution<'a> {
    pub(super) fn new(job: &'a Job<'a>, drafts: Vec<DraftRecord>, method: &'a str, package: &'a Package) -> Self {
        Execution { job, drafts, method, package, notifications: 0, trace: Vec::new(), stopped: None }
    }

    pub(super) fn into_parts(self, trace: &mut Vec<String>) -> (Vec<DraftRecord>, Option<Rejected>) {
        trace.extend(self.trace);
        (self.drafts, self.stopped)
    }

    fn stop(&mut self, code: Code, message: String) -> HostError {
        self.stopped = Some(Rejected::new(code, message));
        HostError::Stop
    }

    fn undeclared(&mut self, what: &str) -> HostError {
        let manifest = &self.package.manifest;
        let message = format!(
            "{}@{} method {} {what}, which its manifest does not declare",
            manifest.name, manifest.version, self.method
        );
        self.stop(Code::Undeclared, message)
    }

    fn draft(&mut self, record: u32, section: &str) -> Result<usize, HostError> {
        let index = record as usize;
        match self.drafts.get(index) {
            Some(_) => Ok(index),
            None => Err(self.undeclared(&format!("names record {record} (section {section})"))),
        }
    }

    fn readable(&mut self, record: u32, section: &str) -> Result<usize, HostError> {
        let index = self.draft(record, section)?;
        let Some(draft) = self.drafts.get(index) else { return Ok(index) };
        if section == PARTIES || draft.usage.may_read(section) || (draft.before.is_none() && draft.writes(section)) {
            return self.open(index, section);
        }
        let why = if draft.writes(section) { " of a record that is there already" } else { "" };
        Err(self.undeclared(&format!("reads section {section} of record {record}{why}")))
    }

    fn writable(&mut self, record: u32, section: &str) -> Result<usize, HostError> {
        let index = self.draft(record, section)?;
        let Some(draft) = self.drafts.get(index) else { return Ok(index) };
        if !draft.writes(section) {
            return Err(self.undeclared(&format!("writes section {section} of record {record}")));
        }
        if draft.before.is_some() && !draft.usage.may_read(section) {
            return Err(
                self.undeclared(&format!("writes section {section} of record {record} though it is there already"))
            );
        }
        self.open(index, section)
    }

    /// Ends the call where the actor may not read the section.
    fn open(&mut self, index: usize, section: &str) -> Result<usize, HostError> {
        let Some(draft) = self.drafts.get(index).filter(|draft| draft.closed.contains(section)) else {
            return Ok(index);
        };
        let roles = entitle::roles_on(self.job, draft);
        self.stopped = Some(entitle::unreadable(self.job, draft, section, &roles));
        Err(HostError::Stop)
    }

    fn at<T>(
        &mut self,
        record: u32,
        section: &str,
        pointer: &str,
        look: impl FnOnce(Option<&Json>) -> T,
    ) -> Result<T, HostError> {
        let index = self.readable(record, section)?;
        let pointer = Pointer::parse(pointer).map_err(|error| failure("pointer", error.to_string()))?;
        let Some(draft) = self.drafts.get(index) else { return Ok(look(None)) };
        Ok(draft.with_content(section, |content| {
            look(content.at(&pointer).filter(|found| !(found.is_null() && pointer.tokens().is_empty())))
        }))
    }
}

/// Characters of an operation that the trace shows.
const SHOWN: usize = 200;

/// The beginning of an operation, for people; of a large value no more than that is copied.
fn shown(operation: &Operation) -> String {
    let value = match operation {
        Operation::Add { value, .. } | Operation::Replace { value, .. } | Operation::Test { value, .. } => value,
        Operation::Remove { .. } | Operation::Move { .. } | Operation::Copy { .. } => {
            return operation.to_json().canonical().chars().take(SHOWN).collect();
        }
    };
    let path = Json::from(operation.path().to_string()).canonical();
    let mut text = format!("{{\"op\":\"{}\",\"path\":{path},\"value\":", operation.name()).into_bytes();
    value.canonical_chunks(&mut |chunk| {
        let room = (4 * SHOWN).saturating_sub(text.len());
        text.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
    });
    text.push(b'}');
    String::from_utf8_lossy(&text).chars().take(SHOWN).collect()
}

fn failure(code: &'static str, message: String) -> HostError {
    HostError::Failure { code, message }
}

impl Host for Execution<'_> {
    fn context(&mut self) -> String {
        let payload = self.job.intent.payload();
        let records: Vec<Json> = self
            .drafts
            .iter()
            .map(|draft| {
                let roles: Vec<Json> = entitle::roles_told(self.job, draft).into_iter().map(Json::from).collect();
                json!({"record": draft.record.as_str(), "spec": draft.entry.name.as_str(), "seq": draft.seq(), "exists": draft.before.is_some(), "roles": roles})
            })
            .collect();
        let manifest = &self.package.manifest;
        json!({
            "intent": self.job.intent.id().to_string(), "network": payload.network.to_string(), "actor": payload.actor.as_str(),
            "participant": payload.actor.participant().as_str(), "method": self.method, "time": self.job.time.to_string(),
            "contract": {"name": manifest.name.as_str(), "version": manifest.version.to_string()}, "records": records
        })
        .canonical()
    }

    fn read(&mut self, record: u32, section: &str, pointer: &str) -> Result<Option<String>, HostError> {
        let found = self.at(record, section, pointer, |value| value.map(Json::canonical))?;
        self.trace.push(format!(
            "read {record} {section} {pointer:?} -> {}",
            found.as_deref().map_or("nothing", |text| text.get(..200).unwrap_or(text))
        ));
        Ok(found)
    }

    fn keys(&mut self, record: u32, section: &str, pointer: &str) -> Result<Vec<String>, HostError> {
        self.at(record, section, pointer, |value| match value {
            Some(Json::Object(object)) => Ok(object.keys().map(|key| key.to_owned()).collect()),
            None => Ok(Vec::new()),
            Some(other) => {
                Err(failure("not_an_object", format!("{section}{pointer} is {}, not an object", other.kind())))
            }
        })?
    }

    fn change(&mut self, record: u32, section: &str, operation: Operation) -> Result<(), HostError> {
        let index = self.writable(record, section)?;
        self.trace.push(format!("change {record} {section} {}", shown(&operation)));
        match self.drafts.get_mut(index) {
            Some(draft) => draft.apply(section, operation).map_err(|message| failure("patch", message)),
            None => Ok(()),
        }
    }

    fn notify(&mut self, record: u32, section: &str, kind: &str, data: Json) -> Result<(), HostError> {
        let index = self.writable(record, section)?;
        if !self.drafts.get(index).is_some_and(|draft| draft.usage.notifies.iter().any(|known| known == kind)) {
            return Err(self.undeclared(&format!("emits {kind:?} on record {record}")));
        }
        if self.notifications >= MAX_NOTIFICATIONS {
            return Err(self.stop(Code::Limits, format!("more than {MAX_NOTIFICATIONS} notifications")));
        }
        self.trace.push(format!("notify {record} {section} {kind}"));
        self.notifications += 1;
        if let Some(draft) = self.drafts.get_mut(index) {
            draft.notify(section, Notification { kind: kind.to_owned(), data });
        }
        Ok(())
    }

    fn log(&mut self, message: &str) {
        self.trace.push(format!("log {message}"));
    }
}
