//! Every document executed, block by block; what can be done with a block stands in `documents/blocks.rs`.

mod documents;

use documents::blocks::{Document, blocks, mask};
use documents::scratch;
use lockstep_core::json::{Json, Limits};
use lockstep_core::sync::Message;

fn execute(name: &str) {
    let scratch = scratch(&name.replace(['/', '.'], "-"));
    Document::open(name, scratch.clone()).execute();
    let _ = std::fs::remove_dir_all(scratch);
}

#[test]
fn readme() {
    execute("README.md");
}

/// The block between the marks in README.md is what the demo prints.
fn shows(name: &str, arguments: &[&str]) {
    let marks = [format!("<!-- {name}:begin -->\n```text\n"), format!("```\n<!-- {name}:end -->")];
    let (path, scratch) = (documents::repository().join("README.md"), scratch(name));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let (before, rest) = text.split_once(&marks[0]).unwrap_or_else(|| panic!("README.md has no {}", marks[0]));
    let (shown, after) = rest.split_once(&marks[1]).unwrap_or_else(|| panic!("README.md has no {}", marks[1]));
    let printed = documents::run(&scratch, arguments, &[0]);
    let printed = printed.replace(env!("CARGO_BIN_EXE_lockstep"), "target/release/lockstep");
    let printed = printed.trim_start_matches('\n');
    if mask(shown) == mask(printed) {
        return;
    }
    assert!(
        std::env::var_os("LOCKSTEP_BLESS").is_some(),
        "README.md shows\n{shown}and the demo prints\n{printed}(LOCKSTEP_BLESS=1 writes it)"
    );
    let blessed = format!("{before}{}{printed}{}{after}", marks[0], marks[1]);
    std::fs::write(&path, blessed).unwrap_or_else(|error| panic!("README.md: {error}"));
}

#[test]
fn the_readme_shows_the_demo() {
    shows("demo-output", &["demo"]);
}

#[test]
fn the_readme_shows_the_network() {
    shows("demo-network-output", &["demo", "--network"]);
}

#[test]
fn first_contract() {
    execute("docs/first-contract.md");
}

#[test]
fn twenty_questions_in_sql() {
    execute("docs/sql.md");
}

#[test]
fn manual() {
    execute("docs/manual.md");
}

/// A node as other programs reach it; by `curl`.
#[test]
fn over_http() {
    execute("docs/http.md");
}

/// Setting up, watching, copies, the way out.
#[test]
fn operating() {
    execute("docs/operating.md");
}

/// Two organisations and an observer, each a process of its own.
#[test]
fn with_your_counterparty() {
    execute("docs/network.md");
}

#[test]
fn the_specification_shows_real_bytes() {
    for name in [
        "canonical",
        "envelopes",
        "commitments",
        "events",
        "log",
        "receipts",
        "directory",
        "packages",
        "sync",
        "tokens",
    ] {
        execute(&format!("docs/spec/{name}.md"));
    }
}

/// A message between nodes that a document shows is one, and nothing is missing in it.
#[test]
fn messages_are_shown_as_they_travel() {
    let text = std::fs::read(documents::repository().join("docs/spec/sync.md")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let shown = blocks(&text).into_iter().filter(|block| block.info == ["json", "message"]);
    let read: Vec<&str> = shown
        .map(|block| {
            let written = Json::parse(block.body.as_bytes(), &Limits::default()).map(|json| json.canonical());
            let written = written.unwrap_or_else(|error| panic!("line {}: {error}", block.line)).into_bytes();
            let read = Message::decode(&written).unwrap_or_else(|error| panic!("line {}: {error}", block.line));
            assert_eq!(read.encode(), written, "line {}", block.line);
            read.kind()
        })
        .collect();
    assert_eq!(read, ["hello", "feed", "ack", "fetch", "forwarded"]);
}

/// The code map names every module of core and node, and no other.
#[test]
fn the_code_map_is_whole() {
    let repository = documents::repository();
    let text =
        |file: &str| std::fs::read_to_string(repository.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let map = text("ARCHITECTURE.md");
    for library in ["runtime/core/src/lib.rs", "runtime/node/src/lib.rs"] {
        for line in text(library).lines() {
            let module = line.trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
            if let Some(module) = module {
                assert!(map.contains(&format!("`{module}`")), "ARCHITECTURE.md does not name {module} of {library}");
            }
        }
    }
    let section = map.split("## Where to change what").nth(1).unwrap_or_default();
    let path =
        regex_lite::Regex::new(r"`((core|vm|node|cli)/src/[a-z_/]+(\.rs)?)`").unwrap_or_else(|error| panic!("{error}"));
    for found in path.captures_iter(section) {
        let file = format!("runtime/{}", &found[1]);
        assert!(repository.join(&file).exists(), "ARCHITECTURE.md names {file}, which is not there");
    }
}

/// A file that a document names by a relative link is there.
#[test]
fn links_lead_somewhere() {
    let repository = documents::repository();
    let mut files = vec!["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"]
        .into_iter()
        .map(std::path::PathBuf::from)
        .collect::<Vec<_>>();
    for dir in ["docs", "docs/spec"] {
        let entries = std::fs::read_dir(repository.join(dir)).into_iter().flatten().flatten();
        files.extend(
            entries
                .map(|entry| std::path::Path::new(dir).join(entry.file_name()))
                .filter(|path| path.extension().is_some_and(|end| end == "md")),
        );
    }
    let link = regex_lite::Regex::new(r"\]\(([^)#:\s]+)(#[^)]*)?\)").ok();
    let mut broken = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(repository.join(&file))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for found in link.iter().flat_map(|link| link.captures_iter(&text)) {
            let target = found.get(1).map_or("", |target| target.as_str());
            let at = repository.join(&file).with_file_name(target);
            if !at.exists() {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}
