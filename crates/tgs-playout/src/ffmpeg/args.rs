//! The command line of an encoder: one item in, FLV of the broadcast's profile out.

use std::{process::Command, time::Duration};

use tgs_core::process;

use super::{
    draw::{self, ItemLook},
    filters::{HEARD, Jump, join, picture_for_sound},
    input::{MAX_PIXELS, skip_options, source_options},
    picture::{AudioPicture, Hold, picture_chain},
    probe::{Alpha, AudioStream, Cover, Probe, VideoStream},
    process::EncoderExit,
    setup::EncodeSetup,
    slate::{silence_source, slate_source, slate_text},
    sound::{Levelling, cut_sound, mix_unplaced, sound_chain},
    sound_picture::{self, SoundInputs},
    sound_plan::{encode_sound, item_sound, levelling, sound_graph},
};
use crate::{
    item::{Item, MediaSource},
    proxy::{ProxyClient, ReadPurpose},
};

/// A stream that begins this much after its item is late. ffmpeg would buffer the other stream
/// until then, so a remote source is opened a second time instead.
const LATE: Duration = Duration::from_secs(2);

/// Limit of the time for which a picture is held, or the sound padded, if both lengths come from
/// the container only.
const LONGEST_PAD: Duration = Duration::from_mins(1);

/// Version of the encoding by [`EncodeJob::command`]. Cache entries of another version are not
/// used: increase the number with each change that alters the output. A test enforces that.
pub const ENCODER_VERSION: u32 = 5;

/// One of an encoder's inputs.
#[derive(Debug, Clone)]
enum JobInput {
    Opened(MediaSource, Duration),
    Generated(String),
}

/// What happens to the inputs' streams.
#[derive(Debug, Clone)]
enum JobStreams {
    /// The streams are encoded.
    Filtered {
        /// Filter graph from an input's stream to the picture, without the profile's tail.
        video: String,
        /// The same for the sound; `None` if the timeline adds silence.
        audio: Option<String>,
    },
    /// These two streams, by ffmpeg's index in the only input, are copied.
    Copied(usize, usize),
    /// This picture is copied, and the sound of this filter graph is encoded.
    PictureCopied(usize, String),
}

/// A complete encoding job.
#[derive(Debug, Clone)]
pub struct EncodeJob {
    inputs: Vec<JobInput>,
    streams: JobStreams,
    /// Offset in the file at which the streams begin.
    skip_bytes: u64,
    /// Whether two inputs read one source, one stream each, whose clock may restart.
    keep_clock: bool,
    /// Expected length of the output, from `start` on.
    pub expected: Option<Duration>,
    /// Whether `expected` is an estimate.
    pub estimated: bool,
    /// For measured items: the longest gap that is no jump, and the length limit.
    measured: Option<(Duration, Duration)>,
    /// The length up to the out-point.
    limit: Option<Duration>,
    /// Whether the picture shows the title.
    pub titled: bool,
    /// The decoder of the picture's input, unless ffmpeg chooses: input and decoder.
    decoder: Option<(usize, &'static str)>,
    level: Levelling,
}

impl EncodeJob {
    const NOTHING: Self = Self {
        inputs: Vec::new(),
        streams: JobStreams::Copied(0, 0),
        skip_bytes: 0,
        keep_clock: false,
        expected: None,
        estimated: false,
        measured: None,
        limit: None,
        titled: false,
        decoder: None,
        level: Levelling::Off,
    };

