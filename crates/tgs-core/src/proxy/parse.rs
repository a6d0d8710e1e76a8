//! Reads proxies as people write and paste them.

use std::net::Ipv6Addr;

use super::{
    mtproxy_secret::MtProxySecret,
    upstream::{ProxyLogin, ProxyProtocol, UpstreamProxy},
};
use crate::secret::Secret;

/// Most proxies in a list.
pub const MOST_PROXIES: usize = 16;

/// Longest host name, user name and password in bytes: SOCKS5 has one byte for their length.
const LONGEST: usize = 255;

/// Why a text names no proxy. It follows the setting's name and repeats nothing of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidProxy(String);

/// For those who put the setting's name before it.
impl From<InvalidProxy> for String {
    fn from(error: InvalidProxy) -> Self {
        error.0
    }
}

const FORMS: &str = "must be socks5://user:password@host:port, http://user:password@host:port, \
                     mtproxy://host:port?secret=…, or a link tg://proxy?… or https://t.me/proxy?…";

/// The hosts of links to proxies.
const LINK_HOSTS: [&str; 3] = ["t.me", "telegram.me", "telegram.dog"];

/// Parses a list of proxies: shell words, one proxy each.
pub fn parse_proxies(value: &str) -> Result<Vec<UpstreamProxy>, InvalidProxy> {
    let unclosed = |_| InvalidProxy("opens a quote and does not close it".to_owned());
    let words = shell_words::split(value).map_err(unclosed)?;
    if words.len() > MOST_PROXIES {
        let many = format!("names {} proxies; at most {MOST_PROXIES} are possible", words.len());
        return Err(InvalidProxy(many));
    }
    let one = words.len() == 1;
    let proxies = words.iter().enumerate().map(|(index, word)| {
        let number = if one { String::new() } else { format!("(proxy {}) ", index + 1) };
        of_word(word).map_err(|why| InvalidProxy(format!("{number}{why}")))
    });
    proxies.collect()
}

/// Parses one proxy, without quotes around it.
pub fn parse_proxy(word: &str) -> Result<UpstreamProxy, InvalidProxy> {
    of_word(word).map_err(InvalidProxy)
}

fn of_word(word: &str) -> Result<UpstreamProxy, String> {
    // Links copied from the source of a page.
    let text = word.trim().replace("&amp;", "&");
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err("has a space or a control character in an address: write a space as %20".into());
    }
    if let Some((kind, query)) = link(text.split('#').next().unwrap_or_default()) {
        return of_link(kind, query, word);
    }
    let (scheme, rest) = text.split_once("://").ok_or(FORMS)?;
    match scheme.to_ascii_lowercase().as_str() {
        "socks5" | "socks5h" => of_address(rest, ProxyProtocol::Socks5, word),
        "http" => of_address(rest, ProxyProtocol::Http, word),
        "mtproxy" | "mtproto" => {
            let (address, query) =
                rest.split_once('?').ok_or("has no secret: mtproxy://host:port?secret=…")?;
            let (host, port) = host_and_port(address.trim_end_matches('/'))?;
            of_secret(host, port, query, word)
        }
        "https" => {
            Err("begins with https://: TLS to a proxy is not supported; use its http:// or socks5:// port"
                .into())
        }
        "socks" | "socks4" | "socks4a" => {
            Err("is not SOCKS5; SOCKS4 knows no passwords: write socks5:// if the proxy speaks it".into())
        }
        _ => Err(FORMS.into()),
    }
}

/// What kind of proxy a link leads to, and its query: `tg://proxy?…`, `https://t.me/socks?…`.
fn link(text: &str) -> Option<(&'static str, &str)> {
    let (before, query) = text.split_once('?')?;
    let before = before.trim_end_matches('/').to_ascii_lowercase();
    let path = if let Some(path) = before.strip_prefix("tg:") {
        path.trim_start_matches('/')
    } else {
        let address = before.strip_prefix("https://").or(before.strip_prefix("http://")).unwrap_or(&before);
        let (host, path) = address.split_once('/')?;
        if !LINK_HOSTS.contains(&host.trim_start_matches("www.")) {
            return None;
        }
        path
    };
    match path {
        "proxy" => Some(("proxy", query)),
        "socks" => Some(("socks", query)),
        _ => None,
    }
}

