//! Strings of the real libraries, the refusals, and what holds for every string.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const VECTORS: &str = include_str!("../../../tests/data/session_strings.json");

fn vectors(list: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    file[list].as_array().unwrap().clone()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What the library's own writer of a form makes of a session.
fn encode(session: &SessionString) -> String {
    let mut raw = vec![session.dc];
    let flag = |flag: Option<bool>| u8::from(flag.unwrap());
    let user = session.user_id.unwrap_or_default();
    match session.format {
        Format::Telethon => return session.to_telethon(session.socket_addr().unwrap()).expose().clone(),
        Format::Pyrogram => return session.to_pyrogram().unwrap().expose().clone(),
        Format::GramJs => {
            let address = session.address.as_ref().unwrap();
            let host = match &address.host {
                Host::Ip(ip) => ip.to_string(),
                Host::Name(name) => name.clone(),
            };
            raw.extend((host.len() as u16).to_be_bytes());
            raw.extend(host.as_bytes());
            raw.extend(address.port.to_be_bytes());
            raw.extend(session.key.expose());
            return format!("1{}", base64::encode(&raw, true).replace('-', "+").replace('_', "/"));
        }
        Format::PyrogramV1 | Format::PyrogramV1Old => {
            raw.push(flag(session.test));
            raw.extend(session.key.expose());
        }
    }
    match session.format {
        Format::PyrogramV1Old => raw.extend((user as u32).to_be_bytes()),
        _ => raw.extend(user.to_be_bytes()),
    }
    raw.push(flag(session.is_bot));
    base64::encode(&raw, false)
}

#[test]
fn vectors_of_every_library() {
    let mut seen = Vec::new();
    for vector in vectors("vectors") {
        let (text, shown) = (vector["string"].as_str().unwrap(), vector["producer"].as_str().unwrap());
        let session = SessionString::decode(text).unwrap_or_else(|e| panic!("{shown}: {e}"));
        let format = match vector["format"].as_str().unwrap() {
            "telethon-v1-ipv4" | "telethon-v1-ipv6" => Format::Telethon,
            "gramjs-v1" => Format::GramJs,
            "pyrogram-v2" => Format::Pyrogram,
            "pyrogram-v1-64bit" => Format::PyrogramV1,
            "pyrogram-v1-32bit" => Format::PyrogramV1Old,
            other => panic!("{other}"),
        };
        let address = session.address.clone().map(|address| match address.host {
            Host::Ip(ip) => (ip.to_string(), address.port),
            Host::Name(name) => panic!("{name} is no address"),
        });
        let expected = vector["ip"].as_str().map(str::to_owned);
        let expected = expected.map(|ip| (ip, vector["port"].as_u64().unwrap() as u16));
        assert_eq!((session.format, address), (format, expected), "{shown}");
        assert_eq!(u64::from(session.dc), vector["dc_id"].as_u64().unwrap(), "{shown}");
        assert_eq!(session.api_id.map(i64::from), vector["api_id"].as_i64(), "{shown}");
        assert_eq!(session.test, vector["test_mode"].as_bool(), "{shown}");
        assert_eq!(session.user_id, vector["user_id"].as_u64(), "{shown}");
        assert_eq!(session.is_bot, vector["is_bot"].as_bool(), "{shown}");
        let key = bytes(vector["auth_key_hex"].as_str().unwrap());
        assert!(session.key.expose()[..] == key, "{shown}");
        // Written again it is the same text, whatever library wrote it.
        assert_eq!(encode(&session), text, "{shown}");
        // As it arrives after a journey through a shell, a form field, another alphabet.
        for text in [
            format!("  {text}\n"),
            text.trim_end_matches('=').to_owned(),
            text.replace('-', "+").replace('_', "/"),
            text.replace('+', "-").replace('/', "_"),
        ] {
            assert_eq!(text.parse().as_ref(), Ok(&session), "{shown}");
        }
        seen.push(format);
    }
    assert!(Format::ALL.iter().all(|format| seen.contains(format)), "{seen:?}");
}

#[test]
fn strings_that_are_refused() {
    let reasons: Vec<_> = vectors("negative")
        .iter()
        .map(|vector| SessionString::decode(vector["string"].as_str().unwrap()).unwrap_err())
        .collect();
    assert_eq!(
        reasons,
        [
            InvalidSessionString::Empty,
            InvalidSessionString::Length,
            InvalidSessionString::NotBase64,
            InvalidSessionString::Dc
        ]
    );

    // By the form, the dc, and what stands in the field that is wrong.
    let key = signed_in();
    let text = |one: bool, parts: &[&[u8]]| {
        let text = base64::encode(&parts.concat(), false);
        if one { format!("1{text}") } else { text }
    };
    let cases = [
        (text(true, &[&[6], &[149, 154, 167, 51], &[1, 187], &key]), InvalidSessionString::Dc),
        (text(true, &[&[2], &[149, 154, 167, 51], &[0, 0], &key]), InvalidSessionString::Address),
        (text(true, &[&[2], &[0, 7], b"0.0.0.0", &[1, 187], &key]), InvalidSessionString::Address),
        (text(true, &[&[2], &[0, 4], b"a b:", &[1, 187], &key]), InvalidSessionString::Address),
        (text(true, &[&[2], &[0, 0], &[1, 187], &key]), InvalidSessionString::Address),
        (text(true, &[&[2], &[0, 9], b"127.0.0.1", &[1, 187], &key[1..]]), InvalidSessionString::Length),
        (text(true, &[&[2], &[0xff, 0xff]]), InvalidSessionString::Length),
        ("1".into(), InvalidSessionString::Length),
        (text(false, &[&[0, 0], &key, &[0; 4], &[0]]), InvalidSessionString::Dc),
        (text(false, &[&[1, 2], &key, &[0; 4], &[0]]), InvalidSessionString::Field),
        (text(false, &[&[1, 0], &key, &[0; 8], &[2]]), InvalidSessionString::Field),
        (text(false, &[&[1], &[0x80, 0, 0, 0], &[0], &key, &[0; 8], &[0]]), InvalidSessionString::Field),
        (text(false, &[&[1, 0], &key]), InvalidSessionString::Length),
        (" \n".into(), InvalidSessionString::Empty),
        ("A".repeat(LONGEST + 1), InvalidSessionString::TooLong),
        (format!("'{}'", text(false, &[&[1, 0], &key, &[0; 4], &[0]])), InvalidSessionString::NotBase64),
    ];
    for (text, expected) in cases {
        assert_eq!(SessionString::decode(&text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn a_session_of_a_bot_is_recognised() {
    let bot = SessionString { is_bot: Some(true), ..session(Format::Pyrogram, signed_in()) };
    let read = SessionString::decode(&encode(&bot)).unwrap();
    assert_eq!(read.is_bot, Some(true));
}

#[test]
fn sessions_that_cannot_be_written() {
    let mut session = session(Format::Telethon, signed_in());
    assert_eq!(session.to_pyrogram(), Err(Missing::ApiId));
    session.api_id = Some(6);
    assert_eq!(session.to_pyrogram(), Err(Missing::UserId));
    session.user_id = Some(5);
    let test = |session: &SessionString| {
        SessionString::decode(session.to_pyrogram().unwrap().expose()).unwrap().test.unwrap()
    };
    assert!(!test(&session));
    // The one thing that tells where an account without that field lives.
    let address = dc_address(2, true).unwrap();
    session.address = Some(Address { host: Host::Ip(address.ip()), port: address.port() });
    assert!(test(&session));
}

#[test]
fn where_to_connect() {
    let mut session = session(Format::GramJs, signed_in());
    session.address = Some(Address { host: Host::Name("venus.web.telegram.org".into()), port: 443 });
    assert_eq!(session.socket_addr(), dc_address(2, false));
    session.test = Some(true);
    assert_eq!(session.socket_addr(), dc_address(2, true));
    session.dc = 5;
    assert_eq!(session.socket_addr(), None);
    session.address = Some(Address { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: 14430 });
    assert_eq!(session.socket_addr(), Some("127.0.0.1:14430".parse().unwrap()));
}

#[test]
fn no_format_shows_the_key() {
    // printf '\xab%.0s' {1..256} | sha256sum
    assert_eq!(AuthKey::new([0xab; KEY]).fingerprint(), FINGERPRINT);
    let mut key = [0xab; KEY];
    key[0] = 0xac;
    let session = session(Format::Telethon, key);
    let shown = format!("{session:?} {:?}", session.key);
    let fingerprint = session.fingerprint();
    assert!(shown.contains(&format!("AuthKey({fingerprint})")) && !shown.contains("171"), "{shown}");
}

const FINGERPRINT: &str = "1080e279";

/// A key that may be one.
fn signed_in() -> [u8; KEY] {
    std::array::from_fn(|at| at as u8)
}

#[test]
fn a_placeholder_is_no_session() {
    for byte in [0, 7, 0xff] {
        let key = [byte; KEY];
        for format in Format::ALL {
            let placeholder = SessionString { key: AuthKey::new(key), ..session(format, signed_in()) };
            assert_eq!(
                SessionString::decode(&encode(&placeholder)),
                Err(InvalidSessionString::NoKey),
                "{format} {byte}"
            );
        }
        let address = dc_address(2, false).unwrap();
        assert_eq!(SessionString::new(2, address, AuthKey::new(key)), Err(InvalidSessionString::NoKey));
    }
}

fn session(format: Format, key: [u8; KEY]) -> SessionString {
    let mut session = SessionString::new(2, dc_address(2, false).unwrap(), AuthKey::new(key)).unwrap();
    session.format = format;
    if !matches!(format, Format::Telethon | Format::GramJs) {
        (session.address, session.test) = (None, Some(false));
        (session.user_id, session.is_bot) = (Some(1), Some(false));
        session.api_id = (format == Format::Pyrogram).then_some(6);
    }
    session
}

/// Any session of any form.
fn any_session() -> impl Strategy<Value = SessionString> {
    let key = prop::array::uniform32(any::<[u8; 8]>()).prop_map(|parts| parts.concat().try_into().unwrap());
    let key = key.prop_filter("no key", |key| !AuthKey::new(*key).is_none());
    let ip = any::<IpAddr>().prop_filter("an address of nobody", |ip| !Host::Ip(*ip).is_nowhere());
    let name = "[a-z][a-z0-9.-]{0,60}".prop_map(Host::Name);
    let host = (ip.prop_map(Host::Ip), name, any::<bool>());
    let account = (any::<bool>(), any::<u64>(), any::<bool>(), 0..=i32::MAX);
    (prop::sample::select(&Format::ALL[..]), 1..=5_u8, key, host, 1..=u16::MAX, account).prop_map(
        |(format, dc, key, (ip, name, named), port, (test, user, bot, api_id))| {
            let mut session = SessionString { dc, ..session(format, key) };
            if session.address.is_some() {
                let host = if named && format == Format::GramJs { name } else { ip };
                session.address = Some(Address { host, port });
            } else {
                let user = if format == Format::PyrogramV1Old { user >> 32 } else { user };
                (session.test, session.user_id, session.is_bot) = (Some(test), Some(user), Some(bot));
                session.api_id = session.api_id.map(|_| api_id);
            }
            session
        },
    )
}

/// Every text that a refusal can have. That they are these and no others proves that none holds a
/// part of the input.
const REFUSALS: [InvalidSessionString; 8] = [
    InvalidSessionString::Empty,
    InvalidSessionString::TooLong,
    InvalidSessionString::NotBase64,
    InvalidSessionString::Length,
    InvalidSessionString::Dc,
    InvalidSessionString::Address,
    InvalidSessionString::Field,
    InvalidSessionString::NoKey,
];

fn tells_nothing(text: &str) -> Result<(), TestCaseError> {
    if let Err(refused) = SessionString::decode(text) {
        let words = refused.to_string();
        prop_assert!(REFUSALS.iter().any(|known| known.to_string() == words), "{}", words);
        let input: Vec<_> = text.chars().collect();
        for piece in input.windows(4).map(|piece| piece.iter().collect::<String>()) {
            // Words that both happen to have are words.
            prop_assert!(piece.chars().any(|c| c == ' ' || c.is_lowercase()) || !words.contains(&piece));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_written_session_is_read_back_unchanged(session in any_session()) {
        prop_assert_eq!(SessionString::decode(&encode(&session)), Ok(session));
    }

    #[test]
    fn every_form_becomes_ours(session in any_session(), port in 1..=u16::MAX) {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let ours = SessionString::decode(session.to_telethon(address).expose()).unwrap();
        let expected = SessionString::new(session.dc, address, session.key).unwrap();
        prop_assert_eq!(ours, expected);
    }

    #[test]
    fn no_input_panics_or_is_repeated(text in any::<String>(), digits in "1?[A-Z0-9+/_-]{0,700}={0,3}") {
        tells_nothing(&text)?;
        tells_nothing(&digits)?;
    }

    #[test]
    fn no_damaged_string_panics_or_is_repeated(session in any_session(), at: prop::sample::Index, with: char, cut: bool) {
        let mut text: Vec<char> = encode(&session).chars().collect();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = with }
        tells_nothing(&text.into_iter().collect::<String>())?;
    }
}
