//! yt-dlp versions in pip's order: dates, with the time of day and `.devN` for nightlies.
//!
//! A subset of PEP 440: yt-dlp uses no epochs, pre-releases or local versions; those are rejected.

use std::{
    cmp::Ordering,
    fmt::{self, Write as _},
    str::FromStr,
};

/// A version: `2026.8.19`, or a nightly's `2026.10.26.220202.dev0`.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Without trailing zeros: 2026.8 equals 2026.8.0.
    release: Vec<u64>,
    /// 0 without `.postN`, else N + 1.
    post: u64,
    /// The N of `.devN`, which sorts before the release.
    dev: Option<u64>,
    /// The spelling of the index.
    text: String,
}

impl Version {
    fn key(&self) -> (&[u64], u64, u64) {
        (&self.release, self.post, self.dev.unwrap_or(u64::MAX))
    }
}

/// The text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version of yt-dlp")]
pub(crate) struct NoVersion(String);

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        read(text).ok_or_else(|| NoVersion(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Version> {
    // `u64::MAX` stands for "no .devN".
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok())?.filter(|number| *number < u64::MAX)
    };
    // A nightly's wheel has `2026.10.26.220202dev`; the index and other parts of pip have
    // `2026.10.26.220202.dev0`.
    let (text, dev) = match text.split_once("dev") {
        Some((text, "")) => (text, Some(0)),
        Some((text, dev)) => (text, Some(number(dev)?)),
        None => (text, None),
    };
    let text = if dev.is_some() { text.strip_suffix('.').unwrap_or(text) } else { text };
    let (text, post) = match text.split_once(".post") {
        Some((text, post)) => (text, number(post)? + 1),
        None => (text, 0),
    };
    let mut release: Vec<_> = text.split('.').map(number).collect::<Option<_>>()?;
    let mut text = release.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
    if post > 0 {
        let _ = write!(text, ".post{}", post - 1);
    }
    if let Some(dev) = dev {
        let _ = write!(text, ".dev{dev}");
    }
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    Some(Version { release, post, dev, text })
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn in_the_order_of_pep_440() {
        let ordered = [
            "2025.12.8",
            "2026.8.19.dev0",
            "2026.8.19.dev3",
            "2026.8.19",
            "2026.8.19.post0.dev1",
            "2026.8.19.post0",
            "2026.8.19.post1",
            "2026.8.19.3630.dev0",
            "2026.8.19.232951.dev0",
            "2026.8.19.232951",
            "2026.9.2",
            "2026.10.1",
            "2026.10.26",
            "2026.10.26.220202.dev0",
        ];
        for (a, earlier) in ordered.iter().enumerate() {
            for (b, later) in ordered.iter().enumerate() {
                assert_eq!(version(earlier).cmp(&version(later)), a.cmp(&b), "{earlier} {later}");
            }
        }
        assert_eq!(version("2026.08.19"), version("2026.8.19"));
        assert_eq!(version("2026.8.0"), version("2026.8"));
        for (text, shown) in [
            ("0.0", "0.0"),
            ("2026.08.19", "2026.8.19"),
            ("2026.10.26.220202dev", "2026.10.26.220202.dev0"),
            ("2026.10.26.post1.dev02", "2026.10.26.post1.dev2"),
        ] {
            assert_eq!(version(text).to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "",
            ".",
            "2026.",
            "2026..1",
            "v2026.1",
            "2026.1a1",
            "2026.1.devx",
            "dev0",
            "1.dev0.1",
            "1.dev0.dev1",
            "+1",
            "1.post",
            "1.post0.1",
            "post1",
            "1 ",
            "1.99999999999999999999999",
            "1.dev18446744073709551615",
            "2026.1+local",
            "1!2",
            "../x",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text in ".*|[0-9.]{0,20}(dev|post)?[0-9]{0,25}") {
            let _ = text.parse::<Version>();
        }

        #[test]
        fn a_date_is_ordered_as_its_numbers_are(
            a in prop::collection::vec(0_u64..3000, 3), b in prop::collection::vec(0_u64..3000, 3),
        ) {
            let text = |parts: &[u64]| version(&format!("{}.{:02}.{}", parts[0], parts[1], parts[2]));
            prop_assert_eq!(text(&a).cmp(&text(&b)), a.cmp(&b));
        }

        #[test]
        fn a_development_version_comes_just_before_its_own(text in "[0-9]{1,4}(\\.[0-9]{1,4}){0,3}(\\.post[0-9])?", n in 0_u64..9) {
            let dev = version(&format!("{text}.dev{n}"));
            prop_assert!(dev < version(&text));
            let next = version(&format!("{text}.dev{}", n + 1));
            prop_assert!(dev < next);
            prop_assert_eq!(dev.to_string().parse::<Version>().unwrap(), dev);
        }
    }
}
