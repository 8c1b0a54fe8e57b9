//! Every key of `lockstep.toml`: what is read, what is refused and what the reference says come from this one list.

/// A key.
#[cfg_attr(not(test), expect(dead_code, reason = "a test makes the reference of it"))]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What it may look like, as TOML.
    example: &'static str,
    /// What it is good for.
    about: &'static str,
    /// What holds without it; none must be there.
    without: Option<&'static str>,
}

/// Keys before any table.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "node",
        example: "\"acme\"",
        about: "This node's name, as the directory has it. `init` and `network join` write it; it never changes.",
        without: None,
    },
    Key {
        name: "participant",
        example: "\"acme\"",
        about: "Whose node it is, as the directory has it. It never changes.",
        without: None,
    },
    Key {
        name: "database",
        example: "\"sqlite:lockstep.db\"",
        about: "The participant's database. A relative file is relative to the directory. `--database` and `LOCKSTEP_DATABASE` go before it.",
        without: None,
    },
    Key {
        name: "password_file",
        example: "\"database.password\"",
        about: "The file with that database's password, relative to the directory; for its owner's eyes only (mode 0600). `init` and `network join` write it where the URL has a password.",
        without: Some("the URL and the variables of the database's clients, such as `PGPASSWORD`"),
    },
    Key {
        name: "actor",
        example: "\"admin@acme\"",
        about: "Whose key signs where `--as` says nothing.",
        without: None,
    },
    Key {
        name: "listen",
        example: "\"0.0.0.0:7500\"",
        about: "Where `run` takes connections of other nodes, which must know each other's keys. HTTP is another address: `run --listen`.",
        without: Some("this node dials, and nobody can dial it"),
    },
    Key {
        name: "tls_cert",
        example: "\"cert.pem\"",
        about: "The certificate chain for HTTPS, PEM, relative to the directory. Goes with `tls_key`. Read at the start and at SIGHUP.",
        without: Some("HTTP is answered on loopback addresses only"),
    },
    Key {
        name: "tls_key",
        example: "\"key.pem\"",
        about: "The certificate's key, PEM, relative to the directory; for its owner's eyes only (mode 0600).",
        without: Some("as `tls_cert`"),
    },
    Key {
        name: "broker",
        example: "",
        about: "A table `[[broker]]`, one at most: where notifications go.",
        without: Some("the latest 1,000 are kept in memory; all stay in `lockstep_outbox`"),
    },
];

/// Keys of `[[broker]]`.
pub(super) const BROKER_KEYS: &[Key] = &[
    Key { name: "name", example: "\"audit-trail\"", about: "What messages about it call it.", without: None },
    Key {
        name: "url",
        example: "\"file:notifications.ndjson\"",
        about: "`file:` and a file, relative to the directory, to which a CloudEvent a line is appended.",
        without: None,
    },
];

/// Refuses what is no key, and says which one was meant.
pub(super) fn only_known(table: &toml::Table, known: &[Key]) -> Result<(), String> {
    match table.keys().find(|key| known.iter().all(|known| known.name != key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let like = known.iter().map(|known| known.name).min_by_key(|known| super::distance(known, key));
            Err(format!("key {key} is not known; did you mean {}?", like.unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, FILE};
    use super::*;

    const HEAD: &str = "\
# Configuration

A node reads one file, `lockstep.toml` in its directory, when a command begins; `run` reads it once. A key that is not in the tables below is refused, with the one that was probably meant (code `configuration`). Keys come before
tables. This page is made from `runtime/cli/src/config/keys.rs`, the list that the file is read by, by `LOCKSTEP_BLESS=1 cargo test -p lockstep-cli --bin lockstep the_reference`; do not edit it.
";
    const TAIL: &str = "
## What is no file

| | |
| --- | --- |
| `LOCKSTEP_DIR` | the node's directory, as `--dir` |
| `LOCKSTEP_DATABASE` | the database, as `--database`; goes before the file |
| `NO_COLOR` | no colours on a terminal |
| `run --listen` | where HTTP is answered: `127.0.0.1:7400` |
| `run --log` | how lines on standard error look: `human` or `json` |
| `--quiet` | no lines but warnings and errors |

Bounds of connections, bodies and readers are fixed in this version: [http.md](http.md) has them. Configuration gives no rights: who may do and see what follows from the directory and from records.
";

    fn table(title: &str, keys: &[Key]) -> String {
        let mut text =
            format!("\n## {title}\n\n| key | example | what it does | without it |\n| --- | --- | --- | --- |\n");
        for Key { name, example, about, without } in keys {
            let example = if example.is_empty() { String::new() } else { format!("`{example}`") };
            text.push_str(&format!("| `{name}` | {example} | {about} | {} |\n", without.unwrap_or("refused")));
        }
        text
    }

    #[test]
    fn the_reference_is_the_list_that_the_file_is_read_by() {
        let expected = format!("{HEAD}{}{}{TAIL}", table(FILE, KEYS), table("[[broker]]", BROKER_KEYS));
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        if std::env::var_os("LOCKSTEP_BLESS").is_some() {
            std::fs::write(&path, &expected).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "docs/configuration.md is not what keys.rs says; LOCKSTEP_BLESS=1 writes it");
    }

    fn all(leave_out: &str, instead: &str) -> String {
        let line = |key: &Key| match (key.name == leave_out, instead) {
            (true, "") => String::new(),
            (true, other) => format!("{} = {other}\n", key.name),
            (false, _) => format!("{} = {}\n", key.name, key.example),
        };
        let keys: String = KEYS.iter().filter(|key| !key.example.is_empty()).map(line).collect();
        keys + "[[broker]]\n" + &BROKER_KEYS.iter().map(line).collect::<String>()
    }

    #[test]
    fn every_key_of_the_list_is_read() {
        assert!(Config::parse(&all("", "")).is_ok(), "{:?}", Config::parse(&all("", "")));
        for key in KEYS.iter().chain(BROKER_KEYS).filter(|key| !key.example.is_empty()) {
            let wrong = format!("{0} is a text: {0} = \"…\"", key.name);
            assert_eq!(Config::parse(&all(key.name, "7")), Err(wrong), "nobody reads it, or reads anything");
            let missing = Config::parse(&all(key.name, ""));
            match key.without {
                None => assert_eq!(missing, Err(format!("{} is missing", key.name))),
                // A certificate without its key is half of one.
                Some(_) => assert_eq!(missing.is_err(), key.name.starts_with("tls_"), "{}", key.name),
            }
        }
    }
}
