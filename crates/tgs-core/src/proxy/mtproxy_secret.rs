//! The secret of an MTProxy: 16 bytes, and how the connection is disguised. Form and prefixes as in
//! TDLib (`ProxySecret`).

use base64::{
    Engine, alphabet,
    engine::general_purpose::{GeneralPurpose, NO_PAD},
};

use crate::secret::Secret;

/// Ignores trailing bits, as the official apps do.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// Bytes of the key.
const KEY: usize = 16;

/// Longest domain in bytes, as in TDLib; the ClientHello has 517 bytes.
const LONGEST_DOMAIN: usize = 182;

/// How an MTProxy connection looks from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MtProxyDisguise {
    /// Random bytes.
    Plain,
    /// Random bytes with messages of random length (`dd`).
    Padded,
    /// TLS 1.3 to a web server (`ee`).
    FakeTls {
        /// The server name that the ClientHello shows.
        domain: String,
    },
}

/// The secret of an MTProxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtProxySecret {
    /// The key.
    pub key: Secret<[u8; KEY]>,
    /// The disguise.
    pub disguise: MtProxyDisguise,
}

impl MtProxySecret {
    /// Parses hexadecimal digits or base64 of either alphabet, padded or not. The error follows the
    /// setting's name and repeats no part of the secret.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let bytes = hex(text)
            .or_else(|| base64(text))
            .ok_or("has a secret that is neither hexadecimal digits nor base64; copy the whole link again")?;
        let disguise = match *bytes.as_slice() {
            [0xee, ..] if bytes.len() > KEY + 1 => {
                MtProxyDisguise::FakeTls { domain: domain(&bytes[KEY + 1..])? }
            }
            [0xdd, ..] if bytes.len() == KEY + 1 => MtProxyDisguise::Padded,
            _ if bytes.len() == KEY => MtProxyDisguise::Plain,
            _ => {
                return Err(format!(
                    "has a secret of {} bytes; it must have 16, or 17 that begin with dd, or begin with ee and \
                     end with a domain; copy the whole link again",
                    bytes.len()
                ));
            }
        };
        let from = usize::from(disguise != MtProxyDisguise::Plain);
        let mut key = [0; KEY];
        key.copy_from_slice(&bytes[from..from + KEY]);
        Ok(Self { key: Secret::new(key), disguise })
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    BASE64.decode(digits).ok()
}

fn domain(bytes: &[u8]) -> Result<String, String> {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if bytes.len() > LONGEST_DOMAIN || !bytes.iter().all(known) {
        return Err(format!(
            "has a secret that begins with ee and does not end with a domain of at most {LONGEST_DOMAIN} ASCII \
             characters; copy the whole link again"
        ));
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn secrets_in_every_form() {
        let tls = MtProxyDisguise::FakeTls { domain: "www.google.com".into() };
        let table = [
            (HEX, MtProxyDisguise::Plain),
            ("00112233445566778899AABBCCDDEEFF", MtProxyDisguise::Plain),
            ("ABEiM0RVZneImaq7zN3u/w==", MtProxyDisguise::Plain),
            ("ABEiM0RVZneImaq7zN3u_w", MtProxyDisguise::Plain),
            ("dd00112233445566778899aabbccddeeff", MtProxyDisguise::Padded),
            ("3QARIjNEVWZ3iJmqu8zd7v8=", MtProxyDisguise::Padded),
            ("ee00112233445566778899aabbccddeeff7777772e676f6f676c652e636f6d", tls.clone()),
            ("EE00112233445566778899AABBCCDDEEFF7777772E676F6F676C652E636F6D", tls.clone()),
            ("7gARIjNEVWZ3iJmqu8zd7v93d3cuZ29vZ2xlLmNvbQ", tls.clone()),
            ("7gARIjNEVWZ3iJmqu8zd7v93d3cuZ29vZ2xlLmNvbQ==", tls),
        ];
        for (text, disguise) in table {
            let secret = MtProxySecret::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(secret.disguise, disguise, "{text}");
            assert_eq!(secret.key.expose()[..3], [0, 0x11, 0x22], "{text}");
            assert!(!format!("{secret:?}").contains("17, 34"), "{secret:?}");
        }
    }

    #[test]
    fn secrets_that_are_cut_or_odd() {
        let long = format!("ee{HEX}{}", "61".repeat(183));
        for (text, words) in [
            ("", "of 0 bytes"),
            ("00112233", "of 4 bytes"),
            ("dd00112233445566778899aabbccddeeff00", "of 18 bytes"),
            ("ee00112233445566778899aabbccddeeff", "of 17 bytes"),
            ("ee00112233445566778899aabbccddeeffff", "does not end with a domain"),
            (&long, "does not end with a domain"),
            ("ABEiM0RVZneImaq7zN3u!w", "neither hexadecimal"),
            ("пароль", "neither hexadecimal"),
        ] {
            let error = MtProxySecret::parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
            assert!(text.len() < 8 || !error.contains(text), "{error}");
        }
    }
}
