//! The filter chain that fits any sound to the profile.

use std::time::Duration;

use tgs_core::language::Languages;

use super::{
    filters::{Jump, cut},
    loudness::{Gain, Loudness, LoudnessTarget, METER, gain},
    probe::AudioStream,
    speed::Speed,
};
use crate::profile::Profile;

/// What is done to each sound.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SoundOptions {
    /// The loudness of every item; `None` leaves each as it is.
    pub loudness: Option<LoudnessTarget>,
    /// Preferred languages, after those of the item itself.
    pub languages: Languages,
    /// The side of a stereo sound to play on both; `None` plays both sides.
    pub side: Option<Side>,
    /// Length of the fades at the beginning and end of each item, up to 5 s; zero for none.
    pub fade: Duration,
}

impl SoundOptions {
    /// Whether the samples of some item are changed beyond the profile's format.
    #[must_use]
    pub fn alters(&self) -> bool {
        self.loudness.is_some() || self.side.is_some() || !self.fade.is_zero()
    }
}

/// A side of a stereo sound whose sides hold different sounds (dual mono).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The left channel.
    Left,
    /// The right channel.
    Right,
}

/// How the loudness of an item is brought to the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Levelling {
    /// It stays as it is.
    Off,
    /// By one gain, from its measured loudness.
    Measured(Gain, LoudnessTarget),
    /// While it plays, by ffmpeg's one-pass loudnorm; `measure` meters the original beside it.
    OnePass { target: LoudnessTarget, measure: bool },
}

impl Levelling {
    pub(super) fn of(options: &SoundOptions, measured: Option<&Loudness>, measure: bool) -> Self {
        match (options.loudness, measured) {
            (None, _) => Self::Off,
            (Some(target), Some(measured)) => Self::Measured(gain(measured, &target), target),
            (Some(target), None) => Self::OnePass { target, measure },
        }
    }
}

/// Where the sound of an item begins and ends in the encoder's time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SoundSpan {
    pub(super) begin: Duration,
    /// `None` if unknown.
    pub(super) end: Option<Duration>,
    /// Silence to add behind it.
    pub(super) pad: Duration,
}

/// Mixes channels without a known layout, which ffmpeg refuses: even channels to the left, odd to
/// the right.
pub(super) fn mix_unplaced(channels: u32) -> String {
    if channels == 0 {
        return String::new();
    }
    let side = |first: u32| {
        let names: Vec<_> = (first..channels).step_by(2).map(|channel| format!("c{channel}")).collect();
        names.join("+")
    };
    format!("pan=stereo|FL<{}|FR<{},", side(0), side(1))
}

pub(super) fn cut_sound(jump: Option<Jump>) -> String {
    cut("asetpts", jump, "NB_SAMPLES/SR")
}

/// The filter that plays one side of a stereo sound on both.
fn one_side(audio: &AudioStream, options: &SoundOptions) -> &'static str {
    match options.side.filter(|_| audio.channels == 2) {
        None => "",
        Some(Side::Left) => "pan=stereo|c0=c0|c1=c0,",
        Some(Side::Right) => "pan=stereo|c0=c1|c1=c1,",
    }
}

/// The sound of `audio` in floating point and with the profile's channels: what is measured.
///
/// ffmpeg mixes floating point by the coefficients of ITU-R BS.775 without LFE and without lowering
/// the whole: a dialogue in the centre keeps its loudness.
pub(super) fn mixed(audio: &AudioStream, options: &SoundOptions, channels: u32) -> String {
    format!(
        "{}{}aformat=sample_fmts=fltp:channel_layouts={}",
        mix_unplaced(audio.unplaced),
        one_side(audio, options),
        layout(channels)
    )
}

/// Resamples to the profile's rate and fills holes with silence; the timeline fills before the
/// beginning and after the end.
pub(super) fn sound_chain(profile: &Profile, pad: Duration) -> String {
    format!("{}{}", fitted(profile), padding(pad))
}