    /// The job that encodes `item` from its start offset on.
    #[must_use]
    pub fn item(item: &Item, probe: &Probe, setup: &EncodeSetup) -> Self {
        let (profile, part) = (&setup.profile, &item.media.part);
        let length = part.length().filter(|_| !probe.still);
        let limit = length.map(|length| probe.speed().on_air(length).saturating_sub(item.start));
        let left = |length: Option<Duration>| {
            let left = length?.saturating_sub(item.start);
            Some(limit.map_or(left, |limit| left.min(limit)))
        };
        let expected = left(probe.duration);
        let (video_length, audio_length) =
            (left(probe.video.and_then(|v| v.duration)), left(probe.audio.and_then(|a| a.duration)));
        let most = if probe.times.measured { Duration::MAX } else { LONGEST_PAD };
        // Pad by the probed difference only: unbounded padding would hide a truncated file.
        let pad = |own: Option<Duration>, other: Option<Duration>| match (own, other) {
            (Some(own), Some(other)) if probe.duration.is_some() => other.saturating_sub(own).min(most),
            _ => Duration::ZERO,
        };
        let mut inputs = opened(item, probe);
        let (sound, keep_clock) = own_input(item, probe, &mut inputs);
        let jump = probe
            .times
            .longest_gap
            .map(|longest| Jump { longest, first: longest.max(expected.unwrap_or_default()) });
        let heard = sound
            .map(|a| format!("[{}:{}]{}{}", a.source, a.index, mix_unplaced(a.unplaced), cut_sound(jump)));
        let end = audio_length.or(limit);
        let chain = item_sound(item, probe, setup, end, pad(audio_length, video_length));
        let sound = |input: &str| format!("{input}{chain}");
        let (video, audio) = match (probe.video, heard) {
            (None, Some(heard)) => (sound_alone(setup, item, probe, &heard, &mut inputs), Some(sound(HEARD))),
            (Some(v), Some(heard)) if probe.times.split => {
                let chain =
                    picture_chain(profile, setup.processing.picture, &v, jump, Hold::For(Duration::ZERO));
                let picture = format!("[{}:{}]{chain}", v.source, v.index);
                (picture_for_sound(profile, &heard, &picture), Some(sound(HEARD)))
            }
            (video, heard) => {
                let v = video.unwrap_or_default();
                let hold = match expected {
                    Some(expected) if probe.still => Hold::Until(expected),
                    _ => Hold::For(pad(video_length, audio_length)),
                };
                let chain = picture_chain(profile, setup.processing.picture, &v, jump, hold);
                (format!("[{}:{}]{chain}", v.source, v.index), heard.map(|heard| sound(&heard)))
            }
        };
        let drawn = ItemLook::of(setup, item, probe);
        let video = drawn.over(setup, &video, item, probe);
        let measured = probe.times.longest_gap.zip(expected).filter(|_| probe.times.measured && !probe.still);
        Self {
            inputs,
            streams: JobStreams::Filtered { video, audio },
            skip_bytes: probe.skip_bytes,
            keep_clock,
            expected,
            estimated: probe.times.estimated,
            measured,
            limit,
            titled: probe.video.is_none() || drawn.shows_names(),
            decoder: probe.video.and_then(|v| Some((v.source, v.alpha.and_then(Alpha::decoder)?))),
            level: levelling(item, probe, setup),
        }
    }

    /// A slate with `text` and silence, of this `length`.
    #[must_use]
    pub fn slate(setup: &EncodeSetup, text: &str, length: Duration) -> Self {
        let seconds = length.as_secs_f64();
        Self {
            inputs: vec![
                JobInput::Generated(slate_source(&setup.profile, Some(length))),
                JobInput::Generated(format!("{}:d={seconds}", silence_source(&setup.profile))),
            ],
            streams: JobStreams::Filtered {
                video: draw::logo_over(
                    setup,
                    &format!("[0:v]{},trim=duration={seconds}", slate_text(setup, text)),
                ),
                audio: Some("[1:a]anull".into()),
            },
            expected: Some(length),
            ..Self::NOTHING
        }
    }

    /// A moving test picture with a tone, of this `length`, encoded by the same filters as an item.
    #[must_use]
    pub fn test_picture(setup: &EncodeSetup, length: Duration) -> Self {
        let (profile, seconds) = (&setup.profile, length.as_secs_f64());
        let video = VideoStream { aspect: 4.0 / 3.0, ..VideoStream::default() };
        Self {
            inputs: vec![
                JobInput::Generated(format!("testsrc2=s=640x480:r=25:d={seconds}")),
                JobInput::Generated(format!("sine=f=440:r=48000:d={seconds}")),
            ],
            streams: JobStreams::Filtered {
                video: format!(
                    "[0:v]{}",
                    picture_chain(profile, setup.processing.picture, &video, None, Hold::For(Duration::ZERO))
                ),
                audio: Some(format!("[1:a]{}", sound_chain(profile, Duration::ZERO))),
            },
            expected: Some(length),
            ..Self::NOTHING
        }
    }

