//! Items, their sources, and the reasons why an item fails.
//!
//! The tool that owns the playlist implements [`Programme`] and decides the order.

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tgs_core::supervise::Panic;

use crate::network::Network;

/// Who named an address, and so which addresses it may lead to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trust {
    /// The operator, on the command line or in a file on this machine: any address.
    #[default]
    Operator,
    /// A list or page in this network: public addresses, and those of the same network.
    Found(Network),
}

/// A file or URL in the form that ffmpeg opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSource {
    /// A URL, or `file:` and an absolute path, so that ffmpeg reads no file name as an option or a
    /// protocol.
    pub url: String,
    /// HTTP request headers, name and value; empty for files.
    pub headers: Vec<(String, String)>,
    /// HTTP cookies in the form of `Set-Cookie`, each with its domain and path, which limit where
    /// ffmpeg sends the cookie.
    pub cookies: Vec<String>,
    /// Whether the content is an HLS playlist although the name does not end with `.m3u8`.
    pub hls: bool,
    /// For an HLS playlist on disk without an end tag that does not grow: its length. Such a
    /// playlist plays from its beginning.
    pub ends: Option<Duration>,
    /// Whether the source is an HLS playlist whose timestamps jump between segments.
    pub jumps: bool,
    /// Whether it must be a picture: any other content is refused.
    pub picture: bool,
    /// Who named the source.
    pub trust: Trust,
    /// The checked address that ffmpeg connects to instead of resolving the name again.
    pub address: Option<IpAddr>,
}

impl MediaSource {
    /// A source that the operator named by `url`, without headers.
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
            picture: false,
            trust: Trust::Operator,
            address: None,
        }
    }

    /// Whether the source is a local file; all others come over the network.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.url.starts_with("file:")
    }

    /// Whether the source is the live input's FLV over a Unix socket of this machine.
    #[must_use]
    pub fn is_relayed_live(&self) -> bool {
        self.url.starts_with("unix:")
    }

    /// Whether the source is an HLS playlist, by its content or its name.
    #[must_use]
    pub fn is_hls(&self) -> bool {
        self.hls || self.is_named_hls()
    }

    /// Whether the path of the URL ends with `.m3u8`.
    #[must_use]
    pub fn is_named_hls(&self) -> bool {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        path.to_ascii_lowercase().ends_with(".m3u8")
    }
}

/// The part of its sources that an item plays, and its tracks. The default is all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaPart {
    /// The in-point: where the item begins, counted from the beginning of its sources. All offsets
    /// of an item count from here. Live media has none.
    pub in_point: Duration,
    /// The out-point: where the item ends, counted as `in_point` and after it.
    pub out_point: Option<Duration>,
    /// How long a still picture is shown, instead of the setting.
    pub still: Option<Duration>,
    /// Languages of the sound in codes of ISO 639, the preferred one first.
    pub languages: Vec<String>,
    /// Whether the item plays without its sound.
    pub no_audio: bool,
    /// Whether the item plays without the channel's logo.
    pub no_logo: bool,
    /// Languages of the subtitles that are drawn, the preferred one first; empty: the channel's.
    pub subtitles: Vec<String>,
    /// What the list says about the item for its viewers.
    pub listed: Box<ListedNames>,
}

/// The names that a list gives an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedNames {
    /// The title.
    pub title: Option<String>,
    /// The artist.
    pub artist: Option<String>,
}

impl MediaPart {
    /// The length of the item, as far as the out-point states it.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        self.out_point.map(|out| out.saturating_sub(self.in_point))
    }

    /// Whether the item plays all pictures of its sources.
    #[must_use]
    pub fn is_uncut(&self) -> bool {
        self.in_point.is_zero() && self.out_point.is_none()
    }

    /// The time `at` of the sources as a time of the item.
    #[must_use]
    pub fn clip(&self, at: Duration) -> Duration {
        self.out_point.map_or(at, |out| at.min(out)).saturating_sub(self.in_point)
    }
}

/// Everything ffmpeg needs to open an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// One source with both streams, or two: the picture's, then the sound's.
    pub sources: Vec<MediaSource>,
    /// Whether the media is live: without a duration, and lost unless read in real time.
    pub live: bool,
    /// When the URLs expire, if known.
    pub expires: Option<SystemTime>,
    /// The site's identifier of this picture and sound, independent of their URLs: extractor, id
    /// and formats. `None` if unknown; files are identified by their content.
    pub identity: Option<String>,
    /// The part that is played.
    pub part: MediaPart,
}

impl Media {
    /// Media with one source that the operator named.
    #[must_use]
    pub fn at(url: String, live: bool) -> Self {
        let part = MediaPart::default();
        Self { sources: vec![MediaSource::at(url)], live, expires: None, identity: None, part }
    }

    /// Whether all of it lies on this machine: it is neither live nor fetched.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        !self.live && self.sources.iter().all(MediaSource::is_file)
    }

    /// Whether the item has reached its out-point at the offset `at`, to within a second.
    #[must_use]
    pub fn ends_at(&self, at: Duration) -> bool {
        self.part.length().is_some_and(|length| at.saturating_add(Duration::from_secs(1)) >= length)
    }
}

