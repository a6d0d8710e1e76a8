//! Hashes and random tokens of the desk: argon2id for passwords, SHA-256 for tokens.

use std::sync::LazyLock;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// Longest password; longer ones only cost time.
pub(crate) const LONGEST_PASSWORD: usize = 512;

/// The system has no random numbers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    /// The system's generator failed.
    #[error("the system has no random numbers")]
    Random,
    /// argon2 refuses the password.
    #[error("hash the password: {0}")]
    Argon2(argon2::password_hash::Error),
}

/// A random token of 256 bits, in hexadecimal.
pub(crate) fn token() -> Result<String, HashError> {
    Ok(hex(&random::<32>()?))
}

/// The digest under which a token is kept: a lookup by it reveals nothing by its duration.
pub(crate) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Hashes a password with argon2id (19 MiB, two passes) and a new salt, as a PHC string.
pub(crate) fn password(password: &str) -> Result<String, HashError> {
    let salt = random::<16>()?;
    let hash: PasswordHash =
        Argon2::default().hash_password_with_salt(password.as_bytes(), &salt).map_err(HashError::Argon2)?;
    Ok(hash.to_string())
}

/// Whether `password` has the hash `hash`. Without a hash it takes as long as with one, so that the
/// duration does not reveal whether a user exists.
pub(crate) fn verify(password: &str, hash: Option<&str>) -> bool {
    static NOBODY: LazyLock<String> = LazyLock::new(|| self::password("nobody").unwrap_or_default());
    if password.len() > LONGEST_PASSWORD {
        return false;
    }
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(&NOBODY)) else { return false };
    let matches = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
    matches && hash.is_some()
}

/// Whether `hash` can be verified at all.
pub(crate) fn is_hash(hash: &str) -> bool {
    hash.starts_with("$argon2id$") && PasswordHash::new(hash).is_ok()
}

fn random<const N: usize>() -> Result<[u8; N], HashError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| HashError::Random)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_its_hash_alone() {
        let hash = password("correct horse").unwrap();
        assert!(is_hash(&hash) && hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify("correct horse", Some(&hash)));
        assert!(!verify("correct horse ", Some(&hash)) && !verify("nobody", None) && !verify("", None));
        assert!(!verify("x", Some("$argon2id$x")) && !is_hash("$argon2id$x") && !is_hash("x"));
        assert!(!verify(&"x".repeat(LONGEST_PASSWORD + 1), Some(&hash)));
        assert_ne!(password("correct horse").unwrap(), hash);
    }

    #[test]
    fn tokens_are_long_and_new() {
        let (one, other) = (token().unwrap(), token().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
        assert_ne!(digest(&one), digest(&other));
    }
}
