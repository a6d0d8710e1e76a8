//! The files of the page, compiled in. Compressed once, at the first request.

use std::{io::Write, sync::LazyLock};

use flate2::{Compression, write::GzEncoder};

use crate::hash;

/// A file of the page.
#[derive(Debug)]
pub(crate) struct Asset {
    /// The path, as in the URL.
    pub(crate) path: &'static str,
    /// The media type.
    pub(crate) kind: &'static str,
    /// The content.
    pub(crate) bytes: &'static [u8],
    /// The content, compressed with gzip.
    pub(crate) gzip: Vec<u8>,
    /// Changes with the content.
    pub(crate) tag: String,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// Lists the files of `page/`.
macro_rules! files {
    ($($path:literal $kind:expr),* $(,)?) => {
        &[$(($path, $kind, include_bytes!(concat!("../page/", $path)))),*]
    };
}

const FILES: &[(&str, &str, &[u8])] = files![
    "index.html" HTML,
    "style.css" STYLE,
    "icon.svg" ICON,
    "app.js" SCRIPT,
    "api.js" SCRIPT,
    "dom.js" SCRIPT,
    "text.js" SCRIPT,
    "overview.js" SCRIPT,
    "channel.js" SCRIPT,
    "preview.js" SCRIPT,
    "queue.js" SCRIPT,
    "source.js" SCRIPT,
    "timetable.js" SCRIPT,
    "live.js" SCRIPT,
    "player.js" SCRIPT,
    "charts.js" SCRIPT,
    "lang/en.json" JSON,
    "lang/ru.json" JSON,
    "vendor/mpegts.js" SCRIPT,
    "vendor/mpegts.LICENSE.txt" TEXT,
    "vendor/mpegts.js.LICENSE.txt" TEXT,
    "vendor/uplot.js" SCRIPT,
    "vendor/uplot.css" STYLE,
    "vendor/uplot.LICENSE.txt" TEXT,
];

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |&(path, kind, bytes): &(&'static str, &'static str, &'static [u8])| {
        let digest = hash::digest(&String::from_utf8_lossy(bytes));
        let tag = digest[..8].iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        Asset { path, kind, bytes, gzip: gzip(bytes), tag: format!("\"{tag:016x}\"") }
    };
    FILES.iter().map(asset).collect()
});

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// The file at `path`.
pub(crate) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loaded with the page; the rest when it is asked for.
    fn is_loaded_first(asset: &Asset) -> bool {
        !asset.path.starts_with("vendor/") && asset.path != "charts.js" && asset.path != "player.js"
    }

    #[test]
    fn the_page_is_small_and_asks_no_other_host() {
        let first: usize = ASSETS.iter().filter(|asset| is_loaded_first(asset)).map(|a| a.gzip.len()).sum();
        assert!(first < 150_000, "{first} bytes");
        for asset in ASSETS.iter().filter(|asset| !asset.path.starts_with("vendor/")) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for line in text.lines().filter(|line| !line.contains("http://www.w3.org/2000/svg")) {
                assert!(
                    !line.contains("http://") && !line.replace("https://…", "").contains("https://"),
                    "{line}"
                );
                assert!(!line.contains("innerHTML"), "{}: {line}", asset.path);
            }
        }
    }

    #[test]
    fn vendored_scripts_are_those_that_the_table_names() {
        let table = include_str!("../page/vendor/README.md");
        for name in ["mpegts.js", "uplot.js", "uplot.css"] {
            let mut digest = tgs_core::digest::Digest::default();
            digest.add(find(&format!("vendor/{name}")).unwrap().bytes);
            let digest = digest.hex();
            let row = table.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
            assert!(row.contains(&digest), "{name} has the digest {digest}");
        }
    }

    #[test]
    fn both_languages_have_the_same_texts() {
        let keys = |path: &str| {
            let texts: serde_json::Value = serde_json::from_slice(find(path).unwrap().bytes).unwrap();
            texts.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(keys("lang/en.json"), keys("lang/ru.json"));
        let known = keys("lang/en.json");
        let mut used = 0;
        for asset in ASSETS.iter().filter(|a| a.kind == SCRIPT && !a.path.starts_with("vendor/")) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            // t("key") and t("key", …)
            for part in text.split("t(\"").skip(1) {
                let key = part.split('"').next().unwrap();
                if key.contains('.') && key.starts_with(char::is_alphabetic) && !key.contains(['/', ' ']) {
                    used += 1;
                    assert!(known.iter().any(|name| name == key), "{}: {key}", asset.path);
                }
            }
        }
        assert!(used > 40, "only {used} texts used");
    }
}
