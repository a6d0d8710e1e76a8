//! Session strings: the text in which Telegram client libraries store a signed-in session. Reads
//! every form in use; writes Telethon's and Pyrogram's.
//!
//! All forms are base64 of big-endian fields: the data centre (DC), the 256-byte authorisation key,
//! and in some forms the server's address or the account. A string that begins with `1` is
//! Telethon's or GramJS', any other Pyrogram's; the number of bytes selects the variant. This
//! module does not contact Telegram: a readable string may belong to a dead session, a bot, or a
//! key that never signed in.
//!
//! The string grants access to the account. No error repeats a part of it; only a key's
//! [`AuthKey::fingerprint`] may be shown.

mod base64;
mod dc;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use tgs_core::{digest::Digest, secret::Secret};

use self::base64::InvalidBase64;
pub use self::dc::{dc_address, dc_address_v6};

/// Length of an authorisation key, in bytes.
const KEY: usize = 256;
/// Longer than any valid string: a host name of 253 bytes in the GramJS form makes 687 characters.
const LONGEST: usize = 1024;

/// The form of a session string, named after the library that writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Telethon, with an IPv4 or IPv6 address; the form of the tgs tools.
    Telethon,
    /// GramJS and teleproto.
    GramJs,
    /// Pyrogram 2, Kurigram, Pyrofork, Hydrogram.
    Pyrogram,
    /// Pyrogram 1 with a 64-bit user id.
    PyrogramV1,
    /// Pyrogram 1 with a 32-bit user id.
    PyrogramV1Old,
}

impl Format {
    /// All forms.
    pub const ALL: [Self; 5] =
        [Self::Telethon, Self::GramJs, Self::Pyrogram, Self::PyrogramV1, Self::PyrogramV1Old];

    /// The display name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Telethon => "Telethon",
            Self::GramJs => "GramJS",
            Self::Pyrogram => "Pyrogram v2",
            Self::PyrogramV1 => "Pyrogram v1",
            Self::PyrogramV1Old => "Pyrogram v1 (32-bit account)",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The content of a session string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionString {
    /// The form of the text; [`Format::Telethon`] after [`SessionString::new`].
    pub format: Format,
    /// The account's home DC, 1 to 5.
    pub dc: u8,
    /// The DC's address; Pyrogram's forms have none.
    pub address: Option<Address>,
    /// The key with which the account signed in.
    pub key: AuthKey,
    /// The application that signed in; Pyrogram v2 only.
    pub api_id: Option<i32>,
    /// Whether the account is on one of Telegram's test DCs; Pyrogram's forms only.
    pub test: Option<bool>,
    /// The account's user id; Pyrogram's forms only.
    pub user_id: Option<u64>,
    /// Whether the account is a bot; Pyrogram's forms only.
    pub is_bot: Option<bool>,
}

/// The network address of a DC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The IP address or host name.
    pub host: Host,
    /// The port, not 0.
    pub port: u16,
}

/// The host of a DC, as a session string names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A host name. Only GramJS writes one, of its `WebSocket` servers; other transports cannot use
    /// it.
    Name(String),
}

impl Host {
    /// Whether the address is in 0.0.0.0/8 or e::/16, which are unassigned: in Telethon's form they
    /// would look like GramJS'.
    fn is_nowhere(&self) -> bool {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.octets()[0] == 0,
            Self::Ip(IpAddr::V6(ip)) => ip.segments()[0] == 14,
            Self::Name(_) => false,
        }
    }
}

/// The authorisation key of a session: 256 bytes, equivalent to a password. `{:?}` shows its
/// fingerprint.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthKey(Secret<[u8; KEY]>);

impl AuthKey {
    /// Wraps a key.
    #[must_use]
    pub fn new(bytes: [u8; KEY]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Returns the key itself, for the connection that uses it.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY] {
        self.0.expose()
    }

    /// Whether the key is a placeholder: all bytes are equal. Libraries write zeros before a
    /// sign-in.
    #[must_use]
    pub fn is_none(&self) -> bool {
        let [first, rest @ ..] = self.expose();
        rest.iter().all(|byte| byte == first)
    }

    /// The first 8 hexadecimal digits of the key's SHA-256, the only part that may be shown.
    /// Distinguishes sessions in logs and reveals nothing about 2048 random bits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut digest = Digest::default();
        digest.add(self.expose());
        digest.hex()[..8].to_owned()
    }
}

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthKey({})", self.fingerprint())
    }
}

