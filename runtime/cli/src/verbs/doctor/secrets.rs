//! What stands beside the database: keys, and the checkpoint that the node keeps with them.

use std::os::unix::fs::PermissionsExt;

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::directory::Directory;
use lockstep_core::log::Checkpoint;
use lockstep_core::names::ActorId;
use lockstep_core::project::origin;
use lockstep_core::tables::{Cell, name};
use lockstep_tls::HttpsAcceptor;

use super::Finding;
use crate::context::Home;
use crate::error::CliError;
use crate::keys::{Key, node_key_path};
use crate::stored::{Stored, text};

/// The node's key is the one that the directory knows.
pub(crate) fn node_key(home: &Home, directory: &Directory) -> Finding {
    let path = node_key_path(&home.dir);
    let known = directory.nodes().get(&home.config.node).map(|node| node.key);
    match (Key::read(&path), known) {
        (Ok(key), Some(known)) if key.public() == known => {
            Finding::well("node_key", "it is the one that the directory knows")
        }
        (Ok(_), Some(_)) => Finding::ill(
            "node_key",
            format!("{} is another key than the directory knows for {}", path.display(), home.config.node),
            "restore the node's own key from its backup",
        ),
        (Ok(_), None) => Finding::ill(
            "node_key",
            format!("the directory knows no node {}", home.config.node),
            "lockstep.toml names the node; restore the name that this database was made with",
        ),
        (Err(error), _) => Finding::of("node_key", &error),
    }
}

/// The actors' keys: readable by their owner only, and still the ones that the directory knows.
pub(super) fn keys(home: &Home, directory: &Directory) -> Vec<Finding> {
    let folder = home.dir.join("keys");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return vec![Finding::well("keys", format!("none are kept in {}", folder.display()))];
    };
    let mut found = Vec::new();
    let mut well = 0;
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "key")) {
        match Key::read(path) {
            Err(error) => found.push(Finding::of("keys", &error)),
            Ok(key) => match outdated(&key, directory) {
                None => well += 1,
                Some((detail, fix)) => found.push(Finding::ill("keys", detail, fix)),
            },
        }
    }
    if let Ok(mode) = std::fs::metadata(&folder).map(|folder| folder.permissions().mode())
        && mode & 0o022 != 0
    {
        let fix = format!("chmod go-w {}", folder.display());
        found.push(Finding::ill("keys", format!("others can write to {}", folder.display()), fix));
    }
    if well > 0 || found.is_empty() {
        found.push(Finding::well("keys", format!("{well} can be read, and only by their owner")));
    }
    found
}

fn outdated(key: &Key, directory: &Directory) -> Option<(String, String)> {
    let owner = &key.owner;
    let actor = ActorId::parse(owner).ok().and_then(|id| directory.actors().get(&id));
    match actor {
        // A key may be made long before its actor is added, and the key of a revoked one is worth nothing anyway.
        None => None,
        Some(actor) if actor.revoked.is_some() => None,
        Some(actor) if actor.key != key.public() => Some((
            format!("{owner} has another key by now"),
            "get the current key from whoever rotated it, and delete this file".to_owned(),
        )),
        Some(_) => None,
    }
}

/// The certificate for HTTPS, where there is one: it can be read, fits its key, and the key is for nobody else's eyes.
pub(super) fn certificate(home: &Home) -> Option<Finding> {
    let (certificate, key) = home.config.tls.as_ref()?;
    let (certificate, key) = (home.dir.join(certificate), home.dir.join(key));
    if let Err(problem) = HttpsAcceptor::read(&certificate, &key) {
        let fix = "tls_cert names the chain and tls_key its key, both PEM; put both in place, then kill -HUP the node";
        return Some(Finding::ill("certificate", problem, fix));
    }
    let mode = std::fs::metadata(&key).map(|key| key.permissions().mode()).unwrap_or_default();
    if mode & 0o007 != 0 {
        let detail = format!("everybody on this machine can read {} (mode {:o})", key.display(), mode & 0o777);
        return Some(Finding::ill("certificate", detail, format!("chmod 600 {}", key.display())));
    }
    Some(Finding::well("certificate", format!("{} fits its key", certificate.display())))
}

/// The newest signed head that the node keeps beside its key: the database's log must reach it.
pub(crate) async fn checkpoint(home: &Home, stored: &Stored, directory: &Directory) -> Finding {
    let path = home.checkpoint();
    let Some(node) = directory.nodes().get(&home.config.node) else {
        return Finding::ill("checkpoint", "nothing to check it with", "mend what node_key says first");
    };
    let note = match std::fs::read_to_string(&path) {
        Ok(note) => note,
        Err(error) => {
            let fix = "put it back from where keys are kept; the next commit writes a new one, and until then an older copy of the database is not noticed";
            return Finding::ill("checkpoint", format!("{}: {error}", path.display()), fix);
        }
    };
    let log = format!("{}/{}", home.config.node, node.incarnation);
    let kept = match Checkpoint::verify(&note, &origin(&directory.network(), &log), &node.key) {
        Ok(kept) => kept,
        Err(error) => {
            return Finding::ill(
                "checkpoint",
                format!("it is not this node's: {error}"),
                Code::ForeignCheckpoint.remedy(),
            );
        }
    };
    match root_at(stored, &log, kept.size).await {
        Err(error) => Finding::of("checkpoint", &error),
        Ok(Some(root)) if root == kept.root => {
            Finding::well("checkpoint", format!("the database reaches it, at {} leaves", kept.size))
        }
        Ok(Some(_)) => {
            Finding::ill("checkpoint", "the database's log is another one", Code::ForeignCheckpoint.remedy())
        }
        Ok(None) => Finding::ill(
            "checkpoint",
            format!("the database has no head of {} leaves, which this node signed", kept.size),
            Code::BehindCheckpoint.remedy(),
        ),
    }
}

async fn root_at(stored: &Stored, log: &str, size: u64) -> Result<Option<Digest>, CliError> {
    let table = stored.own(name::CHECKPOINT)?;
    let rows = stored.database().select(table, "size", &[Cell::count(size)]).await?;
    let row = rows.iter().find(|row| text(table, row, "log") == log);
    Ok(row.and_then(|row| Digest::parse(&text(table, row, "root")).ok()))
}
