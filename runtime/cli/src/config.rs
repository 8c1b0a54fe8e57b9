//! `lockstep.toml`: read once, here.

mod keys;

use std::path::Path;

use lockstep_core::codes::Code;
use toml::{Table, Value};

use crate::error::{CliError, file_error};
use keys::{BROKER_KEYS, KEYS, only_known};

/// The file's name in a node's directory.
pub(crate) const FILE: &str = "lockstep.toml";

/// A broker that notifications are relayed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerConfig {
    pub(crate) name: String,
    pub(crate) url: String,
}

/// What `lockstep.toml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// This node's name.
    pub(crate) node: String,
    /// Whose node it is.
    pub(crate) participant: String,
    /// The participant's database.
    pub(crate) database: String,
    /// The file with the password of that database; where there is none, the database's own variables tell.
    pub(crate) password_file: Option<String>,
    /// Whose key signs where `--as` says nothing.
    pub(crate) actor: String,
    /// Where `run` listens for other nodes; without it this node dials only.
    pub(crate) listen: Option<String>,
    /// The certificate and its key, PEM files, that HTTP needs where other machines reach it.
    pub(crate) tls: Option<(String, String)>,
    /// Where notifications go besides the in-process broker.
    pub(crate) brokers: Vec<BrokerConfig>,
}

impl Config {
    /// Reads the file of a directory.
    pub(crate) fn read(dir: &Path) -> Result<Self, CliError> {
        let path = dir.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| file_error(&path, &error))?;
        Config::parse(&text)
            .map_err(|message| CliError::new(Code::Configuration, format!("{}: {message}", path.display())))
            .map_err(|error| error.hint("correct it as the message says; docs/configuration.md has every key"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
        only_known(&table, KEYS)?;
        let mut brokers = Vec::new();
        match table.get("broker") {
            None => {}
            Some(Value::Array(list)) => {
                for one in list {
                    let one = one.as_table().ok_or("[[broker]] is a table")?;
                    only_known(one, BROKER_KEYS)?;
                    brokers.push(BrokerConfig { name: need(one, "name")?, url: need(one, "url")? });
                }
            }
            Some(_) => return Err("broker is a list of tables: [[broker]]".to_owned()),
        }
        let given = |key: &str| table.get(key).map(|_| need(&table, key)).transpose();
        let tls = match (given("tls_cert")?, given("tls_key")?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("tls_cert and tls_key go together".to_owned()),
        };
        // The outbox has one mark for each notification: a second broker would get what the first did not take.
        if let [_, second, ..] = brokers.as_slice() {
            return Err(format!("broker {} is one too many: notifications go to one broker", second.name));
        }
        Ok(Config {
            node: need(&table, "node")?,
            participant: need(&table, "participant")?,
            database: need(&table, "database")?,
            password_file: given("password_file")?,
            actor: need(&table, "actor")?,
            listen: given("listen")?,
            tls,
            brokers,
        })
    }

    /// The text of a new file.
    pub(crate) fn render(&self) -> String {
        let listen = self.listen.as_ref().map_or_else(String::new, |listen| {
            format!("# Where `lockstep run` listens for other nodes.\nlisten = \"{listen}\"\n")
        });
        let tls = self.tls.as_ref().map_or_else(String::new, |(certificate, key)| {
            format!("# HTTP for other machines goes over TLS.\ntls_cert = \"{certificate}\"\ntls_key = \"{key}\"\n")
        });
        let password = self.password_file.as_ref().map_or_else(String::new, |file| {
            format!("# Its password, in a file that nobody else may read.\npassword_file = \"{file}\"\n")
        });
        format!(
            "# A node of Lockstep; docs/configuration.md has every key.\n\
             node = \"{}\"\n\
             participant = \"{}\"\n\
             # The participant's own database; a relative file is relative to this directory.\n\
             database = \"{}\"\n\
             {}\
             # Whose key signs where --as says nothing.\n\
             actor = \"{}\"\n\
             {}{}\
             \n\
             # Notifications go to the broker that stands here; file: appends a CloudEvent a line.\n\
             # [[broker]]\n\
             # name = \"audit-trail\"\n\
             # url = \"file:notifications.ndjson\"\n",
            self.node, self.participant, self.database, password, self.actor, listen, tls
        )
    }
}

fn need(table: &Table, key: &str) -> Result<String, String> {
    match table.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("{key} is a text: {key} = \"…\"")),
        None => Err(format!("{key} is missing")),
    }
}

/// Edit distance, for suggestions.
pub(crate) fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b, above) in other.chars().zip(row.iter().skip(1)) {
            left = (before + usize::from(a != b)).min(left + 1).min(above + 1);
            before = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            node: "acme".into(),
            participant: "acme".into(),
            database: "sqlite:lockstep.db".into(),
            password_file: None,
            actor: "admin@acme".into(),
            listen: None,
            tls: None,
            brokers: Vec::new(),
        }
    }

    #[test]
    fn a_new_file_reads_back() {
        assert_eq!(Config::parse(&config().render()), Ok(config()));
        let config = Config { password_file: Some("database.password".into()), ..config() };
        assert_eq!(Config::parse(&config.render()), Ok(config));
    }

    #[test]
    fn a_certificate_goes_with_its_key() {
        let tls = Some(("cert.pem".to_owned(), "key.pem".to_owned()));
        let config = Config { tls, ..config() };
        assert_eq!(Config::parse(&config.render()), Ok(config.clone()));
        let half = config.render().replace("tls_key =", "# tls_key =");
        assert_eq!(Config::parse(&half), Err("tls_cert and tls_key go together".to_owned()));
    }

    #[test]
    fn a_second_broker_is_refused() {
        let one = |name: &str| format!("[[broker]]\nname = \"{name}\"\nurl = \"file:{name}.ndjson\"\n");
        let with = |more: &str| Config::parse(&format!("{}\n{more}", config().render()));
        assert_eq!(with(&one("first")).map(|config| config.brokers.len()), Ok(1));
        let refused = "broker second is one too many: notifications go to one broker".to_owned();
        assert_eq!(with(&(one("first") + &one("second"))), Err(refused));
    }

    #[test]
    fn an_unknown_key_is_refused_with_a_suggestion() {
        let text = config().render().replace("database =", "databse =");
        assert_eq!(Config::parse(&text), Err("key databse is not known; did you mean database?".to_owned()));
    }
}
