//! What is drawn over items, as it comes out of the encoder: pixels, not filter names.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod overlays;
mod scene;
mod subtitles;
