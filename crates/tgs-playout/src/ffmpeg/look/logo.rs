//! The settings of the logo.

use std::{fmt, path::PathBuf};

/// A corner of the picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Corner {
    /// At the top, to the left.
    TopLeft,
    /// At the top, to the right.
    #[default]
    TopRight,
    /// At the bottom, to the left.
    BottomLeft,
    /// At the bottom, to the right.
    BottomRight,
}

/// A file, which a cache key names by its content instead.
#[derive(Clone, PartialEq, Eq)]
pub struct LogoFile(pub PathBuf);

impl fmt::Debug for LogoFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("file")
    }
}

/// A logo.
#[derive(Debug, Clone, PartialEq)]
pub struct Logo {
    /// A picture or a short clip.
    pub file: LogoFile,
    /// Where it stands.
    pub corner: Corner,
    /// Its height in parts of the picture's height.
    pub height: f64,
    /// From 0 to 1, which is the opacity of the file itself.
    pub opacity: f64,
    /// The distance to the edges, in parts of the picture's height.
    pub margin: f64,
    /// The converted copy; without it, no logo is drawn.
    pub copy: Option<LogoCopy>,
}

/// A logo in the broadcast's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoCopy {
    /// The name in the scratch directory, by the content of the file.
    pub(crate) name: String,
    /// Whether it has more than one picture.
    pub(crate) moves: bool,
}
