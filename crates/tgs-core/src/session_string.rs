//! Session strings: what Telegram client libraries write a signed-in session into, read from every
//! form that is in use and written in Telethon's.
//!
//! All forms are base64 over big-endian fields: the data centre (DC), the 256-byte authorisation
//! key, and for some the server's address or the account. A string that begins with `1` is
//! Telethon's or GramJS', every other one Pyrogram's; which of each, the number of bytes says.
//! Nothing here speaks to Telegram, so a string that can be read may still be of a dead session, of
//! a bot, or of a key that never signed in; that is the caller's to find out.
//!
//! The string gives access to the account. No error repeats a part of it; only a key's
//! [`AuthKey::fingerprint`] may be shown.

mod base64;
mod dc;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

pub use self::dc::dc_address;
use crate::{digest::Digest, secret::Secret};

/// The length of an authorisation key in bytes.
const KEY: usize = 256;
/// More characters than any string has: a host name of 253 bytes in the GramJS form makes 687.
const LONGEST: usize = 1024;

/// Who writes a session this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Telethon, with an IPv4 or IPv6 address; ours.
    Telethon,
    /// GramJS and teleproto.
    GramJs,
    /// Pyrogram 2, Kurigram, Pyrofork, Hydrogram.
    Pyrogram,
    /// Pyrogram 1 with an account number of 64 bits.
    PyrogramV1,
    /// Pyrogram 1 with an account number of 32 bits.
    PyrogramV1Old,
}

impl Format {
    /// Every form.
    pub const ALL: [Self; 5] =
        [Self::Telethon, Self::GramJs, Self::Pyrogram, Self::PyrogramV1, Self::PyrogramV1Old];

    /// The name to show to people.
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

/// What a session string says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionString {
    /// The form it was read from; [`Format::Telethon`] for one made by [`SessionString::new`].
    pub format: Format,
    /// The account's home DC, 1 to 5.
    pub dc: u8,
    /// The DC's address; Pyrogram's forms have none.
    pub address: Option<Address>,
    /// The key that the account was signed in with.
    pub key: AuthKey,
    /// The application that signed in, in Pyrogram's form v2 only.
    pub api_id: Option<i32>,
    /// Whether the account is one of Telegram's test DCs; Pyrogram's forms only.
    pub test: Option<bool>,
    /// The account; Pyrogram's forms only.
    pub user_id: Option<u64>,
    /// Whether that is a bot; Pyrogram's forms only.
    pub is_bot: Option<bool>,
}

/// Where a DC listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The machine.
    pub host: Host,
    /// The port, not 0.
    pub port: u16,
}

/// A machine, as a session string names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// By its address.
    Ip(IpAddr),
    /// By its name, which only GramJS does: those of its `WebSocket` servers, no use for another
    /// transport.
    Name(String),
}

impl Host {
    /// Whether it is in 0.0.0.0/8 or e::/16, which are nobody's: in Telethon's form they would look
    /// like GramJS'.
    fn is_nowhere(&self) -> bool {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.octets()[0] == 0,
            Self::Ip(IpAddr::V6(ip)) => ip.segments()[0] == 14,
            Self::Name(_) => false,
        }
    }
}

/// The authorisation key of a session: 256 bytes that are as good as a password. `{:?}` shows its
/// fingerprint.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthKey(Secret<[u8; KEY]>);

impl AuthKey {
    /// Keeps a key.
    #[must_use]
    pub fn new(bytes: [u8; KEY]) -> Self {
        Self(Secret::new(bytes))
    }

    /// The key itself, for the one who signs in with it.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY] {
        self.0.expose()
    }

    /// Whether the key is a placeholder: all bytes are the same. Libraries write zeros before a
    /// sign-in.
    #[must_use]
    pub fn is_none(&self) -> bool {
        let [first, rest @ ..] = self.expose();
        rest.iter().all(|byte| byte == first)
    }

    /// The first 8 hexadecimal digits of the key's SHA-256: the only thing that may be shown. Tells
    /// two sessions apart in logs, and gives nothing away about 2048 random bits.
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

