//! A bulletin: a text that its editor revises, and entries that change one by one.
//!
//! It is the plainest contract that does something with what it is given: `lockstep bench` measures with it.

use std::collections::BTreeMap;

use lockstep_contract::prelude::*;

#[derive(Deserialize)]
struct Open {
    title: String,
    body: String,
    #[serde(default)]
    entries: BTreeMap<String, String>,
}

/// The editor opens a bulletin.
fn open(cx: &mut Context, args: Open) -> Outcome {
    cx.require(!cx.exists(), "opened_already", "this bulletin is there already")?;
    cx.require_role("editor")?;
    cx.set("text", &json!({"title": args.title, "edition": 1, "body": args.body}))?;
    cx.set("entries", &args.entries)?;
    cx.grant("editor", cx.actor())
}

#[derive(Deserialize)]
struct Revise {
    body: String,
}

/// The editor replaces the body.
fn revise(cx: &mut Context, args: Revise) -> Outcome {
    cx.require_role("editor")?;
    cx.require(!args.body.is_empty(), "empty", "an edition says something")?;
    let edition: u64 = cx.read("text", "/edition")?;
    cx.replace("text", "/body", &args.body)?;
    cx.replace("text", "/edition", &(edition + 1))?;
    cx.notify("text", "bulletin.revised", &json!({"edition": edition + 1}))
}

#[derive(Deserialize)]
struct Enter {
    name: String,
    value: String,
}

/// The editor sets one of the entries.
fn enter(cx: &mut Context, args: Enter) -> Outcome {
    cx.require_role("editor")?;
    cx.add("entries", &format!("/{}", args.name), &args.value)
}

lockstep_contract::contract!(open, revise, enter);
