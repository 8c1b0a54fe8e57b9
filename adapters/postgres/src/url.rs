//! The URL of a database: what of it is ours, and how it is shown.

/// What a URL says, apart from the driver's own part.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// What the driver gets.
    pub(crate) driver: String,
    /// The schema that holds our tables; where none is named, the one that the server's `search_path` begins with.
    pub(crate) schema: Option<String>,
    /// For people, without a password.
    pub(crate) shown: String,
}

impl Address {
    /// Takes `schema=` out of the URL.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut schema = None;
        let mut rest = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("schema", name)) => schema = Some(schema_name(name)?),
                _ => rest.push(part),
            }
        }
        let joined = |parts: &[&str]| if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) };
        let driver = format!("{base}{}", joined(&rest));
        let public: Vec<&str> = query.split('&').filter(|part| !part.is_empty() && !is_secret(part)).collect();
        Ok(Address { driver, schema, shown: format!("{}{}", without_password(base), joined(&public)) })
    }
}

/// Plain names only: they need no quoting anywhere, and nobody guesses which case is meant.
fn schema_name(name: &str) -> Result<String, String> {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let first = name.chars().next().is_some_and(|letter| letter.is_ascii_lowercase() || letter == '_');
    if first && name.len() <= 63 && name.chars().all(plain) && !name.starts_with("pg_") {
        return Ok(name.to_owned());
    }
    Err("a schema's name is made of a-z, 0-9 and _, as in ?schema=lockstep".to_owned())
}

fn is_secret(part: &str) -> bool {
    part.to_ascii_lowercase().starts_with("password")
}

fn without_password(base: &str) -> String {
    let Some((scheme, rest)) = base.split_once("://") else { return "postgres://…".to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // A password may hold what nobody escaped: the last @ ends it, and one behind a slash means that it has no end.
    if path.contains('@') {
        return "postgres://…".to_owned();
    }
    let Some((user, host)) = authority.rsplit_once('@') else { return base.to_owned() };
    format!("{scheme}://{}@{host}{path}", user.split(':').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        let check = |url: &str, shown: &str| {
            assert_eq!(Address::parse(url).map(|address| address.shown), Ok(shown.to_owned()), "{url}");
        };
        check("postgres://u:p@h:1/d?sslmode=require", "postgres://u@h:1/d?sslmode=require");
        check("postgres://u:p@x@h/d", "postgres://u@h/d");
        check("postgres://u:p/w@h/d", "postgres://…");
        check("postgres://u@h", "postgres://u@h");
        check("postgres://h/d?password=p&schema=s", "postgres://h/d?schema=s");
        check("postgres:u:p", "postgres://…");
    }

    #[test]
    fn the_schema_is_ours_and_the_rest_the_drivers() {
        let address = Address::parse("postgres://u@h/d?schema=sales&sslmode=disable");
        let found = address.map(|address| (address.driver, address.schema));
        assert_eq!(found, Ok(("postgres://u@h/d?sslmode=disable".to_owned(), Some("sales".to_owned()))));
        for refused in ["Sales", "", "a b", "pg_x", "a;b", "ä"] {
            assert!(Address::parse(&format!("postgres://h/d?schema={refused}")).is_err(), "{refused}");
        }
    }
}