    /// The job that copies `item` from its beginning; `None` if the item is not in the profile's
    /// format, or `setup` has extra arguments. The pictures are checked while they are copied. If
    /// the setup alters the sound, only the picture is copied.
    #[must_use]
    pub fn copy(item: &Item, probe: &Probe, setup: &EncodeSetup) -> Option<Self> {
        let (video, audio, stored, profile) = (probe.video?, probe.audio?, probe.stored?, &setup.profile);
        let fits = setup.extra.is_empty()
            && item.start.is_zero()
            && item.media.part.is_uncut()
            && !draw::alters(setup, item, probe)
            && !item.media.live
            && probe.duration.is_some()
            && (video.width, video.height) == (profile.width, profile.height)
            && (stored.fps - f64::from(profile.fps)).abs() < 0.01
            && (setup.processing.sound.alters()
                || (stored.rate, stored.channels) == (profile.audio_rate, profile.channels))
            && audio.late <= LATE
            // The operator chose the uplink for the profile's bitrate.
            && stored.kbps <= (profile.video_kbps + profile.audio_kbps) * 3 / 2;
        let source = item.media.sources.first().filter(|_| fits)?;
        let streams = if setup.processing.sound.alters() {
            let chain = item_sound(item, probe, setup, audio.duration, Duration::ZERO);
            let heard = format!("[0:{}]{}{chain}", audio.index, mix_unplaced(audio.unplaced));
            JobStreams::PictureCopied(video.index, heard)
        } else {
            JobStreams::Copied(video.index, audio.index)
        };
        Some(Self {
            inputs: vec![JobInput::Opened(source.clone(), Duration::ZERO)],
            streams,
            expected: probe.duration,
            level: levelling(item, probe, setup),
            ..Self::NOTHING
        })
    }

    /// The length that the source states, for an encoder that `ended` so. An estimate does not
    /// count, unless messages about a remote source suggest that the source broke off.
    pub(crate) fn promised(&self, ended: &EncoderExit, source: Option<&MediaSource>) -> Option<Duration> {
        let clean = source.is_some_and(MediaSource::is_file) || ended.messages.trim().is_empty();
        self.expected.filter(|_| !(self.estimated && clean))
    }

    /// Whether the output has no sound.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self.streams, JobStreams::Filtered { audio: None, .. })
    }

    /// Whether the loudness is evened out while the item plays, because it was not measured:
    /// another encoding may sound different.
    #[must_use]
    pub fn is_one_pass(&self) -> bool {
        matches!(self.level, Levelling::OnePass { .. })
    }

    /// Whether the encoder measures the loudness of the whole original sound.
    pub(crate) fn measures(&self) -> bool {
        matches!(self.level, Levelling::OnePass { measure: true, .. })
    }