fn of_link(kind: &str, query: &str, word: &str) -> Result<UpstreamProxy, String> {
    let host = value_of(query, "server")?.ok_or("is a link without server=; copy the whole link again")?;
    let host = check_host(host.trim_matches(['[', ']']))?;
    let port = value_of(query, "port")?.ok_or("is a link without port=; copy the whole link again")?;
    let port = check_port(&port)?;
    if kind == "proxy" {
        return of_secret(host, port, query, word);
    }
    let login = match value_of(query, "user")?.filter(|user| !user.is_empty()) {
        Some(user) => Some(login(user, value_of(query, "pass")?.unwrap_or_default())?),
        None => None,
    };
    Ok(upstream(host, port, ProxyProtocol::Socks5(login), word))
}

fn of_secret(host: String, port: u16, query: &str, word: &str) -> Result<UpstreamProxy, String> {
    let secret = value_of(query, "secret")?.ok_or("has no secret=; copy the whole link again")?;
    // `+` is a digit of base64 here, and no space.
    let secret = secret.split('#').next().unwrap_or_default().replace(' ', "+");
    let mut proxy = upstream(host, port, ProxyProtocol::MtProxy(MtProxySecret::parse(&secret)?), word);
    proxy.written.push(Secret::new(secret));
    Ok(proxy)
}

fn of_address(
    rest: &str,
    protocol: impl Fn(Option<ProxyLogin>) -> ProxyProtocol,
    word: &str,
) -> Result<UpstreamProxy, String> {
    let rest = rest.trim_end_matches('/');
    let (user, address) = rest.rsplit_once('@').map_or((None, rest), |(user, address)| (Some(user), address));
    let login = match user {
        None => None,
        Some(user) => {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            Some(login(decoded(user)?, decoded(password)?)?)
        }
    };
    let (host, port) = host_and_port(address)?;
    let mut proxy = upstream(host, port, protocol(login), word);
    proxy.written.extend(user.map(|user| Secret::new(user.to_owned())));
    Ok(proxy)
}

fn upstream(host: String, port: u16, protocol: ProxyProtocol, word: &str) -> UpstreamProxy {
    let mut written = vec![Secret::new(word.to_owned())];
    if let ProxyProtocol::Socks5(Some(login)) | ProxyProtocol::Http(Some(login)) = &protocol {
        written.extend([login.user.clone(), login.password.clone()]);
    }
    UpstreamProxy { host, port, protocol, written }
}

fn login(user: String, password: String) -> Result<ProxyLogin, String> {
    if user.is_empty() {
        return Err("has a password without a user name: write user:password@host:port".into());
    }
    if user.len() > LONGEST || password.len() > LONGEST {
        return Err(format!("has a user name or password of more than {LONGEST} bytes"));
    }
    if user.contains(':') {
        return Err("has a user name with a colon in it, which neither SOCKS5 nor HTTP proxies accept".into());
    }
    Ok(ProxyLogin { user: Secret::new(user), password: Secret::new(password) })
}

fn host_and_port(address: &str) -> Result<(String, u16), String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']').ok_or("opens a [ and does not close it")?;
            (host, rest.strip_prefix(':'))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = port.ok_or("has no port: write host:port")?;
    Ok((check_host(host)?, check_port(port)?))
}

fn check_host(host: &str) -> Result<String, String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_name = !host.is_empty() && host.len() <= LONGEST && host.bytes().all(known);
    let bare = host.trim_end_matches('.');
    if (is_name && !bare.is_empty()) || host.parse::<Ipv6Addr>().is_ok() {
        return Ok(bare.to_owned());
    }
    if host.is_ascii() {
        Err("has no host name or IP address where one is expected: write host:port, and an IPv6 address as \
             [address]:port"
            .into())
    } else {
        Err("has a host name that is not ASCII; write its xn-- form".into())
    }
}

fn check_port(port: &str) -> Result<u16, String> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse().ok().filter(|number| *number != 0 && digits);
    number.ok_or_else(|| "has a port that is not a number from 1 to 65535".into())
}

