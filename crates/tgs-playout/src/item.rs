//! What the engine is asked to play, where it comes from, and why it could not be played.
//!
//! No decision is taken here: [`Programme`] is implemented by the tool that owns the playlist.

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tgs_core::supervise::Panic;

use crate::proxy::Network;

/// Who named something, and so which addresses it may lead to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trust {
    /// The operator, on the command line or in a file on this machine: any address.
    #[default]
    Operator,
    /// A list or a page that lies in this network: public addresses, and those of the same network.
    Found(Network),
}

/// One file or URL as ffmpeg opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSource {
    /// A URL, or `file:` and an absolute path (so that no file name can be read as an option or a
    /// protocol).
    pub url: String,
    /// HTTP request headers, name and value; empty for files.
    pub headers: Vec<(String, String)>,
    /// HTTP cookies in the form of `Set-Cookie`, each with its domain and path: ffmpeg sends one
    /// only where these match.
    pub cookies: Vec<String>,
    /// Whether the content is an HLS playlist although the name does not end with `.m3u8`.
    pub hls: bool,
    /// Where it is an HLS playlist on disk that has no end and does not grow: how long it is. It
    /// plays from its beginning.
    pub ends: Option<Duration>,
    /// Whether it is an HLS playlist whose times jump from segment to segment.
    pub jumps: bool,
    /// Who named it.
    pub trust: Trust,
    /// Where ffmpeg is to connect to instead of asking for the name's address, where that was
    /// checked.
    pub address: Option<IpAddr>,
}

impl MediaSource {
    /// What the operator named by `url`, without headers.
    #[must_use]
    pub fn at(url: String) -> Self {
        let (headers, cookies) = (Vec::new(), Vec::new());
        Self {
            url,
            headers,
            cookies,
            hls: false,
            ends: None,
            jumps: false,
            trust: Trust::Operator,
            address: None,
        }
    }

    /// Whether it is on this machine; what is not comes over the network.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.url.starts_with("file:")
    }

    /// Whether it is a list of segments, by its content or its name.
    #[must_use]
    pub fn is_hls(&self) -> bool {
        self.hls || self.is_named_hls()
    }

    /// Whether its name says that it is a list of segments.
    #[must_use]
    pub fn is_named_hls(&self) -> bool {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        path.to_ascii_lowercase().ends_with(".m3u8")
    }
}

/// Everything ffmpeg needs to open an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// One source that holds everything, or two: the picture's, then the sound's.
    pub sources: Vec<MediaSource>,
    /// A live source has no duration and cannot wait for the viewer.
    pub live: bool,
    /// When the URLs stop working, where that is known.
    pub expires: Option<SystemTime>,
    /// What the site calls this picture and sound, whatever their URLs: the extractor, its id, the
    /// formats. `None` where it is unknown; files are identified by their content.
    pub identity: Option<String>,
}

impl Media {
    /// What one URL leads to.
    #[must_use]
    pub fn at(url: String, live: bool) -> Self {
        Self { sources: vec![MediaSource::at(url)], live, expires: None, identity: None }
    }
}

/// One entry of the programme, ready to be probed and encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Identity that survives restarts and edits of the list: the absolute path or the page's URL.
    pub id: String,
    /// The program's own number of this turn in its list, another each time it gives one out;
    /// [`Programme::jump`] names it.
    pub turn: u64,
    /// What viewers and logs are shown.
    pub title: String,
    /// Where to start, from the item's own beginning.
    pub start: Duration,
    /// What ffmpeg opens.
    pub media: Media,
}

/// Why an item could not be played, as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The file or page is not there (ENOENT, HTTP 404, removed video).
    Missing,
    /// It may not be read (EACCES, HTTP 401/403, private video).
    Forbidden,
    /// The site wants proof that no bot asks.
    BotCheck,
    /// Not offered in this country.
    GeoBlocked,
    /// yt-dlp needs a JavaScript runtime for this site and found none.
    NoJsRuntime,
    /// The network or the remote server failed.
    Network,
    /// There is nothing playable in it (empty, text, garbage, no known stream).
    Unplayable,
    /// It ended more than a second before its probed end.
    Truncated,
    /// No frame for ten seconds.
    Stalled,
    /// The encoder died (killed, crashed, or refused the input half-way).
    Encoder,
    /// A helper (yt-dlp, ffprobe) did not answer in time.
    Timeout,
    /// A helper (yt-dlp, ffprobe, ffmpeg) is not installed or does not start.
    Tool,
    /// A fault of tgs-stream itself: a panic while the item was prepared or encoded.
    Internal,
}