/// Why a text is no session string. The words follow the variable's name, and none comes from the
/// text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSessionString {
    /// Nothing but white space.
    #[error("is empty")]
    Empty,
    /// More than 1024 characters.
    #[error("is too long to be a session string")]
    TooLong,
    /// Not base64, in neither alphabet.
    #[error("holds a character that is in no session string, such as a space, a quote or a line break")]
    NotBase64,
    /// No form has this many bytes.
    #[error("has a length that no kind of session string has; it may have been cut off while copying")]
    Length,
    /// DCs are numbered from 1 to 5.
    #[error("names a data centre that does not exist; it may be damaged, or no session string at all")]
    Dc,
    /// An address that is neither an IP address nor a host name or that is nobody's, or port 0.
    #[error("holds an invalid server address; it may be damaged, or not be a session string")]
    Address,
    /// A flag that is neither 0 nor 1, or an `api_id` over 31 bits.
    #[error("holds a field with an impossible value; it may be damaged, or no session string at all")]
    Field,
    /// All bytes of the key are the same.
    #[error("holds no key, only a placeholder for one; it was made before an account was signed in")]
    NoKey,
}

/// What Pyrogram's form needs and the session does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The application's number.
    #[error("Pyrogram's form needs the API_ID of the application, which this session string does not hold")]
    ApiId,
    /// The account's number.
    #[error("Pyrogram's form needs the account's user id, which this session string does not hold")]
    UserId,
}

impl SessionString {
    /// A session that has just been signed in. `dc` is from 1 to 5.
    pub fn new(dc: u8, address: SocketAddr, key: AuthKey) -> Result<Self, InvalidSessionString> {
        let address = Address { host: Host::Ip(address.ip()), port: address.port() };
        Self::with(Format::Telethon, dc, Some(address), key)
    }

    /// Reads a string of any form. White space around it, missing padding, and either base64
    /// alphabet are fine.
    pub fn decode(text: &str) -> Result<Self, InvalidSessionString> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidSessionString::Empty);
        }
        if text.len() > LONGEST {
            return Err(InvalidSessionString::TooLong);
        }
        // No Pyrogram string begins with a 1: that would be a DC above 200.
        if let Some(rest) = text.strip_prefix('1') {
            return with_address(&base64::decode(rest)?);
        }
        pyrogram(&base64::decode(text)?)
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

    /// Where to connect: the string's own address, or where it has none that can be used, the DC's
    /// from the table. `None` for a test DC above 3.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match &self.address {
            Some(Address { host: Host::Ip(ip), port }) => Some(SocketAddr::new(*ip, *port)),
            _ => dc_address(self.dc, self.test.unwrap_or(false)),
        }
    }

    /// In Telethon's form, with this address (see [`SessionString::socket_addr`]) in place of its
    /// own.
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

    /// In Pyrogram's form v2. A session read from a form without `api_id` and `user_id` needs them
    /// set first; without the other two it is taken for a user account's, and for one of the test
    /// DCs if its address is one of theirs.
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

    /// [`AuthKey::fingerprint`]
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

/// Takes big-endian fields from the front. Too few bytes are [`Refused::Length`].
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
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
    let mut fields = Fields(raw);
    let dc = fields.byte()?;
    // A GramJS string with an address of 14 characters is as long as a Telethon one with IPv6: what
    // decides is whether the bytes where GramJS has the length are the length. Telethon's would
    // have to hold a `Host::is_nowhere`.
    let gramjs = Fields(fields.0).u16()?;
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

/// An address in words.
fn host(bytes: &[u8]) -> Result<Host, InvalidSessionString> {
    let text = str::from_utf8(bytes).map_err(|_| InvalidSessionString::Address)?;
    if let Ok(ip) = text.parse() {
        return Ok(Host::Ip(ip));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let name = (1..=253).contains(&text.len()) && text.chars().all(plain);
    if name { Ok(Host::Name(text.to_owned())) } else { Err(InvalidSessionString::Address) }
}

/// v2: dc u8, api_id u32, test u8, key, user_id u64, is_bot u8. v1: the same without api_id,
/// user_id of 64 or 32 bits.
fn pyrogram(raw: &[u8]) -> Result<SessionString, InvalidSessionString> {
    let format = match raw.len() {
        271 => Format::Pyrogram,
        267 => Format::PyrogramV1,
        263 => Format::PyrogramV1Old,
        _ => return Err(InvalidSessionString::Length),
    };
    let mut fields = Fields(raw);
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