/// The value of `name` in a query, decoded.
fn value_of(query: &str, name: &str) -> Result<Option<String>, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| decoded(value))
        .transpose()
}

/// Replaces `%41` by `A`.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "has a % that two hexadecimal digits do not follow; write % itself as %25".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = after.first_chunk::<2>().ok_or_else(wrong)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(wrong);
        bytes.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| "has a %-code that is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::MtProxyDisguise;

    const HEX: &str = "00112233445566778899aabbccddeeff";

    fn one(text: &str) -> UpstreamProxy {
        let mut all = parse_proxies(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(all.len(), 1, "{text}");
        all.remove(0)
    }

    fn login_of(proxy: &UpstreamProxy) -> Option<(&str, &str)> {
        match &proxy.protocol {
            ProxyProtocol::Socks5(login) | ProxyProtocol::Http(login) => {
                login.as_ref().map(|login| (login.user.expose().as_str(), login.password.expose().as_str()))
            }
            ProxyProtocol::MtProxy(_) => None,
        }
    }

    #[test]
    fn addresses_of_socks_and_http() {
        let table = [
            ("socks5://host:1080", "socks5://host:1080", None),
            ("SOCKS5h://Host.Example.:1080/", "socks5://Host.Example:1080", None),
            ("socks5://user:pass@10.0.0.1:9", "socks5://10.0.0.1:9", Some(("user", "pass"))),
            ("socks5://user@h:1", "socks5://h:1", Some(("user", ""))),
            (
                "socks5://us%40er:p%3A%2f%25@[2001:db8::1]:1080",
                "socks5://[2001:db8::1]:1080",
                Some(("us@er", "p:/%")),
            ),
            ("socks5://user:p@ss:w#/?@h:1", "socks5://h:1", Some(("user", "p@ss:w#/?"))),
            (
                "http://user:pass@proxy.example.org:3128",
                "http://proxy.example.org:3128",
                Some(("user", "pass")),
            ),
            ("HTTP://proxy:8080/", "http://proxy:8080", None),
            ("tg://socks?server=h&port=1080&user=u&pass=p%20w", "socks5://h:1080", Some(("u", "p w"))),
            ("https://t.me/socks?server=h&port=1080", "socks5://h:1080", None),
        ];
        for (text, shown, login) in table {
            let proxy = one(text);
            assert_eq!((proxy.to_string(), login_of(&proxy)), (shown.to_owned(), login), "{text}");
            assert!(proxy.carries_rtmp());
        }
    }

    #[test]
    fn links_and_addresses_of_mtproxy() {
        let dd = format!("dd{HEX}");
        let ee = "7gARIjNEVWZ3iJmqu8zd7v93d3cuZ29vZ2xlLmNvbQ";
        let tls = MtProxyDisguise::FakeTls { domain: "www.google.com".into() };
        for before in [
            "tg://proxy?",
            "tg:proxy?",
            "tg://proxy/?",
            "TG://Proxy?",
            "https://t.me/proxy?",
            "http://t.me/proxy?",
            "t.me/proxy?",
            "https://telegram.me/proxy?",
            "https://www.telegram.dog/proxy?",
        ] {
            for (secret, disguise) in
                [(HEX, MtProxyDisguise::Plain), (&dd, MtProxyDisguise::Padded), (ee, tls.clone())]
            {
                for query in [
                    format!("server=proxy.example.org&port=443&secret={secret}"),
                    format!("server=proxy.example.org&amp;port=443&amp;secret={secret}#top"),
                    format!("secret={secret}&port=443&server=proxy%2Eexample.org&bot=@name"),
                ] {
                    let proxy = one(&format!("'{before}{query}'"));
                    assert_eq!(proxy.to_string(), "mtproxy://proxy.example.org:443", "{before}{query}");
                    let ProxyProtocol::MtProxy(found) = &proxy.protocol else { panic!("{proxy}") };
                    assert_eq!(found.disguise, disguise, "{query}");
                    assert!(!proxy.carries_rtmp());
                }
            }
        }
        for text in [
            format!("mtproxy://h:443?secret={HEX}"),
            format!("mtproto://h:443/?secret={HEX}#name"),
            "mtproxy://h:443?secret=ABEiM0RVZneImaq7zN3u/w==".to_owned(),
            "mtproxy://h:443?secret=ABEiM0RVZneImaq7zN3u%2Fw%3D%3D".to_owned(),
        ] {
            assert_eq!(one(&text).to_string(), "mtproxy://h:443", "{text}");
        }
        // A `+` stays a digit of base64.
        let plus = one("tg://proxy?server=h&port=1&secret=++++++++++++++++++++++");
        assert!(matches!(plus.protocol, ProxyProtocol::MtProxy(_)));
    }

    #[test]
    fn lists_are_shell_words() {
        let both = parse_proxies(
            " socks5://a:1  'tg://proxy?server=b&port=2&secret=00112233445566778899aabbccddeeff'\n",
        );
        let shown: Vec<_> = both.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["socks5://a:1", "mtproxy://b:2"]);
        let error = parse_proxies("socks5://a:1 socks5://b").unwrap_err();
        assert_eq!(error.to_string(), "(proxy 2) has no port: write host:port");
        assert!(parse_proxies("'socks5://a:1").unwrap_err().to_string().contains("quote"));
        assert!(parse_proxies(&"socks5://a:1 ".repeat(17)).unwrap_err().to_string().contains("at most 16"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        for (text, words) in [
            ("secrethost:1080", "must be socks5://"),
            ("secrethost:1080:user:pass", "must be socks5://"),
            ("ftp://secrethost:1", "must be socks5://"),
            ("https://secrethost:443", "TLS to a proxy is not supported"),
            ("socks4://secrethost:1080", "is not SOCKS5"),
            ("socks5://secrethost", "has no port"),
            ("socks5://secrethost:0", "number from 1"),
            ("socks5://secrethost:65536", "number from 1"),
            ("socks5://secrethost:+1", "number from 1"),
            ("socks5://:1080", "no host name"),
            ("socks5://.:1080", "no host name"),
            ("socks5://:secretpass@h:1", "without a user name"),
            ("socks5://secretuser:a/b@h/:1", "no host name or IP address"),
            ("socks5://secret%zz:b@h:1", "%25"),
            ("socks5://secret%ff:b@h:1", "not UTF-8"),
            ("http://secret%3Auser:b@h:1", "colon"),
            ("socks5://[::1:secret", "does not close"),
            ("socks5://пример.рф:1", "xn--"),
            ("'socks5://secret host:1'", "space"),
            ("mtproxy://secrethost:443", "has no secret"),
            ("mtproxy://secrethost:443?key=1", "has no secret="),
            ("tg://proxy?port=443&secret=secretsecret", "without server="),
            ("tg://proxy?server=h&secret=secretsecret", "without port="),
            ("tg://proxy?server=h&port=443", "has no secret="),
            ("tg://proxy?server=h&port=443&secret=secretsecret!", "neither hexadecimal"),
            ("tg://resolve?domain=secret", "must be socks5://"),
            ("https://example.org/proxy?server=secret&port=1&secret=secret", "TLS to a proxy"),
        ] {
            let error = parse_proxies(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
            for secret in ["secrethost", "secretuser", "secretpass", "secretsecret"] {
                assert!(!error.contains(secret), "{text}: {error}");
            }
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let text = format!("socks5://joe:s3cr3tpw@h:1 http://joe:s3cr3tpw@h:2 mtproxy://h:3?secret={HEX}");
        let proxies = parse_proxies(&text).unwrap();
        for shown in [format!("{proxies:?}"), format!("{proxies:#?}"), format!("{:?}", proxies[0].protocol)] {
            for secret in ["joe", "s3cr3tpw", HEX, "17, 34"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
        let secrets: Vec<_> = proxies.iter().flat_map(UpstreamProxy::secrets).collect();
        assert!(secrets.contains(&"s3cr3tpw") && secrets.contains(&HEX), "{secrets:?}");
    }

    proptest! {
        #[test]
        fn anything_is_parsed_or_refused(text in ".{0,80}", rest in "[ -~]{0,60}") {
            for text in [text, format!("socks5://{rest}"), format!("tg://proxy?{rest}"), format!("mtproxy://h:1?{rest}")] {
                let _ = parse_proxies(&text);
            }
        }
    }
}