/// An item of the programme, ready to be probed and encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Identity across restarts and edits of the list: the absolute path or the page's URL.
    pub id: String,
    /// The programme's own number of this turn in its list, new each time the item is handed out;
    /// see [`Programme::jump`].
    pub turn: u64,
    /// The title shown to viewers and in logs.
    pub title: String,
    /// Start offset from the item's own beginning, which is its in-point.
    pub start: Duration,
    /// The sources for ffmpeg.
    pub media: Media,
}

/// Why an item could not be played, as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The file or page does not exist (ENOENT, HTTP 404, removed video).
    Missing,
    /// Access is denied (EACCES, HTTP 401/403, private video).
    Forbidden,
    /// The site demands proof that the client is not a bot.
    BotCheck,
    /// The site does not offer the item in this country.
    GeoBlocked,
    /// yt-dlp needs a JavaScript runtime for this site and found none.
    NoJsRuntime,
    /// The network or the remote server failed.
    Network,
    /// The item holds no playable stream (empty, text, garbage, unknown codec).
    Unplayable,
    /// The item ended more than a second before its probed end.
    Truncated,
    /// The encoder produced no frame for ten seconds.
    Stalled,
    /// The encoder died (killed, crashed, or refused the input half-way).
    Encoder,
    /// A helper (yt-dlp, ffprobe) timed out.
    Timeout,
    /// A helper (yt-dlp, ffprobe, ffmpeg) is not installed or does not start.
    Tool,
    /// A fault of tgs-stream itself: a panic while preparing or encoding the item.
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

/// A failure of one item, described for the operator: what happened and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemFailure {
    /// The class, for metrics and policy.
    pub reason: FailureReason,
    /// A lower-case sentence without a full stop, for use after “skipped X: ”.
    pub detail: String,
}

impl ItemFailure {
    /// A failure of class `reason`, described by `detail`.
    pub fn new(reason: FailureReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// A failure of an item caused by a panic in tgs-stream.
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

/// The answer of a [`Programme`] to a request for the next item.
#[derive(Debug)]
pub enum NextItem {
    /// Play this item.
    Play(Item),
    /// The page could not be resolved. Play its cache entry, or skip the item.
    Kept {
        /// The item, without sources.
        item: Item,
        /// Why the page could not be resolved.
        failure: ItemFailure,
    },
    /// This entry could not be prepared; request the one after it.
    Skip {
        /// The entry's identity.
        id: String,
        /// The entry's title.
        title: String,
        /// Why the entry could not be prepared.
        failure: ItemFailure,
    },
    /// The list is at its end and does not repeat.
    End,
}

/// An entry that is due later.
pub struct UpcomingItem {
    /// The entry's [`Item::id`].
    pub id: String,
    /// The part of its media that the item plays.
    pub part: MediaPart,
    /// Resolves the entry without changing the programme; `None` if the entry is not playable.
    pub find: Box<dyn FnOnce() -> Option<Item> + Send>,
}

/// Where a [`Programme`] continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JumpTarget {
    /// The same item, at this offset from its beginning.
    Again(Duration),
    /// The item before, from its beginning; the first item of the list restarts.
    Before,
    /// The entry after it.
    After,
    /// The list's entry of this number, from its beginning, in the round of the item. The programme
    /// assigns the numbers; if the entry is gone, the list continues as with [`JumpTarget::After`].
    Entry(u64),
}

/// The list of items in playing order. One thread makes all calls and may block in them (resolving
/// a page URL): the read-ahead and the filler cover that time.
pub trait Programme: Send {
    /// Returns the next entry. Called one item ahead of the encoder.
    fn next(&mut self) -> NextItem;

    /// Called immediately before `item` (from an earlier [`Programme::next`]) is encoded. Returns
    /// the item, resolved again if its URLs have expired, or its replacement in the edited list.
    fn confirm(&mut self, item: Item) -> NextItem;

    /// The next `count` entries after those handed out, nearest first, as far as they are known
    /// without network requests. A call may block.
    fn upcoming(&self, count: usize) -> Vec<UpcomingItem> {
        let _ = count;
        Vec::new()
    }

    /// Entries in a round at present. After that many failures in a row the engine backs off.
    fn round_len(&self) -> usize;

    /// Continues at `to`, relative to the item of this [`Item::turn`]; `None` stands for the item
    /// that [`Programme::next`] would return. Items handed out after that item have not been
    /// broadcast. A call of [`Programme::next`] follows.
    fn jump(&mut self, place: Option<u64>, to: JumpTarget);

    /// Hands out the items after the item of this [`Item::turn`] again, because they may have
    /// changed: they have not been broadcast. `None`: nothing is being broadcast, and only the item
    /// returned last may have changed. A call of [`Programme::next`] follows unless the return
    /// value is `true`: the item returned last still is the next one.
    fn replan(&mut self, place: Option<u64>) -> bool {
        place.is_none_or(|place| {
            self.jump(Some(place), JumpTarget::After);
            false
        })
    }

    /// Reads the list again. Changes apply from the next item on.
    fn reload(&mut self);

    /// After [`Programme::reload`]: the replacement of the last handed-out item (or skipped entry),
    /// if the edit changed that place.
    fn replaced(&mut self) -> Option<NextItem> {
        None
    }
}
