//! No answer of ffprobe panics what reads it, or what makes an encoder's command of it.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tgs_playout::{
    ffmpeg::{EncodeJob, EncodeSetup, ExtraArgs, Processing, probe},
    item::{Item, Media},
    profile::Profile,
};

fuzz_target!(|input: (&[u8], u64)| {
    let (answer, start) = input;
    let Some(found) = probe::read_any(answer) else { return };
    let setup = EncodeSetup {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: Profile::P720,
        processing: Processing::default(),
        extra: ExtraArgs::default(),
        scratch: "/no/such".into(),
        image_duration: Duration::from_secs(10),
        short_groups: false,
    };
    let item = Item {
        id: String::new(),
        turn: 0,
        title: String::new(),
        start: Duration::from_millis(start),
        media: Media::at("file:/a".into(), false),
    };
    let _ = EncodeJob::copy(&item, &found, &setup);
    let _ = EncodeJob::item(&item, &found, &setup).command(&setup);
});
