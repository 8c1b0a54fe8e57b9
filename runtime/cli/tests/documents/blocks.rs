//! A document as its fenced blocks: read, run, compare, and written anew under `LOCKSTEP_BLESS=1`.
//!
//! | block | what is done with it |
//! | --- | --- |
//! | `sh` | run with `bash -e` in the document's own directory; `cd` lasts to the next block |
//! | `sql` | given to `lockstep sql`; must be a valid query, and must have rows |
//! | `text` after either | must be what that printed, volatile parts masked |
//! | anything with `file=NAME` | written to that file, as a reader would |
//! | `append=NAME`, `json merge=NAME`, `diff apply=NAME` | added to that file, merged into it, applied to it |
//! | `json from=FILE#POINTER`, `text from=FILE#POINTER` | must be that value of the file |
//! | `sh skip`, and all others | read by people only |

use std::path::{Path, PathBuf};
use std::process::Command;

use lockstep_core::json::{Json, Limits, Pointer};

use super::{both, repository};

/// One fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Line of the opening fence, from 1.
    pub(crate) line: usize,
    /// The words after the fence.
    pub(crate) info: Vec<String>,
    /// What is between the fences, with its last line feed.
    pub(crate) body: String,
}

impl Block {
    fn is(&self, language: &str) -> bool {
        self.info.first().is_some_and(|word| word == language) && !self.info.iter().any(|word| word == "skip")
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.info.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The blocks of a document, in order.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let (mut found, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (number, line) in (1..).zip(text.lines()) {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                let info = info.split_whitespace().map(str::to_owned).collect();
                open = Some(Block { line: number, info, body: String::new() });
            }
            (Some(_), Some("")) => found.extend(open.take()),
            (Some(block), _) => {
                block.body.push_str(line);
                block.body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

/// A document being executed in a directory of its own.
pub(crate) struct Document {
    path: PathBuf,
    name: String,
    text: String,
    scratch: PathBuf,
    here: PathBuf,
    failures: Vec<String>,
}

impl Document {
    /// Opens a document of the repository; commands run in `scratch`.
    pub(crate) fn open(name: &str, scratch: PathBuf) -> Document {
        let path = repository().join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        Document { path, name: name.to_owned(), text, here: scratch.clone(), scratch, failures: Vec::new() }
    }

    /// Executes and compares all blocks; panics with everything that differs.
    pub(crate) fn execute(mut self) {
        let mut printed: Option<String> = None;
        for block in blocks(&self.text.clone()) {
            if let Some(source) = block.option("from") {
                self.compare_source(&block, source);
            } else if let Some(file) = block.option("file") {
                let at = self.here.join(file);
                std::fs::create_dir_all(at.parent().unwrap_or(&self.here))
                    .unwrap_or_else(|error| panic!("{file}: {error}"));
                std::fs::write(&at, &block.body).unwrap_or_else(|error| panic!("{file}: {error}"));
            } else if let Some(file) = ["append", "merge", "apply"].into_iter().find_map(|how| block.option(how)) {
                self.edit(&block, file);
            } else if block.is("sh") {
                printed = Some(self.shell(&block));
                continue;
            } else if block.is("sql") {
                printed = Some(self.query(&block));
                continue;
            } else if let (true, Some(printed)) = (block.is("text"), printed.take())
                && mask(&block.body) != mask(&printed)
            {
                self.differs(&block, &printed);
            }
            printed = None;
        }
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
    }

    fn command(&self) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_lockstep"));
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command.env("PATH", format!("{}:{path}", binary.parent().unwrap_or(Path::new(".")).display()));
        command
            .env_remove("LOCKSTEP_DIR")
            .env_remove("LOCKSTEP_DATABASE")
            .env_remove("CARGO_TARGET_DIR")
            .env("NO_COLOR", "1");
        command.env("LOCKSTEP_REPOSITORY", repository()).current_dir(&self.here);
        command
    }

    /// Edits a file as its reader would, with an editor.
    fn edit(&mut self, block: &Block, file: &str) {
        let at = self.here.join(file);
        let before = std::fs::read_to_string(&at).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
        let json = |text: &str| {
            Json::parse(text.as_bytes(), &Limits::default())
                .unwrap_or_else(|error| panic!("{}:{}: {error}", self.name, block.line))
        };
        let after = if block.option("append").is_some() {
            before + &block.body
        } else if block.option("merge").is_some() {
            pretty(&merged(json(&before), &json(&block.body)), 0) + "\n"
        } else {
            let kept = |other: char| {
                block
                    .body
                    .lines()
                    .filter(|line| !line.starts_with(other))
                    .map(|line| format!("{}\n", line.get(1..).unwrap_or_default()))
                    .collect::<String>()
            };
            let (old, new) = (kept('+'), kept('-'));
            if before.matches(&old).count() != 1 {
                return self.failures.push(format!("{}:{}: {file} does not have once\n{old}", self.name, block.line));
            }
            before.replacen(&old, &new, 1)
        };
        std::fs::write(&at, after).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
    }

    /// A new contract shares what it compiles with the other tests: the first build of all takes a minute.
    fn share_compiled(&self) {
        let (shared, here) = (
            Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(|target| target.join("lockstep-contracts")),
            self.here.join("target"),
        );
        if let (Some(shared), true, false) = (shared, self.here.join("contract.toml").is_file(), here.exists()) {
            let _ = std::fs::create_dir_all(&shared).and_then(|()| std::os::unix::fs::symlink(shared, here));
        }
    }

    fn shell(&mut self, block: &Block) -> String {
        self.share_compiled();
        let state = self.scratch.join(".here");
        let script = format!("trap 'pwd > {}' EXIT\n{}", state.display(), block.body);
        let output =
            self.command().args(["-e", "-c", &script]).output().unwrap_or_else(|error| panic!("bash: {error}"));
        if !output.status.success() {
            self.failures.push(format!(
                "{}:{}: ended with {}\n{}",
                self.name,
                block.line,
                output.status,
                both(&output)
            ));
        }
        if let Ok(here) = std::fs::read_to_string(&state) {
            self.here = PathBuf::from(here.trim_end());
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn query(&mut self, block: &Block) -> String {
        let output = self.command().args(["-c", "lockstep sql \"$1\"", "sql", &block.body]).output();
        let output = output.unwrap_or_else(|error| panic!("bash: {error}"));
        let json = self.command().args(["-c", "lockstep --json sql \"$1\"", "sql", &block.body]).output();
        let rows = json.ok().and_then(|json| Json::parse(&json.stdout, &Limits::default()).ok());
        let rows = rows.and_then(|rows| rows.as_array().map(<[Json]>::len)).unwrap_or_default();
        let may_be_empty = block.info.iter().any(|word| word == "empty");
        if !output.status.success() || (rows == 0 && !may_be_empty) {
            self.failures.push(format!(
                "{}:{}: {} with {rows} rows\n{}",
                self.name,
                block.line,
                output.status,
                both(&output)
            ));
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn compare_source(&mut self, block: &Block, source: &str) {
        let (file, pointer) =
            source.split_once('#').unwrap_or_else(|| panic!("{}:{}: from=FILE#POINTER", self.name, block.line));
        let bytes = std::fs::read(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let value = Json::parse(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{file}: {error}"));
        let (pointer, decode) = match pointer.strip_suffix("!base64") {
            Some(pointer) => (pointer, true),
            None => (pointer, false),
        };
        let pointer = Pointer::parse(pointer).unwrap_or_else(|error| panic!("{}:{}: {error}", self.name, block.line));
        let Some(mut value) = value.at(&pointer).cloned() else {
            return self.failures.push(format!("{}:{}: {source} leads nowhere", self.name, block.line));
        };
        if decode {
            let bytes =
                value.as_str().and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok()).unwrap_or_default();
            value = Json::parse(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{source}: {error}"));
        }
        let expected = match (block.info.first().map(String::as_str), &value) {
            (Some("text"), Json::String(text)) => format!("{}\n", text.trim_end_matches('\n')),
            _ => pretty(&value, 0) + "\n",
        };
        if block.body != expected {
            self.differs(block, &expected);
        }
    }

    /// Notes a difference; under `LOCKSTEP_BLESS=1` writes what is right.
    fn differs(&mut self, block: &Block, expected: &str) {
        if std::env::var_os("LOCKSTEP_BLESS").is_none() {
            let what = format!(
                "{}:{}: is\n{}and should be\n{expected}(LOCKSTEP_BLESS=1 writes it)",
                self.name, block.line, block.body
            );
            return self.failures.push(what);
        }
        let now = std::fs::read_to_string(&self.path).unwrap_or_default();
        let fence = format!("```{}\n", block.info.join(" "));
        // Blocks before this one may have been rewritten, so it is found by what it is and where it was.
        let at = blocks(&now)
            .into_iter()
            .filter(|other| other.info == block.info && other.body == block.body)
            .map(|other| other.line);
        let Some(line) = at.min_by_key(|line| line.abs_diff(block.line)) else { return };
        let start: usize = now.lines().take(line - 1).map(|line| line.len() + 1).sum::<usize>() + fence.len();
        let blessed = format!("{}{expected}{}", &now[..start], &now[start + block.body.len()..]);
        std::fs::write(&self.path, blessed).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }
}

/// The members of one object put into another, all the way down.
fn merged(into: Json, from: &Json) -> Json {
    match (into, from) {
        (Json::Object(mut into), Json::Object(from)) => {
            for (name, value) in from.iter() {
                let before = into.remove(name).unwrap_or_default();
                into.insert(name, merged(before, value));
            }
            Json::Object(into)
        }
        (_, from) => from.clone(),
    }
}

/// JSON for people: what fits on a line stays on one.
pub(crate) fn pretty(value: &Json, depth: usize) -> String {
    let line = value.canonical();
    if line.len() + 2 * depth <= 100 {
        return spaced(&line);
    }
    let (inside, end) = ("  ".repeat(depth + 1), "  ".repeat(depth));
    match value {
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| format!("{inside}{}", pretty(item, depth + 1))).collect();
            format!("[\n{}\n{end}]", items.join(",\n"))
        }
        Json::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, item)| format!("{inside}{}: {}", Json::from(name), pretty(item, depth + 1)))
                .collect();
            format!("{{\n{}\n{end}}}", members.join(",\n"))
        }
        _ => line,
    }
}

/// A space after each colon and comma outside of strings.
fn spaced(line: &str) -> String {
    let (mut out, mut quoted, mut escaped) = (String::new(), false, false);
    for character in line.chars() {
        out.push(character);
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ':' | ',' if !quoted => out.push(' '),
            _ => {}
        }
    }
    out
}

/// Output without what differs from run to run: digests and keys, times, durations, sizes, paths, padding.
pub(crate) fn mask(text: &str) -> String {
    let patterns = [
        (r"/[^\s:'\x22]*/(tmp|target)/[^\s:'\x22]*", "PATH"),
        (r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}(\.[0-9]+)?Z?", "TIME"),
        (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "DATE"),
        (r"[0-9a-f]{8,64}(…|\.\.\.)?", "HEX"),
        (r"[0-9]+(\.[0-9]+)? ?(seconds|s|ms|µs)\b", "DURATION"),
        (r"[0-9]+ (bytes|KB|MB)\b", "BYTES"),
        (r"[-─]{3,}", "---"),
        (r"[ \t]+", " "),
    ];
    let mut masked = text.to_owned();
    for (pattern, word) in patterns {
        let Ok(pattern) = regex_lite::Regex::new(pattern) else { continue };
        masked = pattern.replace_all(&masked, word).into_owned();
    }
    masked.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}