/// Why a text is not a session string. Messages follow the variable's name and contain no part of
/// the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSessionString {
    /// The text is empty or white space.
    #[error("is empty")]
    Empty,
    /// The text has more than 1024 characters.
    #[error("is too long to be a session string")]
    TooLong,
    /// The text has a character of neither base64 alphabet.
    #[error("holds a character that is in no session string, such as a space, a quote or a line break")]
    NotBase64,
    /// No form has this many bytes.
    #[error("has a length that no kind of session string has; it may have been cut off while copying")]
    Length,
    /// The DC is not from 1 to 5.
    #[error("names a data centre that does not exist; it may be damaged, or no session string at all")]
    Dc,
    /// The address is neither an IP address nor a host name, is unassigned, or has port 0.
    #[error("holds an invalid server address; it may be damaged, or not be a session string")]
    Address,
    /// A flag that is neither 0 nor 1, or an `api_id` over 31 bits.
    #[error("holds a field with an impossible value; it may be damaged, or no session string at all")]
    Field,
    /// All bytes of the key are the same.
    #[error("holds no key, only a placeholder for one; it was made before an account was signed in")]
    NoKey,
}

/// A field that Pyrogram's form requires and the session lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The application's `api_id`.
    #[error("Pyrogram's form needs the API_ID of the application, which this session string does not hold")]
    ApiId,
    /// The account's user id.
    #[error("Pyrogram's form needs the account's user id, which this session string does not hold")]
    UserId,
}

impl SessionString {
    /// Creates the string of a new session. `dc` is from 1 to 5.
    pub fn new(dc: u8, address: SocketAddr, key: AuthKey) -> Result<Self, InvalidSessionString> {
        let address = Address { host: Host::Ip(address.ip()), port: address.port() };
        Self::with(Format::Telethon, dc, Some(address), key)
    }

    /// Decodes a string of any form. Accepts surrounding white space, missing padding, and either
    /// base64 alphabet.
    pub fn decode(text: &str) -> Result<Self, InvalidSessionString> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidSessionString::Empty);
        }
        if text.len() > LONGEST {
            return Err(InvalidSessionString::TooLong);
        }
        // No Pyrogram string begins with `1`: that would be a DC above 200.
        if let Some(rest) = text.strip_prefix('1') {
            return with_address(&decode(rest)?);
        }
        pyrogram(&decode(text)?)
    }

    fn with(
        format: Format,
        dc: u8,
        address: Option<Address>,
        key: AuthKey,
    ) -> Result<Self, InvalidSessionString> {
        if !(1..=5).contains(&dc) {
            return Err(InvalidSessionString::Dc);
        }
        if address.as_ref().is_some_and(|address| address.port == 0 || address.host.is_nowhere()) {
            return Err(InvalidSessionString::Address);
        }
        if key.is_none() {
            return Err(InvalidSessionString::NoKey);
        }
        Ok(Self { format, dc, address, key, api_id: None, test: None, user_id: None, is_bot: None })
    }

    /// The address to connect to: the string's IP address, else the DC's from the table. `None` for
    /// a test DC above 3.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match &self.address {
            Some(Address { host: Host::Ip(ip), port }) => Some(SocketAddr::new(*ip, *port)),
            _ => dc_address(self.dc, self.test.unwrap_or(false)),
        }
    }

    /// Encodes the session in Telethon's form, with `address` (see [`SessionString::socket_addr`])
    /// in place of its own.
    #[must_use]
    pub fn to_telethon(&self, address: SocketAddr) -> Secret<String> {
        let mut raw = vec![self.dc];
        match address.ip() {
            IpAddr::V4(ip) => raw.extend(ip.octets()),
            IpAddr::V6(ip) => raw.extend(ip.octets()),
        }
        raw.extend(address.port().to_be_bytes());
        raw.extend(self.key.expose());
        Secret::new(format!("1{}", base64::encode(&raw, true)))
    }

    /// Encodes the session in Pyrogram's form v2. Requires `api_id` and `user_id`. Without `is_bot`
    /// the account counts as a user; without `test` the address decides whether the DC is a test
    /// DC.
    pub fn to_pyrogram(&self) -> Result<Secret<String>, Missing> {
        let api_id = self.api_id.ok_or(Missing::ApiId)?;
        let user_id = self.user_id.ok_or(Missing::UserId)?;
        let test = self.test.unwrap_or_else(|| self.socket_addr() == dc_address(self.dc, true));
        let mut raw = vec![self.dc];
        raw.extend(api_id.to_be_bytes());
        raw.push(test.into());
        raw.extend(self.key.expose());
        raw.extend(user_id.to_be_bytes());
        raw.push(self.is_bot.unwrap_or(false).into());
        Ok(Secret::new(base64::encode(&raw, false)))
    }

    /// See [`AuthKey::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint()
    }
}

