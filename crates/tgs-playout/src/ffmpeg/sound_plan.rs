//! How the sound of one item is levelled, where it begins and ends, and how it is encoded.

use std::{process::Command, time::Duration};

use super::{
    filters::join,
    probe::Probe,
    setup::EncodeSetup,
    sound::{Levelling, SoundSpan, item_chain, layout},
};
use crate::item::{Item, MediaSource};

/// How the loudness of `item` is brought to the target. A sound from the network is measured while
/// it is played the first time.
pub(super) fn levelling(item: &Item, probe: &Probe, setup: &EncodeSetup) -> Levelling {
    let remote = item.media.sources.iter().any(|source: &MediaSource| !source.is_file());
    let whole = item.start.is_zero() && !item.media.live && probe.duration.is_some();
    let measured = probe.loudness.as_ref().filter(|_| !item.media.live);
    match probe.audio {
        Some(_) => Levelling::of(&setup.processing.sound, measured, remote && whole),
        _ => Levelling::Off,
    }
}

/// Largest distance between the stated end of a sound and its counted length: beyond it the two
/// mean different things.
const SAME_LENGTH: Duration = Duration::from_secs(1);

/// The filters of the sound of `item`. `end` is its stated end, counted from where the item starts,
/// and `pad` the silence to add.
pub(super) fn item_sound(
    item: &Item,
    probe: &Probe,
    setup: &EncodeSetup,
    end: Option<Duration>,
    pad: Duration,
) -> String {
    let Some(audio) = &probe.audio else { return String::new() };
    let counted = probe.loudness.and_then(|it| it.length);
    let speed = probe.speed();
    let counted =
        counted.map(|length| audio.late.saturating_add(speed.on_air(length)).saturating_sub(item.start));
    let end = end.filter(|_| !item.media.live && !probe.still && !probe.times.estimated);
    let end = match (end, counted) {
        // The container counts the padding of an encoder as well.
        (Some(end), Some(counted)) if end.abs_diff(counted) < SAME_LENGTH => Some(end.min(counted)),
        (end, _) => end,
    };
    let span = SoundSpan { begin: audio.late.saturating_sub(item.start), end, pad };
    item_chain(&setup.profile, &setup.processing.sound, audio, levelling(item, probe, setup), speed, span)
}

/// The graph of a sound, up to `[a]`.
pub(super) fn sound_graph(setup: &EncodeSetup, audio: &str) -> String {
    let profile = &setup.profile;
    format!(
        "{},aformat=sample_fmts=fltp:sample_rates={}:channel_layouts={}[a]",
        join(audio, setup.extra.audio_filter.as_ref()),
        profile.audio_rate,
        layout(profile.channels),
    )
}

/// Adds the options that encode the sound.
pub(super) fn encode_sound(command: &mut Command, setup: &EncodeSetup) {
    let profile = &setup.profile;
    command.args(["-c:a", "aac", "-b:a", &format!("{}k", profile.audio_kbps)]);
    command.args(["-ar", &profile.audio_rate.to_string(), "-ac", &profile.channels.to_string()]);
}
