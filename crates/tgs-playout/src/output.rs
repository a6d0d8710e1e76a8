//! The broadcast's output, as the operator writes it. Opens nothing.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tgs_core::{proxy::ProxyList, secret::Secret};
use tgs_rtmp::url::{RtmpUrl, UrlError};

/// The destination of the broadcast.
#[derive(Debug, Clone)]
pub enum Output {
    /// An RTMP(S) server, through the native publisher and through proxies, if there are any.
    Rtmp(RtmpUrl, ProxyList),
    /// An RTMP(S) server, through an ffmpeg child with stream copy (`PUBLISHER=ffmpeg`).
    Ffmpeg {
        /// The ffmpeg executable.
        ffmpeg: PathBuf,
        /// The URL with the stream key.
        url: Secret<String>,
        /// The URL without the stream key, for display.
        shown: String,
    },
    /// An FLV file.
    File(PathBuf),
    /// An output that is named while the engine runs. Only beside further outputs, which the
    /// engine serves meanwhile.
    Later(OutputSlot),
}

/// The place of an output that is named, replaced and taken away while the engine runs. Clones
/// share it.
#[derive(Debug, Clone, Default)]
pub struct OutputSlot(Arc<Mutex<NamedLater>>);

#[derive(Debug, Default)]
struct NamedLater {
    /// Never [`Output::Later`].
    output: Option<Output>,
    changes: u64,
}

impl OutputSlot {
    /// Names the output, or none. One that is named twice is connected anew.
    pub fn set(&self, output: Option<Output>) {
        let mut named = self.lock();
        if output.is_some() || named.output.is_some() {
            named.changes += 1;
        }
        named.output = output.filter(|output| !matches!(output, Output::Later(_)));
    }

    /// The output that is named.
    pub(crate) fn get(&self) -> Option<Output> {
        self.lock().output.clone()
    }

    /// The number of changes so far.
    pub(crate) fn changes(&self) -> u64 {
        self.lock().changes
    }

    fn lock(&self) -> MutexGuard<'_, NamedLater> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    /// The same output through `proxies`. An ffmpeg child and a file stay as they are.
    #[must_use]
    pub fn through(self, proxies: ProxyList) -> Self {
        match self {
            Self::Rtmp(target, _) => Self::Rtmp(target, proxies),
            other => other,
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtmp(target, proxies) => match proxies.current() {
                Some(proxy) => write!(f, "{target} through {proxy}"),
                None => write!(f, "{target}"),
            },
            Self::Ffmpeg { shown, .. } => f.write_str(shown),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Later(slot) => match slot.get() {
                Some(output) => output.fmt(f),
                None => f.write_str("a server that is not named yet"),
            },
        }
    }
}

/// Why a text is not a valid output.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Neither an RTMP(S) URL nor an FLV file name.
    #[error("it is neither an rtmp:// or rtmps:// URL nor a file name that ends in .flv")]
    Unknown,
    /// A URL that cannot be published to.
    #[error(transparent)]
    Url(#[from] UrlError),
}

/// Parses an output as the operator writes it: an RTMP(S) URL, or a path that ends in `.flv`.
pub fn parse_output(text: &str, by_ffmpeg: Option<PathBuf>) -> Result<Output, OutputError> {
    if !text.contains("://") {
        let path = PathBuf::from(text);
        let flv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("flv"));
        return if flv { Ok(Output::File(path)) } else { Err(OutputError::Unknown) };
    }
    let target = RtmpUrl::parse(text)?;
    Ok(match by_ffmpeg {
        Some(ffmpeg) => {
            Output::Ffmpeg { ffmpeg, url: Secret::new(text.to_owned()), shown: target.to_string() }
        }
        None => Output::Rtmp(target, ProxyList::default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_without_showing_the_key() {
        assert!(matches!(parse_output("out.FLV", None), Ok(Output::File(_))));
        assert!(parse_output("out.mp4", None).is_err());
        let native = parse_output("rtmp://host/app/secretkey", None).unwrap();
        let piped = parse_output("rtmp://host/app/secretkey", Some("ffmpeg".into())).unwrap();
        for output in [native, piped] {
            assert!(!format!("{output} {output:?}").contains("secretkey"), "{output:?}");
        }
        assert!(
            !parse_output("http://host/app/secretkey", None).unwrap_err().to_string().contains("secretkey")
        );
    }
}
