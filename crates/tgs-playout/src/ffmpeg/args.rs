//! The command line of an encoder: one item in, FLV of the broadcast's profile out.

use std::{process::Command, time::Duration};

use tgs_core::process;

use super::{
    filters::{
        HEARD, Hold, Jump, cut_sound, layout, mix_unplaced, picture_chain, picture_for_sound, sound_chain,
    },
    input::{MAX_PIXELS, skip_options, source_options},
    probe::{AudioStream, Probe, VideoStream},
    process::EncoderExit,
    setup::EncodeSetup,
    slate::{silence_source, slate_for_sound, slate_source, slate_text},
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
pub const ENCODER_VERSION: u32 = 4;

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
    /// Whether the picture shows the title.
    pub titled: bool,
}

impl EncodeJob {
    /// The job that encodes `item` from its start offset on.
    #[must_use]
    pub fn item(item: &Item, probe: &Probe, setup: &EncodeSetup) -> Self {
        let profile = &setup.profile;
        let left = |length: Option<Duration>| length.map(|d| d.saturating_sub(item.start));
        let expected = left(probe.duration);
        let (video_length, audio_length) =
            (left(probe.video.and_then(|v| v.duration)), left(probe.audio.and_then(|a| a.duration)));
        let most = if probe.times.measured { Duration::MAX } else { LONGEST_PAD };
        // Pad by the probed difference only: unbounded padding would hide a truncated file.
        let pad = |own: Option<Duration>, other: Option<Duration>| match (own, other) {
            (Some(own), Some(other)) if probe.duration.is_some() => other.saturating_sub(own).min(most),
            _ => Duration::ZERO,
        };
        // A still picture cannot be entered half-way.
        let start = if probe.still { Duration::ZERO } else { item.start };
        let mut inputs: Vec<JobInput> =
            item.media.sources.iter().map(|s| JobInput::Opened(s.clone(), start)).collect();
        let mut sound = probe.audio;
        let mut keep_clock = false;
        if let (Some(v), Some(a)) = (probe.video, &mut sound)
            && v.source == a.source
            && reads_twice(item, probe, &v, a)
        {
            inputs.push(inputs[a.source].clone());
            a.source = inputs.len() - 1;
            keep_clock = probe.times.restarts;
        }
        let jump = probe
            .times
            .longest_gap
            .map(|longest| Jump { longest, first: longest.max(expected.unwrap_or_default()) });
        let heard = sound
            .map(|a| format!("[{}:{}]{}{}", a.source, a.index, mix_unplaced(a.unplaced), cut_sound(jump)));
        let sound = |input: &str| format!("{input}{}", sound_chain(profile, pad(audio_length, video_length)));
        let (video, audio) = match (probe.video, heard) {
            (None, Some(heard)) => {
                inputs.push(JobInput::Generated(slate_source(profile)));
                let slate = format!("[{}:v]{}", inputs.len() - 1, slate_text(setup, &item.title));
                (slate_for_sound(profile, &heard, &slate), Some(sound(HEARD)))
            }
            (Some(v), Some(heard)) if probe.times.split => {
                let chain = picture_chain(profile, &v, jump, Hold::For(Duration::ZERO));
                let picture = format!("[{}:{}]{chain}", v.source, v.index);
                (picture_for_sound(profile, &heard, &picture), Some(sound(HEARD)))
            }
            (video, heard) => {
                let v = video.unwrap_or_default();
                let hold = match expected {
                    Some(expected) if probe.still => Hold::Until(expected),
                    _ => Hold::For(pad(video_length, audio_length)),
                };
                let chain = picture_chain(profile, &v, jump, hold);
                (format!("[{}:{}]{chain}", v.source, v.index), heard.map(|heard| sound(&heard)))
            }
        };
        let titled = probe.video.is_none();
        let streams = JobStreams::Filtered { video, audio };
        let measured = probe.times.longest_gap.zip(expected).filter(|_| probe.times.measured && !probe.still);
        let (skip_bytes, estimated) = (probe.skip_bytes, probe.times.estimated);
        Self { inputs, streams, skip_bytes, keep_clock, expected, estimated, measured, titled }
    }

    /// A slate with `text` and silence, of this `length`.
    #[must_use]
    pub fn slate(setup: &EncodeSetup, text: &str, length: Duration) -> Self {
        let seconds = length.as_secs_f64();
        Self {
            inputs: vec![
                JobInput::Generated(format!("{}:d={seconds}", slate_source(&setup.profile))),
                JobInput::Generated(format!("{}:d={seconds}", silence_source(&setup.profile))),
            ],
            streams: JobStreams::Filtered {
                video: format!("[0:v]{}", slate_text(setup, text)),
                audio: Some("[1:a]anull".into()),
            },
            skip_bytes: 0,
            keep_clock: false,
            expected: Some(length),
            estimated: false,
            measured: None,
            titled: false,
        }
    }