impl FailureReason {
    /// Every reason, so that each metric series exists from the start.
    pub const ALL: [Self; 13] = [
        Self::Missing,
        Self::Forbidden,
        Self::BotCheck,
        Self::GeoBlocked,
        Self::NoJsRuntime,
        Self::Network,
        Self::Unplayable,
        Self::Truncated,
        Self::Stalled,
        Self::Encoder,
        Self::Timeout,
        Self::Tool,
        Self::Internal,
    ];

    /// The label value of `tgs_item_failures_total{reason}`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Forbidden => "forbidden",
            Self::BotCheck => "bot_check",
            Self::GeoBlocked => "geo_blocked",
            Self::NoJsRuntime => "no_js_runtime",
            Self::Network => "network",
            Self::Unplayable => "unplayable",
            Self::Truncated => "truncated",
            Self::Stalled => "stalled",
            Self::Encoder => "encoder",
            Self::Timeout => "timeout",
            Self::Tool => "tool",
            Self::Internal => "internal",
        }
    }
}

/// A failure of one item, in words for the operator: what happened and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFailure {
    /// The class, for metrics and policy.
    pub reason: FailureReason,
    /// A lower-case sentence without a full stop, fit for "skipped X: …".
    pub detail: String,
}

impl ItemFailure {
    /// A failure of class `reason`, described by `detail`.
    pub fn new(reason: FailureReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// The failure of an item at which tgs-stream itself failed.
    #[must_use]
    pub fn of_panic(panic: &Panic) -> Self {
        Self::new(FailureReason::Internal, format!("a fault of tgs-stream, please report it: {panic}"))
    }
}

impl fmt::Display for ItemFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ItemFailure {}

/// What a [`Programme`] answers when it is asked for the next item.
#[derive(Debug)]
pub enum NextItem {
    /// Play this.
    Play(Item),
    /// The page could not be asked. Play what has been kept of it, or take it for skipped.
    Kept {
        /// The entry, without sources.
        item: Item,
        /// Why it could not be asked.
        failure: ItemFailure,
    },
    /// This entry could not be prepared; ask again for the one after it.
    Skip {
        /// The entry's identity.
        id: String,
        /// The entry's title.
        title: String,
        /// Why.
        failure: ItemFailure,
    },
    /// The list has been played to its end and is not repeated.
    End,
}

/// A coming entry.
pub struct UpcomingItem {
    /// Its [`Item::id`].
    pub id: String,
    /// Finds out what it is; `None` where that is nothing that can be played. It changes nothing.
    pub find: Box<dyn FnOnce() -> Option<Item> + Send>,
}

/// Where a [`Programme`] goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JumpTarget {
    /// To the same item, this far from its beginning.
    Again(Duration),
    /// To the item before it, from its beginning; where it is the list's first, to itself.
    Before,
    /// To what comes after it.
    After,
}

/// The list of what is played, in order. Called from one thread, which may block in it (resolving a
/// page URL): the read-ahead and the filler cover that time.
pub trait Programme: Send {
    /// The next entry. Called one item ahead of the encoder.
    fn next(&mut self) -> NextItem;

    /// Called immediately before `item` (from an earlier [`Programme::next`]) is encoded: gives it
    /// back, resolved anew where its URLs have expired, or gives what the edited list has in its
    /// place.
    fn confirm(&mut self, item: Item) -> NextItem;

    /// The `count` entries that come after those given out, as far as that is known without asking
    /// anybody; nearest first. A call may block.
    fn upcoming(&self, count: usize) -> Vec<UpcomingItem> {
        let _ = count;
        Vec::new()
    }

    /// How many entries one round has at present: after so many failures in a row the engine backs
    /// off.
    fn round_len(&self) -> usize;

    /// Goes where `to` says, seen from the item of this [`Item::turn`]; `None` stands for what
    /// [`Programme::next`] would give. What was given out after that item has not been seen by
    /// anybody. [`Programme::next`] follows.
    fn jump(&mut self, place: Option<u64>, to: JumpTarget);

    /// Puts what `line` names (as a playlist's line does) behind what is queued already. It is
    /// given out before the list goes on.
    fn queue(&mut self, line: &str);

    /// Reads the list anew. What has changed is taken with the next item.
    fn reload(&mut self);

    /// After [`Programme::reload`]: what comes in the place of the item (or skipped entry) given
    /// out last, where the edit has another there.
    fn replaced(&mut self) -> Option<NextItem> {
        None
    }
}