    fn log_level(&self) -> &'static str {
        // The meter prints its result at the level `info`.
        if self.measures() { "repeat+level+info" } else { "repeat+level+warning" }
    }

    /// The ffmpeg command of this job, with FLV on stdout.
    #[must_use]
    pub fn command(&self, setup: &EncodeSetup) -> Command {
        let mut command = process::command(&setup.ffmpeg);
        command.current_dir(&setup.scratch);
        command.args(["-nostdin", "-hide_banner", "-nostats", "-v", self.log_level()]);
        let mut opened = self.inputs.iter().filter_map(|input| match input {
            JobInput::Opened(source, _) => Some(source),
            JobInput::Generated(_) => None,
        });
        // The first of two sources creates the proxy client, which treats the second as an address
        // that the first names.
        let remote = opened.find(|source| !source.is_file());
        let client =
            remote.map(|source| ProxyClient::with_ffmpeg(source, ReadPurpose::Playback, &setup.ffmpeg));
        if let Some(client) = &client {
            client.apply(&mut command);
        }
        let jumps = |input: &JobInput| matches!(input, JobInput::Opened(source, _) if source.jumps);
        // In a playlist whose timestamps jump, a gap of a second is a clock jump, not a still
        // picture.
        let listed = self.inputs.iter().any(jumps).then_some(Duration::from_secs(1));
        if let Some(gap) = self.measured.map(|(gap, _)| gap).into_iter().chain(listed).min() {
            command.arg("-dts_delta_threshold").arg(format!("{:.3}", gap.as_secs_f64()));
        }
        self.add_inputs(&mut command, client.as_ref());
        match &self.streams {
            JobStreams::Filtered { video, audio } => filter(&mut command, setup, video, audio.as_deref()),
            JobStreams::Copied(video, audio) => {
                command.args(["-map", &format!("0:{video}"), "-map", &format!("0:{audio}"), "-c", "copy"]);
                command.args(WITHOUT_METADATA);
            }
            JobStreams::PictureCopied(video, audio) => {
                command.args(["-filter_complex", &sound_graph(setup, audio)]);
                command.args(["-map", &format!("0:{video}"), "-map", "[a]", "-c:v", "copy"]);
                command.args(WITHOUT_METADATA);
                encode_sound(&mut command, setup);
            }
        }
        // The container may state hours for the last picture.
        let measured = self.measured.map(|(_, whole)| whole.saturating_add(LATE));
        if let Some(longest) = self.limit.into_iter().chain(measured).min() {
            command.arg("-t").arg(format!("{:.3}", longest.as_secs_f64()));
        }
        command.args(["-f", "flv", "-flvflags", "no_duration_filesize+no_sequence_end+no_metadata"]);
        command.arg("pipe:1");
        command
    }

    /// Adds the inputs, with the options that open each.
    fn add_inputs(&self, command: &mut Command, client: Option<&ProxyClient>) {
        for (number, input) in self.inputs.iter().enumerate() {
            match input {
                JobInput::Opened(source, start) => {
                    if let Some((_, decoder)) = self.decoder.filter(|(source, _)| *source == number) {
                        command.args(["-c:v", decoder]);
                    }
                    command.args(source_options(source));
                    command.args(skip_options(self.skip_bytes));
                    if matches!(self.streams, JobStreams::Filtered { .. }) {
                        command.args(["-max_pixels", MAX_PIXELS]);
                    }
                    if self.keep_clock {
                        // Otherwise ffmpeg 5.1 shifts a transport stream to the beginning of the
                        // one stream that this input reads.
                        command.args(["-itsoffset", "0.000001"]);
                    }
                    if !start.is_zero() {
                        command.arg("-ss").arg(format!("{:.3}", start.as_secs_f64()));
                    }
                    let url = client.map_or_else(|| source.url.clone(), |it| it.input_url(source));
                    command.args(["-i", &url]);
                }
                JobInput::Generated(graph) => {
                    command.args(["-f", "lavfi", "-i", graph]);
                }
            }
        }
    }
}

/// The item's sources, each from where it begins.
fn opened(item: &Item, probe: &Probe) -> Vec<JobInput> {
    let picture = probe.video.map(|video| video.source);
    let start_of = |source: usize| match () {
        // A still picture cannot be entered half-way.
        () if probe.still || probe.image && picture == Some(source) => Duration::ZERO,
        // The times of streams that follow others, and of live media, have no in-point.
        () if probe.skip_bytes > 0 || item.media.live => probe.speed().stored(item.start),
        () => probe.stored_start(item),
    };
    let sources = item.media.sources.iter().enumerate();
    sources.map(|(number, source)| JobInput::Opened(source.clone(), start_of(number))).collect()
}

/// The sound stream, read by an input of its own if both streams are better read apart, and whether
/// the clock of such inputs may restart.
fn own_input(item: &Item, probe: &Probe, inputs: &mut Vec<JobInput>) -> (Option<AudioStream>, bool) {
    let mut sound = probe.audio;
    if let (Some(v), Some(a)) = (probe.video, &mut sound)
        && v.source == a.source
        && reads_twice(item, probe, &v, a)
    {
        inputs.push(inputs[a.source].clone());
        a.source = inputs.len() - 1;
        return (sound, probe.times.restarts);
    }
    (sound, false)
}

const WITHOUT_METADATA: [&str; 4] = ["-map_metadata", "-1", "-map_chapters", "-1"];

/// The picture of an item that is only `heard`, with the inputs that it needs.
fn sound_alone(
    setup: &EncodeSetup,
    item: &Item,
    probe: &Probe,
    heard: &str,
    inputs: &mut Vec<JobInput>,
) -> String {
    let cover = cover_input(setup, item, probe, inputs);
    inputs.push(JobInput::Generated(slate_source(&setup.profile, None)));
    sound_picture::sound_graph(
        setup,
        item,
        &probe.tags,
        &SoundInputs { heard, slate: inputs.len() - 1, cover },
    )
}

