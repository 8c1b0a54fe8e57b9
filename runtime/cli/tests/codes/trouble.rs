//! Commands that cannot do their work.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::stage::{Met, Stage};
use crate::support::{Ran, package};

pub(crate) fn usage(stage: &Stage) -> Met {
    stage.run(&["submit", "house_sale", "acme:sale-1"]).into()
}

pub(crate) fn no_directory(stage: &Stage) -> Met {
    stage.run_in(&stage.place.0.join("nowhere"), &["actor", "list"]).into()
}

pub(crate) fn directory_exists(stage: &Stage) -> Met {
    stage.run(&["init", stage.place.dir().to_str().unwrap(), "--network", "n", "--participant", "acme"]).into()
}

pub(crate) fn directory_in_use(stage: &Stage) -> Met {
    let lock = std::fs::File::options().append(true).open(stage.place.dir().join("lock")).unwrap();
    lock.try_lock().unwrap();
    let met = stage.call("house_sale.offer", "bob", "{}", &[]).into();
    drop(lock);
    met
}

pub(crate) fn configuration(stage: &Stage) -> Met {
    let dir = stage.copy();
    let text = std::fs::read_to_string(dir.join("lockstep.toml")).unwrap();
    std::fs::write(dir.join("lockstep.toml"), format!("colour = \"red\"\n{text}")).unwrap();
    stage.run_in(&dir, &["actor", "list"]).into()
}

pub(crate) fn unknown_key(stage: &Stage) -> Met {
    stage.call("house_sale.offer", "nobody", "{}", &[]).into()
}

pub(crate) fn key_file(stage: &Stage) -> Met {
    let dir = stage.copy();
    let key = dir.join("keys/bob@buyer.key");
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).unwrap();
    stage.run_in(&dir, &["submit", "house_sale.offer", "acme:sale-1", "--as", "bob@buyer"]).into()
}

pub(crate) fn ambiguous(stage: &Stage) -> Met {
    let dir = stage.copy();
    assert_eq!(stage.run_in(&dir, &["actor", "add", "bob", "--participant", "acme"]).status, 0);
    stage.run_in(&dir, &["actor", "show", "bob"]).into()
}

pub(crate) fn not_found(stage: &Stage) -> Met {
    stage.run(&["intent", "show", &"0".repeat(64)]).into()
}

pub(crate) fn directory_refused(stage: &Stage) -> Met {
    stage.run(&["contract", "deploy", package().to_str().unwrap()]).into()
}

pub(crate) fn package_refused(stage: &Stage) -> Met {
    let path = stage.place.0.join("garbage");
    std::fs::write(&path, b"lockstep-package/1\nno").unwrap();
    stage.run(&["contract", "deploy", path.to_str().unwrap()]).into()
}

pub(crate) fn build_failed(stage: &Stage) -> Met {
    let dir = stage.place.0.join("empty_contract");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("contract.toml"), "name = 7").unwrap();
    stage.run(&["contract", "build", dir.to_str().unwrap()]).into()
}

/// With nothing on the path that compiles, and a `rustc` that knows no WebAssembly.
pub(crate) fn tool_missing(stage: &Stage) -> Met {
    stage.run(&["contract", "new", "parcel"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.current_dir(&stage.place.0).args(["contract", "build", "parcel", "--json"]);
    let ended = command.env("PATH", "/nonexistent").env_remove("RUSTC").env_remove("CARGO").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { status: ended.status.code().unwrap_or(-1), stdout: text(ended.stdout), stderr: text(ended.stderr) }.into()
}

pub(crate) fn query_refused(stage: &Stage) -> Met {
    stage.run(&["sql", "DELETE FROM house_sale"]).into()
}

pub(crate) fn database_unavailable(stage: &Stage) -> Met {
    stage.run(&["record", "list", "house_sale", "--database", "sqlite:/nonexistent/lockstep.db"]).into()
}

pub(crate) fn database_shape(stage: &Stage) -> Met {
    let dir = stage.copy();
    crate::stage::edit(&dir.join("lockstep.db"), &["ALTER TABLE house_sale RENAME COLUMN lockstep_seq TO seq"])
        .unwrap();
    stage.run_in(&dir, &["submit", "house_sale.offer", "acme:sale-1", "--as", "bob"]).into()
}

pub(crate) fn outcome_unknown(stage: &Stage) -> Met {
    stage.call("house_sale.offer", "bob", "{}", &["--timeout", "0s"]).into()
}

pub(crate) fn io(stage: &Stage) -> Met {
    stage.run(&["submit", "--envelope", "@/nonexistent/envelope.json"]).into()
}
