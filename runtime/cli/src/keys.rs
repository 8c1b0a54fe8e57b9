//! Keys in files: `DIR/keys/ACTOR.key` for actors, `DIR/node.key` for the node; readable by their owner only.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lockstep_core::codes::Code;
use lockstep_core::crypto::{LocalSigner, PublicKey, Signer};
use lockstep_core::json::{Fields, Json, Limits, json};

use crate::error::{CliError, file_error};

/// A key with its owner's name.
pub(crate) struct Key {
    pub(crate) owner: String,
    pub(crate) signer: LocalSigner,
    secret: [u8; 32],
}

impl Key {
    /// Makes a key.
    pub(crate) fn generate(owner: &str) -> Result<Self, CliError> {
        let secret = lockstep_node::random_bytes().map_err(|message| CliError::new(Code::Internal, message))?;
        Ok(Key { owner: owner.to_owned(), signer: LocalSigner::from_secret(secret), secret })
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.signer.public_key()
    }

    /// The secret half, which nonces chosen by name are derived from.
    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Writes the key; an existing file is never overwritten.
    pub(crate) fn write(&self, path: &Path) -> Result<(), CliError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| file_error(parent, &error))?;
        }
        let secret = data_encoding::HEXLOWER.encode(&self.secret);
        let text = json!({"owner": self.owner.as_str(), "public_key": self.public().to_string(), "secret_key": secret})
            .canonical();
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| file_error(path, &error))
    }

    /// Reads a key; a file that others can read is not used.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let bad = |message: String| CliError::new(Code::KeyFile, format!("{}: {message}", path.display()));
        let mode = std::fs::metadata(path).map_err(|error| file_error(path, &error))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(bad(format!("others can read it (mode {:o})", mode & 0o777))
                .hint(format!("chmod 600 {}", path.display())));
        }
        let bytes = std::fs::read(path).map_err(|error| file_error(path, &error))?;
        let json = Json::parse(&bytes, &Limits::default()).map_err(|error| bad(error.to_string()))?;
        let mut fields = Fields::of(&json, "key").map_err(|error| bad(error.to_string()))?;
        let owner = fields.text("owner").map_err(|error| bad(error.to_string()))?.to_owned();
        let secret = fields.text("secret_key").map_err(|error| bad(error.to_string()))?;
        let secret = data_encoding::HEXLOWER.decode(secret.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let secret: [u8; 32] = secret.ok_or_else(|| bad("secret_key is not 64 hex digits".to_owned()))?;
        Ok(Key { owner, signer: LocalSigner::from_secret(secret), secret })
    }
}

/// Writes a database's password where nobody else may read it.
pub(crate) fn write_password(path: &Path, password: &str) -> Result<(), CliError> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{password}")).map_err(|error| file_error(path, &error))
}

/// Reads a database's password; a file that others can read is not used.
pub(crate) fn read_password(path: &Path) -> Result<String, CliError> {
    let mode = std::fs::metadata(path).map_err(|error| file_error(path, &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let message = format!("{}: others can read it (mode {:o})", path.display(), mode & 0o777);
        return Err(CliError::new(Code::KeyFile, message).hint(format!("chmod 600 {}", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| file_error(path, &error))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// The file of an actor's key.
pub(crate) fn actor_key_path(dir: &Path, actor: &str) -> PathBuf {
    dir.join("keys").join(format!("{actor}.key"))
}

/// The file of the node's key.
pub(crate) fn node_key_path(dir: &Path) -> PathBuf {
    dir.join("node.key")
}

/// Every actor key of a directory, by name of the file.
pub(crate) fn all(dir: &Path) -> Result<Vec<Key>, CliError> {
    let keys = dir.join("keys");
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(&keys) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(file_error(&keys, &error)),
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
    };
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "key"));
    paths.sort();
    paths.iter().map(|path| Key::read(path)).collect()
}
