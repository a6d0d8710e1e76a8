//! The further outputs, `ALSO_OUTPUT_URLS`, and their proxies, `ALSO_OUTPUT_PROXIES`: their type,
//! and the parsers of the values.

use crate::{
    proxy::{MOST_PROXIES, UpstreamProxy, parse_proxy},
    secret::Secret,
};

/// Most further outputs of a broadcast.
pub const MOST_OUTPUTS: usize = 16;

/// Most characters of an output's name.
const LONGEST_NAME: usize = 32;

/// A server that receives the broadcast beside the main output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedOutput {
    /// Its name in status, metrics and log: lower-case letters, digits and `-`.
    pub name: String,
    /// An `rtmp://` or `rtmps://` URL with the stream key; else unchecked.
    pub url: Secret<String>,
    /// Its proxies, none of them an MTProxy; empty for a direct connection.
    pub proxies: Vec<UpstreamProxy>,
}

/// The outputs of `value`, which are shell words of the form `NAME=URL`, or all of its problems.
/// A problem names an output only by a well-formed name: other text may be a part of a key.
pub(super) fn outputs(value: &str) -> Result<Vec<NamedOutput>, Vec<String>> {
    let words = shell_words::split(value).map_err(|_| vec!["opens a quote and does not close it".into()])?;
    let (mut found, mut problems) = (Vec::<NamedOutput>::new(), Vec::new());
    if words.len() > MOST_OUTPUTS {
        problems.push(format!("has {} outputs; {MOST_OUTPUTS} is the limit", words.len()));
    }
    for (number, word) in (1..).zip(words) {
        let parts = word.split_once('=').filter(|(name, _)| is_name(name));
        let Some((name, url)) = parts else {
            problems.push(format!(
                "entry {number} must be NAME=URL, the name of at most {LONGEST_NAME} lower-case letters, digits \
                 and -, such as youtube=rtmps://host/app/KEY"
            ));
            continue;
        };
        if !["rtmp://", "rtmps://"].iter().any(|scheme| url.starts_with(scheme)) {
            problems.push(format!("entry {name}: its address must begin with rtmp:// or rtmps://"));
        }
        if found.iter().any(|other| other.name == name) {
            problems.push(format!("has two outputs with the name {name}"));
        }
        if let Some(same) = found.iter().find(|other| other.url.expose() == url && other.name != name) {
            problems.push(format!("entry {name}: its address is that of {}", same.name));
        }
        let (name, url) = (name.to_owned(), Secret::new(url.to_owned()));
        found.push(NamedOutput { name, url, proxies: Vec::new() });
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

/// Gives `outputs` their proxies: `value` has shell words of the form `NAME=PROXY`, and a name with
/// several proxies tries them in turn. Returns all problems; they repeat nothing of an address.
pub(super) fn add_proxies(outputs: &mut [NamedOutput], value: &str) -> Vec<String> {
    let Ok(words) = shell_words::split(value) else {
        return vec!["opens a quote and does not close it".into()];
    };
    let mut problems = Vec::new();
    for (number, word) in (1..).zip(words) {
        let Some((name, proxy)) = word.split_once('=').filter(|(name, _)| is_name(name)) else {
            problems.push(format!(
                "entry {number} must be NAME=PROXY, with the name of an output of ALSO_OUTPUT_URLS, such as \
                 youtube=socks5://user:password@host:port"
            ));
            continue;
        };
        let Some(output) = outputs.iter_mut().find(|output| output.name == name) else {
            problems.push(format!("entry {name}: ALSO_OUTPUT_URLS has no output of this name"));
            continue;
        };
        match parse_proxy(proxy) {
            Err(why) => problems.push(format!("entry {name}: its proxy {why}")),
            Ok(proxy) if !proxy.carries_rtmp() => problems.push(format!(
                "entry {name}: its proxy is an MTProxy, which carries Telegram's own protocol only, not RTMP; name \
                 a socks5:// or http:// proxy"
            )),
            Ok(_) if output.proxies.len() == MOST_PROXIES => {
                problems.push(format!("entry {name}: it has more than {MOST_PROXIES} proxies"));
            }
            Ok(proxy) => output.proxies.push(proxy),
        }
    }
    problems
}

/// Whether `name` begins and ends with a letter or digit, and is short.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(value: &str) -> Vec<String> {
        let problems = outputs(value).unwrap_err();
        assert!(!problems.concat().contains("s3cr3t"), "{problems:?}");
        problems
    }

    #[test]
    fn outputs_are_named_urls() {
        let found = outputs("youtube=rtmps://a/live2/k?a=b  'vk-2=rtmp://b/input/x y'").unwrap();
        let plain: Vec<_> = found.iter().map(|it| (&*it.name, it.url.expose().as_str())).collect();
        assert_eq!(plain, [("youtube", "rtmps://a/live2/k?a=b"), ("vk-2", "rtmp://b/input/x y")]);
        assert!(!format!("{found:?}").contains("live2"));
    }

    #[test]
    fn proxies_belong_to_the_output_that_names_them() {
        let mut found = outputs("youtube=rtmps://a/live2/k vk=rtmp://b/input/k c=rtmp://c/app/k").unwrap();
        let value = "youtube=socks5://u:p%3D@h:1 vk=http://[::1]:3128 youtube=tg://socks?server=s&port=2";
        assert!(add_proxies(&mut found, value).is_empty());
        let shown = |output: &NamedOutput| {
            output.proxies.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let shown: Vec<_> = found.iter().map(shown).collect();
        assert_eq!(shown, ["socks5://h:1 socks5://s:2", "http://[::1]:3128", ""]);
    }

    #[test]
    fn all_problems_of_proxies_are_found_and_none_shows_a_password() {
        let mut found = outputs("youtube=rtmps://a/live2/k").unwrap();
        let value = "socks5://u:s3cr3t@h:1 vk=socks5://u:s3cr3t@h:1 youtube=socks5://u:s3cr3t@h \
                     youtube=s3cr3t 'youtube=mtproxy://h:1?secret=00112233445566778899aabbccddeeff' youtube=";
        let problems = add_proxies(&mut found, value);
        assert_eq!(problems.len(), 6, "{problems:#?}");
        for (problem, says) in problems.iter().zip([
            "entry 1 must be NAME=PROXY",
            "entry vk: ALSO_OUTPUT_URLS has no output of this name",
            "entry youtube: its proxy has no port",
            "entry youtube: its proxy must be socks5://",
            "entry youtube: its proxy is an MTProxy",
            "entry youtube: its proxy must be socks5://",
        ]) {
            assert!(problem.contains(says) && !problem.contains("s3cr3t"), "{problem}");
        }
        let many: Vec<_> = (1..=17).map(|port| format!("youtube=socks5://h:{port}")).collect();
        let problems = add_proxies(&mut found, &many.join(" "));
        assert_eq!(problems, ["entry youtube: it has more than 16 proxies"]);
        assert_eq!(add_proxies(&mut found, "'youtube=socks5://h"), ["opens a quote and does not close it"]);
    }

    #[test]
    fn all_problems_are_found_and_none_shows_a_key() {
        let found = problems(
            "rtmp://h/a/s3cr3t?x=s3cr3t You=rtmp://h/a/s3cr3t a=http://h/s3cr3t b=rtmp://h/a/s3cr3t \
             b=rtmp://h/a/s3cr3t2 c=rtmp://h/a/s3cr3t",
        );
        assert_eq!(found.len(), 5, "{found:#?}");
        for (problem, says) in found.iter().zip([
            "entry 1 must be NAME=URL",
            "entry 2 must be NAME=URL",
            "entry a: its address must begin with rtmp://",
            "two outputs with the name b",
            "entry c: its address is that of b",
        ]) {
            assert!(problem.contains(says), "{problem}");
        }
        assert_eq!(problems("a='rtmp://h/a/s3cr3t"), ["opens a quote and does not close it"]);
        let many: Vec<_> = (0..17).map(|n| format!("n{n}=rtmp://h/a/s3cr3t{n}")).collect();
        assert_eq!(problems(&many.join(" ")), ["has 17 outputs; 16 is the limit"]);
        for name in ["", "-a", "a-", "a_b", "é", &"a".repeat(33)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
