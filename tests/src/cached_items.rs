//! A cache of items with known tags, for the test that kills the writer. Nothing is encoded.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use tgs_playout::{
    cache::Cache,
    ffmpeg::{EncodeSetup, ExtraArgs, Processing},
    item::{Item, Media},
    profile::Profile,
};
use tgs_rtmp::flv::{Kind, Tag};

/// Number of different items.
pub const ITEMS: u32 = 5;

/// The cache in `dir`.
#[must_use]
pub fn cache(dir: &Path) -> Cache {
    let setup = EncodeSetup {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: Profile::P480,
        processing: Processing::default(),
        extra: ExtraArgs::default(),
        scratch: dir.to_owned(),
        image_duration: Duration::from_secs(10),
        short_groups: false,
    };
    Cache::open(dir, 1 << 30, &setup, "none")
}

/// The item of this number, from 0; its file is in `dir`.
pub fn item(dir: &Path, number: u32) -> Result<Item> {
    let path = dir.join(format!("{number}.mp4"));
    if !path.exists() {
        fs::write(&path, number.to_string())?;
    }
    let media = Media::at(format!("file:{}", path.display()), false);
    Ok(Item {
        id: path.display().to_string(),
        turn: 0,
        title: number.to_string(),
        start: Duration::ZERO,
        media,
    })
}

/// The encoded tags of the item of this number: forty GOPs, about 1 MB.
#[must_use]
pub fn tags(number: u32) -> Vec<Tag> {
    let body = |first: u8, size: usize, n: u32| {
        let mut body = vec![first, 1, 0, 0, 0];
        body.resize(size, (n + number) as u8);
        body.into()
    };
    (0..1200)
        .map(|n| {
            let first = if n % 30 == 0 { 0x17 } else { 0x27 };
            Tag { kind: Kind::Video, timestamp: u64::from(n) * 66, body: body(first, 900, n) }
        })
        .collect()
}
