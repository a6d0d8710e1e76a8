//! What yt-dlp finds on a page.

use tgs_playout::item::Media;

/// The content of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageItem {
    /// A video.
    Video {
        /// The sources that ffmpeg opens.
        media: Media,
        /// The page's title.
        title: Option<String>,
    },
    /// A URL that starts as an M3U list, which yt-dlp always takes for HLS.
    M3u {
        /// The source if it is HLS.
        media: Media,
        /// yt-dlp's title.
        title: Option<String>,
    },
    /// A list of other pages; not empty.
    List(Vec<Listed>),
}

/// An entry of a page that lists others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its page; with an `index`, the page that lists it.
    pub url: String,
    /// Its number in the list, from 1, if it has no page of its own.
    pub index: Option<u32>,
    /// Its title, if known.
    pub title: Option<String>,
}