/// Adds the input with the item's cover art, if it is to be shown. The embedded picture is read
/// apart from the sound, which may begin later than it.
fn cover_input(
    setup: &EncodeSetup,
    item: &Item,
    probe: &Probe,
    inputs: &mut Vec<JobInput>,
) -> Option<(usize, usize)> {
    if setup.processing.picture.audio_picture == AudioPicture::Slate {
        return None;
    }
    let (source, index) = match probe.cover? {
        Cover::Embedded(number, index) => (item.media.sources.get(number)?.clone(), index),
        Cover::Beside(name) => (Cover::beside(&item.media, name)?, 0),
    };
    inputs.push(JobInput::Opened(source, Duration::ZERO));
    Some((inputs.len() - 1, index))
}

/// Adds the options that encode the output of the graphs `video` and `audio` to the profile.
fn filter(command: &mut Command, setup: &EncodeSetup, video: &str, audio: Option<&str>) {
    let (profile, extra) = (&setup.profile, &setup.extra);
    // The pixel and sample formats come last, so that the operator's filters cannot change them;
    // only an upload to a hardware encoder, whose format is its own, may follow.
    let video = if extra.uploads() {
        join(&format!("{video},format=yuv420p"), extra.video_filter.as_ref())
    } else {
        format!("{},format=yuv420p", join(video, extra.video_filter.as_ref()))
    };
    let mut graphs = vec![format!("{video}[v]")];
    let mut maps = vec!["-map", "[v]"];
    if let Some(audio) = audio {
        let sound = sound_graph(setup, audio);
        // Two graphs: a common graph would buffer all decoded pictures until the first sound comes.
        if audio.starts_with(HEARD) {
            graphs = vec![format!("{};{sound}", graphs.concat())];
        } else {
            graphs.push(sound);
        }
        maps.extend(["-map", "[a]"]);
    }
    for graph in &graphs {
        command.args(["-filter_complex", graph]);
    }
    command.args(maps).args(["-sn", "-dn"]);
    command.args(["-map_metadata", "-1", "-map_chapters", "-1"]);
    let rate = format!("{}k", profile.video_kbps);
    let gop = if setup.short_groups { profile.fps } else { profile.gop() }.to_string();
    // Another encoder's presets have other names.
    let preset: &[&str] = if extra.names_encoder() { &[] } else { &["-preset", "veryfast"] };
    command.args(["-c:v", "libx264"]).args(preset).args(["-b:v", &rate, "-maxrate", &rate]);
    command.args(["-bufsize", &format!("{}k", profile.video_kbps * 2)]);
    command.args(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"]);
    encode_sound(command, setup);
    // Colours are pinned and the encoder's version is left out: otherwise the sequence headers of
    // items differ.
    command.args(["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709"]);
    command.args([
        "-color_trc",
        "bt709",
        "-chroma_sample_location",
        "left",
        "-flags:v",
        "+bitexact",
        "-flags:a",
        "+bitexact",
    ]);
    command.args(&extra.output);
}

/// Largest distance between the beginnings of two streams that may be read separately although
/// their clock may restart.
const TOGETHER: Duration = Duration::from_millis(50);

/// Whether the source of both streams is opened once for each. With one demuxer, ffmpeg would
/// buffer one stream until the other comes. A remote source is opened twice only if one stream is
/// late or sparse.
fn reads_twice(item: &Item, probe: &Probe, video: &VideoStream, audio: &AudioStream) -> bool {
    let file = item.media.sources.get(video.source).is_some_and(MediaSource::is_file);
    let late = video.late.max(audio.late).saturating_sub(item.start) > LATE;
    // If the clock may restart, ffmpeg needs the other stream to place a late one: read alone, the
    // late stream would begin at zero.
    let together = video.late.abs_diff(audio.late) <= TOGETHER;
    let alone = file && (!probe.times.restarts || probe.times.measured && together);
    !item.media.live && (alone || late || probe.times.split)
}

#[cfg(test)]
mod tests;