impl FromStr for SessionString {
    type Err = InvalidSessionString;

    fn from_str(text: &str) -> Result<Self, InvalidSessionString> {
        Self::decode(text)
    }
}

/// Decodes base64, or returns why the text is no session string.
fn decode(text: &str) -> Result<Vec<u8>, InvalidSessionString> {
    base64::decode(text).map_err(|error| match error {
        InvalidBase64::Character => InvalidSessionString::NotBase64,
        InvalidBase64::Length => InvalidSessionString::Length,
    })
}

/// Reads big-endian fields from the front. Too few bytes are [`InvalidSessionString::Length`].
struct SessionFields<'a>(&'a [u8]);

impl<'a> SessionFields<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], InvalidSessionString> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(InvalidSessionString::Length)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InvalidSessionString> {
        self.bytes(N)?.try_into().map_err(|_| InvalidSessionString::Length)
    }

    fn byte(&mut self) -> Result<u8, InvalidSessionString> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, InvalidSessionString> {
        self.array().map(u16::from_be_bytes)
    }

    fn flag(&mut self) -> Result<bool, InvalidSessionString> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(InvalidSessionString::Field),
        }
    }

    fn key(&mut self) -> Result<AuthKey, InvalidSessionString> {
        self.array().map(AuthKey::new)
    }
}

/// Telethon: dc u8, ip 4 or 16 bytes, port u16, key. GramJS: dc u8, length u16, address, port u16,
/// key.
fn with_address(raw: &[u8]) -> Result<SessionString, InvalidSessionString> {
    let mut fields = SessionFields(raw);
    let dc = fields.byte()?;
    // A GramJS string with an address of 14 characters is as long as a Telethon string with IPv6.
    // The length field decides: of Telethon's, only a `Host::is_nowhere` address matches it.
    let gramjs = SessionFields(fields.0).u16()?;
    let (format, host) = match raw.len() {
        len if usize::from(gramjs) + 261 == len => {
            fields.u16()?;
            (Format::GramJs, host(fields.bytes(gramjs.into())?)?)
        }
        263 => (Format::Telethon, Host::Ip(Ipv4Addr::from(fields.array::<4>()?).into())),
        275 => (Format::Telethon, Host::Ip(Ipv6Addr::from(fields.array::<16>()?).into())),
        _ => return Err(InvalidSessionString::Length),
    };
    let address = Address { host, port: fields.u16()? };
    SessionString::with(format, dc, Some(address), fields.key()?)
}

/// Parses a host in text form.
fn host(bytes: &[u8]) -> Result<Host, InvalidSessionString> {
    let text = str::from_utf8(bytes).map_err(|_| InvalidSessionString::Address)?;
    if let Ok(ip) = text.parse() {
        return Ok(Host::Ip(ip));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let name = (1..=253).contains(&text.len()) && text.chars().all(plain);
    if name { Ok(Host::Name(text.to_owned())) } else { Err(InvalidSessionString::Address) }
}

/// v2: dc u8, api_id u32, test u8, key, user_id u64, is_bot u8. v1: without api_id, and user_id of
/// 64 or 32 bits.
fn pyrogram(raw: &[u8]) -> Result<SessionString, InvalidSessionString> {
    let format = match raw.len() {
        271 => Format::Pyrogram,
        267 => Format::PyrogramV1,
        263 => Format::PyrogramV1Old,
        _ => return Err(InvalidSessionString::Length),
    };
    let mut fields = SessionFields(raw);
    let dc = fields.byte()?;
    let api_id = match format {
        Format::Pyrogram => Some(u32::from_be_bytes(fields.array()?)),
        _ => None,
    };
    let api_id = api_id.map(i32::try_from).transpose().map_err(|_| InvalidSessionString::Field)?;
    let test = fields.flag()?;
    let key = fields.key()?;
    let user_id = match format {
        Format::PyrogramV1Old => u32::from_be_bytes(fields.array()?).into(),
        _ => u64::from_be_bytes(fields.array()?),
    };
    let is_bot = fields.flag()?;
    let session = SessionString::with(format, dc, None, key)?;
    Ok(SessionString { api_id, test: Some(test), user_id: Some(user_id), is_bot: Some(is_bot), ..session })
}

#[cfg(test)]
mod tests;
