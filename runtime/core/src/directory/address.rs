//! Where a node can be reached.

use std::fmt;

use crate::json::{Fields, Json};

use super::rules::DirectoryError;

/// Most addresses of one node.
pub const MAX_ADDRESSES: usize = 8;
/// Most bytes of one address.
const MAX_BYTES: usize = 255;

/// `host:port`, as people write it: a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(String);

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What it is not.
    pub fn parse(text: &str) -> Result<Self, DirectoryError> {
        let invalid = |what: &str| Err(DirectoryError::Invalid(format!("address {text:?} {what}")));
        if text.len() > MAX_BYTES {
            return invalid("is longer than 255 bytes");
        }
        let Some((host, port)) = text.rsplit_once(':') else { return invalid("is not host:port") };
        let number = port.parse::<u16>().ok().filter(|number| *number > 0 && number.to_string() == port);
        if number.is_none() {
            return invalid("has no port from 1 to 65535");
        }
        if !is_host(host) {
            return invalid("has no host: a name, an IPv4 address, or an IPv6 address in brackets");
        }
        Ok(Address(text.to_owned()))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<core::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Addresses as bodies and rows hold them.
pub(crate) fn addresses_to_json(addresses: &[Address]) -> Json {
    Json::from(addresses.iter().map(|address| Json::from(address.as_str())).collect::<Vec<_>>())
}

/// The member `addresses` of a body.
pub(super) fn read_addresses(fields: &mut Fields<'_>) -> Result<Vec<Address>, DirectoryError> {
    let path = fields.path("addresses");
    addresses_from_json(fields.array("addresses")?).map_err(|error| DirectoryError::Invalid(format!("{path}: {error}")))
}

/// Reads a list of addresses.
pub(crate) fn addresses_from_json(listed: &[Json]) -> Result<Vec<Address>, DirectoryError> {
    if listed.len() > MAX_ADDRESSES {
        return Err(DirectoryError::Invalid(format!(
            "a node has at most {MAX_ADDRESSES} addresses, these are {}",
            listed.len()
        )));
    }
    let mut addresses: Vec<Address> = Vec::new();
    for listed in listed {
        let text = listed.as_str().ok_or_else(|| DirectoryError::Invalid("an address is text".to_owned()))?;
        let address = Address::parse(text)?;
        if addresses.contains(&address) {
            return Err(DirectoryError::Invalid(format!("address {text} is named twice")));
        }
        addresses.push(address);
    }
    Ok(addresses)
}
