//! A host in memory, so that a contract's methods can be tested with `cargo test`.
//!
//! It knows sections and operations, not specs, entitlements or manifests: what the real runtime refuses
//! for those reasons it lets pass. `contract test` runs scenarios against the real one.

use crate::door::Operation;
use crate::outcome::Failure;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::default());
}

/// What a call sees and what it has done so far, on this thread.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The context as the contract gets it; see [`context_of`].
    pub context: Value,
    /// Sections by record position and name.
    pub sections: BTreeMap<(u32, String), Value>,
    /// What was notified: record, section, type, data.
    pub notifications: Vec<(u32, String, String, Value)>,
    /// What was logged.
    pub log: Vec<String>,
}

/// A context for `actor` with `roles` in one existing record.
pub fn context_of(actor: &str, roles: &[&str]) -> Value {
    let participant = actor.split_once('@').map_or(actor, |(_, participant)| participant);
    json!({
        "intent": "00", "network": "00", "actor": actor, "participant": participant, "method": "test",
        "time": "2026-11-21T10:02:11.000412Z", "contract": {"name": "test", "version": "1.0.0"},
        "records": [{"record": "acme:test-1", "spec": "test", "seq": 2, "exists": true, "roles": roles}],
    })
}

/// Sets what the following calls on this thread see.
pub fn install(host: Host) {
    HOST.with(|current| *current.borrow_mut() = host);
}

/// What the calls have made of it.
pub fn taken() -> Host {
    HOST.with(|current| current.borrow().clone())
}

fn with<T>(act: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with(|host| act(&mut host.borrow_mut()))
}

pub(crate) fn context() -> String {
    with(|host| host.context.to_string())
}

pub(crate) fn read(record: u32, section: &str, pointer: &str) -> Result<Option<String>, Failure> {
    with(|host| {
        let content = host.sections.get(&(record, section.to_owned()));
        Ok(content.and_then(|content| content.pointer(pointer)).map(Value::to_string))
    })
}

pub(crate) fn keys(record: u32, section: &str, pointer: &str) -> Result<Vec<String>, Failure> {
    let text = read(record, section, pointer)?;
    match text.and_then(|text| serde_json::from_str::<Map<String, Value>>(&text).ok()) {
        Some(object) => Ok(object.keys().cloned().collect()),
        None => Err(Failure::new("pointer", format!("{section}{pointer} is no object"))),
    }
}

pub(crate) fn change(record: u32, section: &str, operation: Operation<'_>) -> Result<(), Failure> {
    with(|host| {
        let document = host.sections.entry((record, section.to_owned())).or_default();
        apply(document, operation)
            .ok_or_else(|| Failure::new("patch", format!("{operation:?} does not apply to {section}")))
    })
}

pub(crate) fn notify(record: u32, section: &str, kind: &str, data: &str) -> Result<(), Failure> {
    let data = serde_json::from_str(data).map_err(|error| Failure::new("json", error.to_string()))?;
    with(|host| host.notifications.push((record, section.to_owned(), kind.to_owned(), data)));
    Ok(())
}

pub(crate) fn log(message: &str) {
    with(|host| host.log.push(message.to_owned()));
}

fn apply(document: &mut Value, operation: Operation<'_>) -> Option<()> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    match operation {
        Operation::Add { path, value } => add(document, path, parse(value)?),
        Operation::Remove { path } => remove(document, path).map(drop),
        Operation::Replace { path, value } => {
            *document.pointer_mut(path)? = parse(value)?;
            Some(())
        }
        Operation::Move { from, path } => {
            let value = remove(document, from)?;
            add(document, path, value)
        }
        Operation::Copy { from, path } => {
            let value = document.pointer(from)?.clone();
            add(document, path, value)
        }
        Operation::Test { path, value } => (document.pointer(path)? == &parse(value)?).then_some(()),
    }
}

/// The parent's value and the last token of `path`.
fn parent<'a>(document: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parent, token) = path.rsplit_once('/')?;
    Some((document.pointer_mut(parent)?, token.replace("~1", "/").replace("~0", "~")))
}

fn add(document: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *document = value;
        return Some(());
    }
    match parent(document, path)? {
        (Value::Object(object), name) => {
            object.insert(name, value);
        }
        (Value::Array(array), token) if token == "-" => array.push(value),
        (Value::Array(array), token) => {
            let index = token.parse().ok().filter(|index| *index <= array.len())?;
            array.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(document: &mut Value, path: &str) -> Option<Value> {
    if path.is_empty() {
        return Some(document.take());
    }
    match parent(document, path)? {
        (Value::Object(object), name) => object.remove(&name),
        (Value::Array(array), token) => {
            let index = token.parse().ok().filter(|index| *index < array.len())?;
            Some(array.remove(index))
        }
        _ => None,
    }
}