/// [`sound_chain`] with everything that `options` ask for.
pub(super) fn item_chain(
    profile: &Profile,
    options: &SoundOptions,
    audio: &AudioStream,
    levelling: Levelling,
    speed: Speed,
    span: SoundSpan,
) -> String {
    let meter = match levelling {
        Levelling::OnePass { measure: true, .. } => format!(
            "aformat=sample_fmts=fltp:channel_layouts={},asplit[played][own];[own]{METER},anullsink;[played]",
            layout(profile.channels)
        ),
        _ => String::new(),
    };
    format!(
        "{}{meter}{}{}{}{}{}",
        one_side(audio, options),
        fitted(profile),
        speed.of_sound().map_or_else(String::new, |filter| format!(",{filter}")),
        level(profile, levelling),
        fades(options.fade, span),
        padding(span.pad)
    )
}

fn fitted(profile: &Profile) -> String {
    format!(
        "aresample={}:async=1,aformat=sample_fmts=fltp:channel_layouts={}",
        profile.audio_rate,
        layout(profile.channels)
    )
}

fn padding(pad: Duration) -> String {
    if pad.is_zero() { String::new() } else { format!(",apad=pad_dur={:.3}", pad.as_secs_f64()) }
}

/// How far the limiter stays below the peak in dB: peaks between its samples exceed them by less.
const BETWEEN_SAMPLES: f64 = 0.3;

/// The same for each dB that the limiter takes away: AAC exceeds a limited peak the more, the more
/// was limited. Measured with pink noise at 128 kbit/s: limited by 6 dB, its true peak is −0.1 dBTP
/// without this, and −0.7 dBTP with it.
const OVERSHOOT: f64 = 0.1;

fn level(profile: &Profile, levelling: Levelling) -> String {
    let rate = profile.audio_rate;
    match levelling {
        Levelling::Off => String::new(),
        Levelling::Measured(gain, target) => {
            let mut filters = String::new();
            if gain.db != 0.0 {
                filters = format!(",volume={:.2}dB", gain.db);
            }
            if gain.limiting > 0.0 {
                // At twice the rate, because the limiter sees samples only.
                let limit = 10_f64.powf((target.peak - BETWEEN_SAMPLES - OVERSHOOT * gain.limiting) / 20.0);
                let limiter = format!("alimiter=limit={limit:.5}:level=false:latency=true");
                filters = format!("{filters},aresample={},{limiter},aresample={rate}", rate * 2);
            }
            filters
        }
        Levelling::OnePass { target, .. } => {
            format!(",loudnorm=I={}:TP={}:LRA=11,aresample={rate}", target.lufs, target.peak)
        }
    }
}

/// A fade-out ends to apply this long after the end that the container states: the end may be
/// wrong, and sound behind it must be heard.
const AFTER_END: Duration = Duration::from_millis(200);

/// The fades at the beginning and the end, each at most half of the sound.
fn fades(fade: Duration, span: SoundSpan) -> String {
    if fade.is_zero() {
        return String::new();
    }
    let half = span.end.map_or(fade, |end| end.saturating_sub(span.begin) / 2);
    let length = fade.min(half).as_secs_f64();
    // A sample earlier, so that rounding leaves none at full level.
    let begin = span.begin.saturating_sub(Duration::from_micros(30)).as_secs_f64();
    let fade_in = format!(",afade=t=in:st={begin:.6}:d={length:.6}");
    let Some(end) = span.end else { return fade_in };
    let (from, off) = (end.as_secs_f64() - length, end.saturating_add(AFTER_END).as_secs_f64());
    format!("{fade_in},afade=t=out:st={from:.6}:d={length:.6}:enable='lt(t,{off:.6})'")
}

pub(super) fn layout(channels: u32) -> &'static str {
    if channels == 1 { "mono" } else { "stereo" }
}
