//! The hash for data kept on disk: SHA-256, identical on every machine and in every version.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// An incremental hash.
#[derive(Debug, Clone, Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Adds bytes. The division into calls does not affect the hash.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the hash in 64 hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in self.0.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

/// Returns 128 bits of a hash of `parts` in 32 hexadecimal digits, for file names and keys. Each
/// part is length-prefixed, so that `ab`, `c` and `a`, `bc` differ.
pub fn key<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> String {
    let mut digest = Digest::default();
    for part in parts {
        let part = part.as_ref();
        digest.add(&(part.len() as u64).to_le_bytes());
        digest.add(part);
    }
    let mut hex = digest.hex();
    hex.truncate(32);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_never_change() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::default().hex(), empty);
        assert_eq!(key([""; 0]), empty[..32]);
        // printf '\2\0\0\0\0\0\0\0ab\1\0\0\0\0\0\0\0c' | sha256sum
        assert_eq!(key(["ab", "c"]), "43ee655579de01ca739b3f95c1c2d3f4");
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
    }
}