    /// A moving test picture with a tone, of this `length`, encoded by the same filters as an item.
    #[must_use]
    pub fn test_picture(setup: &EncodeSetup, length: Duration) -> Self {
        let (profile, seconds) = (&setup.profile, length.as_secs_f64());
        Self {
            inputs: vec![
                JobInput::Generated(format!("testsrc2=s=640x480:r=25:d={seconds}")),
                JobInput::Generated(format!("sine=f=440:r=48000:d={seconds}")),
            ],
            streams: JobStreams::Filtered {
                video: format!(
                    "[0:v]{}",
                    picture_chain(profile, &VideoStream::default(), None, Hold::For(Duration::ZERO))
                ),
                audio: Some(format!("[1:a]{}", sound_chain(profile, Duration::ZERO))),
            },
            skip_bytes: 0,
            keep_clock: false,
            expected: Some(length),
            estimated: false,
            measured: None,
            titled: false,
        }
    }

    /// The job that copies `item` from its beginning; `None` if the item is not in the profile's
    /// format, or `setup` has extra arguments. The pictures are checked while they are copied.
    #[must_use]
    pub fn copy(item: &Item, probe: &Probe, setup: &EncodeSetup) -> Option<Self> {
        let (video, audio, stored, profile) = (probe.video?, probe.audio?, probe.stored?, &setup.profile);
        let fits = setup.extra.is_empty()
            && item.start.is_zero()
            && !item.media.live
            && probe.duration.is_some()
            && (video.width, video.height) == (profile.width, profile.height)
            && (stored.fps - f64::from(profile.fps)).abs() < 0.01
            && (stored.rate, stored.channels) == (profile.audio_rate, profile.channels)
            && audio.late <= LATE
            // The operator chose the uplink for the profile's bitrate.
            && stored.kbps <= (profile.video_kbps + profile.audio_kbps) * 3 / 2;
        let source = item.media.sources.first().filter(|_| fits)?;
        Some(Self {
            inputs: vec![JobInput::Opened(source.clone(), Duration::ZERO)],
            streams: JobStreams::Copied(video.index, audio.index),
            skip_bytes: 0,
            keep_clock: false,
            expected: probe.duration,
            estimated: false,
            measured: None,
            titled: false,
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

    /// The ffmpeg command of this job, with FLV on stdout.
    #[must_use]
    pub fn command(&self, setup: &EncodeSetup) -> Command {
        let mut command = process::command(&setup.ffmpeg);
        command.current_dir(&setup.scratch);
        command.args(["-nostdin", "-hide_banner", "-nostats", "-v", "repeat+level+warning"]);
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
        for input in &self.inputs {
            match input {
                JobInput::Opened(source, start) => {
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
                    let url = client.as_ref().map_or_else(|| source.url.clone(), |it| it.input_url(source));
                    command.args(["-i", &url]);
                }
                JobInput::Generated(graph) => {
                    command.args(["-f", "lavfi", "-i", graph]);
                }
            }
        }
        match &self.streams {
            JobStreams::Filtered { video, audio } => filter(&mut command, setup, video, audio.as_deref()),
            JobStreams::Copied(video, audio) => {
                command.args(["-map", &format!("0:{video}"), "-map", &format!("0:{audio}"), "-c", "copy"]);
                command.args(["-map_metadata", "-1", "-map_chapters", "-1"]);
            }
        }
        if let Some((_, whole)) = self.measured {
            // The container may state hours for the last picture.
            command.arg("-t").arg(format!("{:.3}", whole.saturating_add(LATE).as_secs_f64()));
        }
        command.args(["-f", "flv", "-flvflags", "no_duration_filesize+no_sequence_end+no_metadata"]);
        command.arg("pipe:1");
        command
    }
}

/// Adds the options that encode the output of the graphs `video` and `audio` to the profile.
fn filter(command: &mut Command, setup: &EncodeSetup, video: &str, audio: Option<&str>) {
    let (profile, extra) = (&setup.profile, &setup.extra);
    let join = |chain: &str, more: &Option<String>| match more {
        Some(more) => format!("{chain},{more}"),
        None => chain.to_owned(),
    };
    // The pixel and sample formats come last, so that the operator's filters cannot change them.
    let mut graphs = vec![format!("{},format=yuv420p[v]", join(video, &extra.video_filter))];
    let mut maps = vec!["-map", "[v]"];
    if let Some(audio) = audio {
        let sound = format!(
            "{},aformat=sample_fmts=fltp:sample_rates={}:channel_layouts={}[a]",
            join(audio, &extra.audio_filter),
            profile.audio_rate,
            layout(profile.channels),
        );
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
    let gop = profile.gop().to_string();
    command.args(["-c:v", "libx264", "-preset", "veryfast", "-b:v", &rate, "-maxrate", &rate]);
    command.args(["-bufsize", &format!("{}k", profile.video_kbps * 2)]);
    command.args(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"]);
    command.args(["-c:a", "aac", "-b:a", &format!("{}k", profile.audio_kbps)]);
    command.args(["-ar", &profile.audio_rate.to_string(), "-ac", &profile.channels.to_string()]);
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
