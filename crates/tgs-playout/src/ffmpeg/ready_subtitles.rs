//! The subtitles of an item, ready to be drawn. Data only.

/// The subtitles of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ReadySubtitles {
    /// None are wanted, or the item has none.
    #[default]
    Nothing,
    /// They are wanted, and could not be prepared: the item plays without, and is not cached.
    Failed,
    /// A script in the scratch directory.
    Text {
        /// Its name, with its folder.
        script: String,
        /// The folder of its fonts.
        fonts: String,
    },
    /// Pictures in a stream of the item's picture source.
    Pictures {
        /// ffmpeg's index of the stream.
        stream: usize,
        /// The shape of the picture that they are made for, if known.
        aspect: Option<(u32, u32)>,
    },
}

impl ReadySubtitles {
    /// Whether there is something to draw.
    #[must_use]
    pub fn is_drawn(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Pictures { .. })
    }
}
