//! One ffmpeg child that turns one item into FLV of the broadcast's profile.
//!
//! Builds its command line, reads its tags, and puts into words why it failed. It neither queues nor times what it
//! reads: see [`crate::read_ahead`] and [`crate::timeline`].

mod messages;
mod watch;

use std::{
    fs,
    io::{self, BufReader, Read},
    path::PathBuf,
    process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tgs_core::{cancel::Cancel, process};

use messages::{Messages, NewStream};
use watch::StallDetector;
pub use watch::{Abandoned, StallLimits};

use crate::{
    flv::{FlvError, FlvReader, Kind, Tag},
    item::{FailureReason, Item, ItemFailure, MediaSource},
    probe::{AudioStream, Probe, ProbeOptions, VideoStream},
    profile::{ExtraArgs, Profile},
    proxy::{self, Client, Reads},
};

/// An encoder that gives nothing for this long is given up.
pub const STALL: Duration = Duration::from_secs(10);

/// A stream that begins this much after its item is late. ffmpeg would hold all of the other one until it comes, so a
/// source that is not on this machine is opened once more then.
const LATE: Duration = Duration::from_secs(2);

/// A picture is held for its sound, or the sound padded, by at most this much where the container alone says how long each is.
const LONGEST_PAD: Duration = Duration::from_mins(1);

/// Sound that comes this much before its picture: the pictures are far apart, or have ended. ffmpeg writes both in order of
/// time as long as they lie within 10 s (its `max_interleave_delta`), from a picture that is [`LATE`] on.
const AHEAD: Duration = Duration::from_secs(3);

/// A step back of more than this between two time stamps is a jump of the clock, as filter graphs write seconds.
const STEP_BACK: &str = "-1";

/// No picture has more pixels (8192 by 8192): larger ones would take more than half a gigabyte each.
pub(crate) const MAX_PIXELS: &str = "67108864";

/// Number of the way in which [`EncodeJob::command`] encodes. What was encoded otherwise is not taken from the cache, so each
/// change there that changes what comes out needs a new one; a test holds the command to it.
pub const RECIPE: u32 = 3;

/// A process that is stopped for this long is given up: nothing but a signal makes it go on.
const STOPPED: Duration = Duration::from_secs(1);

/// Sound that ends this much before the picture has ended.
const SOUND_ENDS_MS: u64 = 6000;

/// The colour of a slate's ground, as ffmpeg writes colours.
const SLATE_COLOUR: &str = "0x14202b";

/// Where the graph of a slate hands on the sound that it is made for.
const HEARD: &str = "[heard]";

/// What every encoder of a run has in common.
#[derive(Debug, Clone)]
pub struct EncodeSetup {
    /// The ffmpeg executable.
    pub ffmpeg: PathBuf,
    /// The broadcast's shape.
    pub profile: Profile,
    /// FFMPEG_ARGS, proven.
    pub extra: ExtraArgs,
    /// Directory that holds [`FONT_FILE`] and takes the slate's text: the encoder's working directory, so that no
    /// path has to be quoted for a filter.
    pub scratch: PathBuf,
    /// How long a still picture is shown.
    pub image_duration: Duration,
}

/// Name of the font in [`EncodeSetup::scratch`].
pub const FONT_FILE: &str = "font.ttf";

/// Name of the slate's text in [`EncodeSetup::scratch`].
const TEXT_FILE: &str = "slate.txt";

/// One of an encoder's inputs.
#[derive(Debug, Clone)]
enum JobInput {
    Opened(MediaSource, Duration),
    Generated(String),
}

/// What becomes of the inputs' streams.
#[derive(Debug, Clone)]
enum JobStreams {
    /// They are encoded.
    Filtered {
        /// Filter graph from an input's stream to the picture, without the profile's tail.
        video: String,
        /// The same for the sound; none where the timeline puts silence to the picture.
        audio: Option<String>,
    },
    /// These two, by ffmpeg's index in the one input, go through as they are.
    Copied(usize, usize),
}

/// A complete encoding task.
#[derive(Debug, Clone)]
pub struct EncodeJob {
    inputs: Vec<JobInput>,
    streams: JobStreams,
    /// Where in the file its streams begin.
    skip_bytes: u64,
    /// Whether each input holds one stream of a source that both share, and its clock may begin anew.
    keep_clock: bool,
    /// How long it ought to be, from `start` on.
    pub expected: Option<Duration>,
    /// Whether that is a guess.
    pub estimated: bool,
    /// Where gaps and ends were measured: what is no jump, and how long it is at most.
    measured: Option<(Duration, Duration)>,
    /// Whether the title is written into the picture.
    pub titled: bool,
}

impl EncodeSetup {
    /// What is asked for of items.
    #[must_use]
    pub fn wanted(&self) -> ProbeOptions {
        ProbeOptions { height: self.profile.height, image_duration: self.image_duration }
    }
}

impl EncodeJob {
    /// The task of encoding `item` from its start offset on.
    #[must_use]
    pub fn item(item: &Item, probe: &Probe, setup: &EncodeSetup) -> Self {
        let profile = &setup.profile;
        let left = |length: Option<Duration>| length.map(|d| d.saturating_sub(item.start));
        let expected = left(probe.duration);
        let (video_length, audio_length) =
            (left(probe.video.and_then(|v| v.duration)), left(probe.audio.and_then(|a| a.duration)));
        let most = if probe.times.measured { Duration::MAX } else { LONGEST_PAD };
        // Pad by the probed difference and no more: unbounded padding would hide that a file is cut short.
        let pad = |own: Option<Duration>, other: Option<Duration>| match (own, other) {
            (Some(own), Some(other)) if probe.duration.is_some() => other.saturating_sub(own).min(most),
            _ => Duration::ZERO,
        };
        // One picture cannot be entered half-way.
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
        let jump = probe.times.longest_gap;
        let heard = sound.map(|a| format!("[{}:{}]{}", a.source, a.index, cut_sound(jump)));
        let sound = |input: &str| format!("{input}{}", sound_chain(profile, pad(audio_length, video_length)));
        let (video, audio) = match (probe.video, heard) {
            (None, Some(heard)) => {
                inputs.push(JobInput::Generated(slate_source(profile)));
                let slate = format!("[{}:v]{}", inputs.len() - 1, slate_text(setup, &item.title));
                (slate_for_sound(profile, &heard, &slate), Some(sound(HEARD)))
            }
            (Some(v), Some(heard)) if probe.times.apart => {
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

    /// A still picture with `text` and silence, `length` long.
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

    /// A moving test picture with a tone, `length` long, that takes the same way as an item.
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

    /// The task of passing `item` on as it is, from its beginning; `None` where it is not of the broadcast's own shape, or
    /// `setup` asks for more. Whether its pictures come as they must shows on the way.
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
            // More would be more than the line was chosen for.
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

    /// How long it is by the word of its source, after an encoder that `ended` so. A guess is no promise, where nothing
    /// speaks for a source that broke off.
    pub(crate) fn promised(&self, ended: &EncoderExit, source: Option<&MediaSource>) -> Option<Duration> {
        let clean = source.is_some_and(MediaSource::is_file) || ended.messages.trim().is_empty();
        self.expected.filter(|_| !(self.estimated && clean))
    }

    /// Whether the encoder makes no sound.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self.streams, JobStreams::Filtered { audio: None, .. })
    }

    /// The ffmpeg command for this task, FLV on its stdout.
    #[must_use]
    pub fn command(&self, setup: &EncodeSetup) -> Command {
        let mut command = process::command(&setup.ffmpeg);
        command.current_dir(&setup.scratch);
        command.args(["-nostdin", "-hide_banner", "-nostats", "-v", "repeat+level+warning"]);
        let mut opened = self.inputs.iter().filter_map(|input| match input {
            JobInput::Opened(source, _) => Some(source),
            JobInput::Generated(_) => None,
        });
        // Of two sources the first stands for both: the proxy takes the second for something that it names.
        let remote = opened.find(|source| !source.is_file());
        let client = remote.map(|source| Client::with_ffmpeg(source, Reads::Plays, &setup.ffmpeg));
        if let Some(client) = &client {
            client.apply(&mut command);
        }
        let jumps = |input: &JobInput| matches!(input, JobInput::Opened(source, _) if source.jumps);
        // In a list that says so, a gap of a second is a jump of the clock, not a picture that stands still.
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
                        // Else ffmpeg (5.1) moves a transport stream of which it reads one stream to that one's beginning.
                        command.args(["-itsoffset", "0.000001"]);
                    }
                    if !start.is_zero() {
                        command.arg("-ss").arg(format!("{:.3}", start.as_secs_f64()));
                    }
                    let url = client.as_ref().map_or_else(|| source.url.clone(), |it| it.opened_url(source));
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
            // The last picture may be said to last for hours.
            command.arg("-t").arg(format!("{:.3}", whole.saturating_add(LATE).as_secs_f64()));
        }
        command.args(["-f", "flv", "-flvflags", "no_duration_filesize+no_sequence_end+no_metadata"]);
        command.arg("pipe:1");
        command
    }
}

/// The options that encode what the graphs `video` and `audio` make to the setup's profile.
fn filter(command: &mut Command, setup: &EncodeSetup, video: &str, audio: Option<&str>) {
    let (profile, extra) = (&setup.profile, &setup.extra);
    let join = |chain: &str, more: &Option<String>| match more {
        Some(more) => format!("{chain},{more}"),
        None => chain.to_owned(),
    };
    // The pixel and sample formats come last, so that a filter of the operator's cannot change them.
    let mut graphs = vec![format!("{},format=yuv420p[v]", join(video, &extra.video_filter))];
    let mut maps = vec!["-map", "[v]"];
    if let Some(audio) = audio {
        let sound = format!(
            "{},aformat=sample_fmts=fltp:sample_rates={}:channel_layouts={}[a]",
            join(audio, &extra.audio_filter),
            profile.audio_rate,
            layout(profile.channels),
        );
        // Two graphs: one of both would hold each decoded picture until the first sound has come.
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
    // Pinned, and without the encoder's version in the stream: otherwise items differ in their sequence header.
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

/// Options that go before `-i` for this source.
#[must_use]
pub fn source_options(source: &MediaSource) -> Vec<String> {
    let mut options = proxy::opened_options(source);
    let mut add = |name: &str, value: &str| options.extend([name.to_owned(), value.to_owned()]);
    let http = source.url.starts_with("http://") || source.url.starts_with("https://");
    if http {
        // Time enough to connect anew before the encoder is given up (STALL). A segment is not asked for twice.
        add("-rw_timeout", if source.is_hls() { "10000000" } else { "6000000" });
        // The HLS demuxer reopens by itself, and "reconnect" would take each list's end for a broken connection.
        if !source.is_hls() {
            add("-reconnect", "1");
            add("-reconnect_on_network_error", "1");
            add("-reconnect_delay_max", "5");
        }
    }
    if source.ends.is_some() {
        add("-live_start_index", "0");
        // Looked at twice for more, which there is none of.
        add("-m3u8_hold_counters", "2");
    }
    if source.is_hls() && !source.is_named_hls() {
        // Newer versions of ffmpeg take nothing for HLS that does not end with .m3u8.
        add("-f", "hls");
    }
    if http && !source.cookies.is_empty() {
        let clean = |text: String| text.replace(['\r', '\n'], " ");
        add("-cookies", &proxy::cookies(source).into_iter().map(clean).collect::<Vec<_>>().join("\n"));
    }
    if http && !source.headers.is_empty() {
        // A line break in a value would smuggle in another header.
        let clean = |text: &str| text.replace(['\r', '\n'], " ");
        let lines: Vec<_> =
            source.headers.iter().map(|(n, v)| format!("{}: {}\r\n", clean(n), clean(v))).collect();
        add("-headers", &lines.concat());
    }
    options
}

/// Options that make ffmpeg and ffprobe read a file from this byte on.
#[must_use]
pub fn skip_options(bytes: u64) -> Vec<String> {
    if bytes == 0 { Vec::new() } else { vec!["-skip_initial_bytes".to_owned(), bytes.to_string()] }
}

/// Streams that begin so close to each other may be read apart where a clock may begin anew.
const TOGETHER: Duration = Duration::from_millis(50);

/// Whether the source that holds both is opened once for each. Read by one demuxer, ffmpeg would keep all of one stream
/// until the other one comes. What is far away is fetched twice only where one of them is known to be late.
fn reads_twice(item: &Item, probe: &Probe, video: &VideoStream, audio: &AudioStream) -> bool {
    let file = item.media.sources.get(video.source).is_some_and(MediaSource::is_file);
    let late = video.late.max(audio.late).saturating_sub(item.start) > LATE;
    // Where a clock may begin anew one stream shows ffmpeg where the other one belongs: read alone, it would begin at zero.
    let together = video.late.abs_diff(audio.late) <= TOGETHER;
    let alone = file && (!probe.times.restarts || probe.times.measured && together);
    !item.media.live && (alone || late || probe.times.apart)
}

/// What becomes of the last picture.
#[derive(Clone, Copy)]
enum Hold {
    /// It is held for so long.
    For(Duration),
    /// It is held until so much has been shown.
    Until(Duration),
}

/// The filter that takes jumps of the clock out of the time stamps, each frame's own length left in: gaps longer than
/// `longest` (from the beginning to the first frame as well), and steps back.
fn cut(filter: &str, longest: Option<Duration>, frame: &str) -> String {
    let Some(longest) = longest else { return String::new() };
    // Number 0 holds what was cut out so far, 1 the step to this frame in seconds, 2 the time before it.
    format!(
        "{filter}='st(1,(PTS-ld(2))*TB);st(2,if(isnan(PTS),ld(2),PTS));\
         st(0,ld(0)+if(gt(ld(1),{:.3})+lt(ld(1),{STEP_BACK}),(ld(1)-{frame})/TB));PTS-ld(0)',",
        longest.as_secs_f64()
    )
}

fn cut_sound(longest: Option<Duration>) -> String {
    cut("asetpts", longest, "NB_SAMPLES/SR")
}

/// Fits any picture into the profile's frame: turned upright by ffmpeg, square pixels, never stretched, padded. One that
/// begins late is preceded by its first frame.
fn picture_chain(profile: &Profile, video: &VideoStream, jump: Option<Duration>, hold: Hold) -> String {
    let (w, h) = (profile.width, profile.height);
    let mut chain = Vec::new();
    if video.interlaced {
        chain.push("yadif=deint=interlaced".to_owned());
    }
    // The start also closes the hole that ffmpeg leaves where it builds the graph anew, because the source changes its
    // size half-way; what that repeats from before is dropped by the encoder.
    let rate = format!("fps={}:start_time=0", profile.fps);
    let fit = format!(
        "scale=w='max(2,2*trunc(min({w},{h}*dar)/2))':h='max(2,2*trunc(min({h},{w}/dar)/2))':out_color_matrix=bt709:out_range=tv,\
         setsar=1,pad={w}:{h}:-1:-1"
    );
    // Whichever makes fewer frames to scale comes first.
    if video.fps > f64::from(profile.fps) {
        chain.extend([rate, fit]);
    } else {
        chain.extend([fit, rate]);
    }
    match hold {
        Hold::For(length) if length.is_zero() => {}
        Hold::For(length) => {
            chain.push(format!("tpad=stop_mode=clone:stop_duration={:.3}", length.as_secs_f64()));
        }
        Hold::Until(length) => {
            chain.push(format!("tpad=stop=-1:stop_mode=clone,trim=duration={:.3}", length.as_secs_f64()));
        }
    }
    let frame = if video.fps > 0.0 { (1.0 / video.fps).min(1.0) } else { 0.04 };
    cut("setpts", jump, &format!("{frame:.4}")) + &chain.join(",")
}

/// Resamples to the profile's rate and fills holes with silence; before its beginning and behind its end the
/// timeline does.
fn sound_chain(profile: &Profile, pad: Duration) -> String {
    let padding =
        if pad.is_zero() { String::new() } else { format!(",apad=pad_dur={:.3}", pad.as_secs_f64()) };
    format!(
        "aresample={}:async=1,aformat=sample_fmts=fltp:channel_layouts={}{padding}",
        profile.audio_rate,
        layout(profile.channels)
    )
}

fn layout(channels: u32) -> &'static str {
    if channels == 1 { "mono" } else { "stereo" }
}

fn slate_source(profile: &Profile) -> String {
    format!("color=c={SLATE_COLOUR}:s={}x{}:r={}", profile.width, profile.height, profile.fps)
}

fn silence_source(profile: &Profile) -> String {
    format!("anullsrc=r={}:cl={}", profile.audio_rate, layout(profile.channels))
}

/// A slate that lasts exactly as long as the sound beside it, which need not be known: an invisible level meter, drawn
/// from that sound, ends the picture. (`-shortest` does not: ffmpeg 5.1 never ends with it behind a filter graph.)
fn slate_for_sound(profile: &Profile, sound: &str, slate: &str) -> String {
    let meter = meter(profile, sound);
    format!("{meter};{slate}[slate];[slate][meter]overlay=x={}:shortest=1", profile.width)
}

/// A picture whose last frame is held while the sound beside it goes on: the invisible meter gives the frames then. Only where
/// each is read on its own, as the graph holds the decoded frames of the one that the other is behind.
fn picture_for_sound(profile: &Profile, sound: &str, picture: &str) -> String {
    let (meter, width, fps) = (meter(profile, sound), profile.width, profile.fps);
    format!("{meter};{picture}[picture];[picture][meter]overlay=x={width},fps={fps}")
}

/// The level meter of a sound, as `[meter]`; the sound goes on as [`HEARD`].
fn meter(profile: &Profile, sound: &str) -> String {
    let sound = sound.trim_end_matches(',');
    let split = if sound.ends_with(']') { "asplit" } else { ",asplit" };
    let fps = profile.fps;
    format!("{sound}{split}{HEARD}[measured];[measured]showvolume=r={fps}:w=80:h=8:t=0:v=0[meter]")
}

/// The filter that writes `text` on a slate. Where the text cannot be laid down the slate stays bare.
fn slate_text(setup: &EncodeSetup, text: &str) -> String {
    if text.is_empty() {
        return "null".into();
    }
    let written = fs::write(setup.scratch.join(TEXT_FILE), wrapped(text));
    if let Err(error) = written {
        log::warn!("the slate has no text: cannot write {}: {error}", setup.scratch.display());
        return "null".into();
    }
    let size = setup.profile.height / 16;
    format!(
        "drawtext=fontfile={FONT_FILE}:textfile={TEXT_FILE}:expansion=none:fontcolor=white:fontsize={size}:\
         line_spacing={}:x=(w-text_w)/2:y=(h-text_h)/2",
        size / 3
    )
}

/// Lines of at most 36 characters, four at most: what fits on the slate.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: String = word.chars().filter(|c| !c.is_control()).collect();
        if word.chars().count() > 34 {
            word = word.chars().take(33).chain(['…']).collect();
        }
        let last = lines.last_mut().expect("begins with a line");
        if last.is_empty() {
            *last = word;
        } else if last.chars().count() + 1 + word.chars().count() <= 36 {
            last.push(' ');
            last.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    if lines.len() > 4 {
        lines.truncate(4);
        lines[3].push('…');
    }
    lines.join("\n")
}

/// A running encoder.
#[derive(Debug)]
pub struct Encoder {
    child: Arc<process::Child>,
    tags: FlvReader<BufReader<EncoderPipe>>,
    clock: TimestampUnwrapper,
    watcher: StallDetector,
    given_up: Option<Abandoned>,
    /// How far picture and sound have come, in milliseconds.
    pictures_to: u64,
    sounds_to: u64,
}

/// ffmpeg's FLV timestamps have 31 bits (`put_timestamp` in its flvenc.c): they begin again after 24.8 days of one item.
#[derive(Debug, Default)]
pub(crate) struct TimestampUnwrapper {
    last: u64,
}

impl TimestampUnwrapper {
    const RANGE: u64 = 1 << 31;

    /// The time of which these are the low bits: the one nearest to its neighbour.
    pub(crate) fn unwrap(&mut self, timestamp: u64) -> u64 {
        let round = self.last / Self::RANGE;
        let candidates = (round.saturating_sub(1)..=round + 1).map(|round| round * Self::RANGE + timestamp);
        self.last = candidates.min_by_key(|time| time.abs_diff(self.last)).unwrap_or(timestamp);
        self.last
    }
}

/// How an encoder ended.
#[derive(Debug)]
pub struct EncoderExit {
    /// Its exit status.
    pub status: ExitStatus,
    /// The end of the errors that it printed.
    pub messages: String,
    /// Why it was given up, where it was.
    pub given_up: Option<Abandoned>,
    /// Whether it was killed by [`Encoder::finish`], and not by somebody else.
    pub killed_here: bool,
    /// Pictures that could not be decoded, or not whole.
    pub damaged: u64,
    /// Where in the file other streams were seen to begin.
    pub new_streams: Vec<u64>,
    /// Whether the sound has ended where another began.
    pub sound_lost: bool,
}

impl Encoder {
    /// Starts `command` (from [`EncodeJob::command`]). Setting `cancel` ends a read that waits.
    pub fn start(mut command: Command, cancel: &Cancel) -> io::Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = Arc::new(process::spawn(command)?);
        let lost = || io::Error::other("the child has no output pipe");
        let pipe = EncoderPipe {
            stdout: child.take_stdout().ok_or_else(lost)?,
            stderr: child.take_stderr(),
            messages: Messages::default(),
            child: child.clone(),
            stopped: false,
            cancel: cancel.clone(),
        };
        let tags = FlvReader::new(BufReader::with_capacity(64 * 1024, pipe));
        Ok(Self {
            child,
            tags,
            clock: TimestampUnwrapper::default(),
            watcher: StallDetector::default(),
            given_up: None,
            pictures_to: 0,
            sounds_to: 0,
        })
    }

    /// Gives it up where its input does not keep to this.
    pub fn watch(&mut self, watch: StallLimits) {
        self.watcher.set(watch);
        self.pipe().messages.picture = watch.picture.map(|(index, _)| index);
    }

    fn pipe(&mut self) -> &mut EncoderPipe {
        self.tags.get_mut().get_mut()
    }

    /// Lets it have only what nobody else needs, where the system permits that (a unit's filter of system calls may not).
    pub fn yield_to_others(&self) {
        self.child.yield_to_others();
    }

    /// Whether its sound has come far ahead of its picture. One that reads them apart then puts a held picture to it.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        Duration::from_millis(self.sounds_to.saturating_sub(self.pictures_to)) > AHEAD
    }

    /// Whether it has made any sound.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.sounds_to > 0
    }

    /// The processor time it has used so far.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        self.child.cpu_time()
    }

    /// The next tag; `None` at the end. `TimedOut` where it is given up, which [`EncoderExit`] explains; `ConnectionAborted` when
    /// cancelled.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        let began = Instant::now();
        let read = self.tags.next_tag();
        if let Err(FlvError::Io(error)) = &read
            && error.kind() == io::ErrorKind::TimedOut
        {
            let stopped = self.pipe().stopped;
            self.given_up = Some(if stopped { Abandoned::Stopped } else { Abandoned::Stalled });
        }
        let Some(tag) = read? else { return Ok(None) };
        let timestamp = self.clock.unwrap(tag.timestamp);
        let track = if tag.kind == Kind::Audio { &mut self.sounds_to } else { &mut self.pictures_to };
        *track = timestamp.max(*track);
        let newest = self.pictures_to.max(self.sounds_to);
        let messages = &mut self.pipe().messages;
        messages.now = newest;
        let damaged = messages.damaged;
        self.given_up = self.watcher.note(timestamp, began.elapsed(), damaged);
        if self.given_up.is_some() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        Ok(Some(Tag { timestamp, ..tag }))
    }

    /// Ends it, however it stands, and tells how it ended.
    pub fn finish(self, read_to_end: bool) -> io::Result<EncoderExit> {
        if read_to_end {
            // Its output is closed, so it is about to exit; a second is for a machine under load.
            let deadline = Instant::now() + Duration::from_secs(1);
            while self.child.try_wait()?.is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let killed_here = self.child.try_wait()?.is_none();
        self.child.kill_group();
        let status = self.child.wait()?;
        let mut pipe = self.tags.into_inner().into_inner();
        pipe.drain_messages();
        let (newest, sounds_to) = (self.pictures_to.max(self.sounds_to), self.sounds_to);
        let new = &pipe.messages.new_streams;
        let there = |new: &NewStream| new.sound && new.at.abs_diff(sounds_to) <= SOUND_ENDS_MS;
        let sound_lost = sounds_to + SOUND_ENDS_MS < newest && new.iter().any(there);
        Ok(EncoderExit {
            status,
            given_up: self.given_up,
            killed_here,
            damaged: pipe.messages.damaged,
            new_streams: new.iter().map(|new| new.position).collect(),
            sound_lost,
            messages: pipe.messages.errors(),
        })
    }
}

/// ffmpeg's stdout, with its messages read along so that it cannot block on them.
#[derive(Debug)]
struct EncoderPipe {
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    messages: Messages,
    child: Arc<process::Child>,
    /// Whether the child was found stopped by a signal.
    stopped: bool,
    cancel: Cancel,
}

/// How often a waiting read looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(100);

impl Read for EncoderPipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        let mut stopped: Option<Instant> = None;
        loop {
            let (ready, chatter) = self.wait()?;
            if chatter {
                self.read_messages();
            }
            if ready {
                return self.stdout.read(buf);
            }
            if self.cancel.is_cancelled() {
                // Not `Interrupted`: that would be tried again by every caller in between.
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            stopped = self.child.is_stopped().then(|| stopped.unwrap_or_else(Instant::now));
            self.stopped = stopped.is_some_and(|since| since.elapsed() >= STOPPED);
            if self.stopped || began.elapsed() >= STALL {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

impl EncoderPipe {
    /// Waits a little; tells whether stdout and stderr can be read.
    fn wait(&self) -> io::Result<(bool, bool)> {
        let mut fds = vec![PollFd::new(&self.stdout, PollFlags::IN)];
        fds.extend(self.stderr.as_ref().map(|e| PollFd::new(e, PollFlags::IN)));
        let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK.as_nanos() as _ };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok((ready(0), ready(1)))
    }

    fn read_messages(&mut self) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut some = [0; 1024];
        match stderr.read(&mut some) {
            Ok(0) | Err(_) => self.stderr = None,
            Ok(n) => self.messages.push(&some[..n]),
        }
    }

    /// Reads what is left after the child has ended.
    fn drain_messages(&mut self) {
        while self.stderr.is_some() && self.wait().is_ok_and(|(_, chatter)| chatter) {
            self.read_messages();
        }
    }
}

/// Puts into words why ffmpeg or ffprobe could not open or read `source`, by what it printed.
#[must_use]
pub fn explain(messages: &str, source: &MediaSource) -> ItemFailure {
    if let Some(path) = source.url.strip_prefix("file:")
        && fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == 0)
    {
        return ItemFailure::new(FailureReason::Unplayable, "the file is empty");
    }
    let has = |words: &[&str]| words.iter().any(|word| messages.contains(word));
    let file = source.is_file();
    let (reason, detail) = if has(&["Unable to open key file", "Unable to read key file"]) {
        (FailureReason::Forbidden, "it is encrypted, and its key cannot be fetched")
    } else if has(&["No such file or directory"]) && file {
        (FailureReason::Missing, "there is no such file")
    } else if has(&["404 Not Found", "410 Gone"]) {
        (FailureReason::Missing, "the server says that it is not there (HTTP 404)")
    } else if has(&["403 Forbidden", "401 Unauthorized"]) {
        (FailureReason::Forbidden, "the server refuses it (HTTP 401 or 403)")
    } else if has(&["Permission denied"]) && file {
        (FailureReason::Forbidden, "this user may not read the file")
    } else if has(&["Connection refused"]) {
        (FailureReason::Network, "the server refuses the connection")
    } else if has(&["Connection timed out", "Operation timed out"]) {
        (FailureReason::Network, "the server does not answer")
    } else if has(&["Failed to resolve hostname", "Name or service not known"]) {
        (FailureReason::Network, "the server's name cannot be resolved")
    } else if !file
        && has(&["Connection reset", "Input/output error", "5XX Server Error", "Network is unreachable"])
    {
        (FailureReason::Network, "the network or the server failed")
    } else if has(&["Error when loading first segment"]) {
        (
            FailureReason::Unplayable,
            "its first segment is no audio or video: it is broken, or encrypted with another key",
        )
    } else if has(&["moov atom not found"]) {
        (
            FailureReason::Unplayable,
            "it is cut off before its index, or no video at all (moov atom not found)",
        )
    } else if has(&["Invalid data found", "End of file", "could not find codec parameters", "Unknown format"])
    {
        (FailureReason::Unplayable, "it is no audio or video that ffmpeg knows")
    } else {
        let last = last_message(messages);
        return ItemFailure::new(
            if file { FailureReason::Unplayable } else { FailureReason::Network },
            format!("ffmpeg says: {last}"),
        );
    };
    ItemFailure::new(reason, detail)
}

/// The first line of ffmpeg's messages, in the same form as [`last_message`].
#[must_use]
pub fn first_message(messages: &str) -> String {
    last_message(messages.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default())
}

/// The last line of ffmpeg's messages, without the address of the part that speaks and without URLs (their queries
/// hold access tokens).
#[must_use]
pub fn last_message(messages: &str) -> String {
    let says = |line: &&str| !line.is_empty() && !line.starts_with("Last message repeated");
    let line = messages.lines().map(str::trim).rfind(says).unwrap_or("nothing");
    let line =
        if line.starts_with('[') { line.split_once("] ").map_or(line, |(_, rest)| rest) } else { line };
    let words = line.split(' ').map(|word| if word.contains("://") { "(URL)" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Times;

    fn source(url: &str) -> MediaSource {
        let headers = vec![("User-Agent".into(), "a\r\nX: y".into())];
        MediaSource { headers, ..MediaSource::at(url.into()) }
    }

    fn setup() -> EncodeSetup {
        EncodeSetup {
            ffmpeg: "ffmpeg".into(),
            profile: Profile::P720,
            extra: ExtraArgs::default(),
            scratch: "/no/such".into(),
            image_duration: Duration::from_secs(10),
        }
    }

    #[test]
    fn another_command_has_another_recipe() {
        let setup = setup();
        let media = crate::item::Media::at("file:/a".into(), false);
        let item = Item { id: String::new(), turn: 0, title: String::new(), start: Duration::ZERO, media };
        let seconds = |n| Some(Duration::from_secs(n));
        let video = VideoStream {
            width: 640,
            height: 360,
            fps: 50.0,
            duration: seconds(5),
            ..VideoStream::default()
        };
        let audio =
            crate::probe::AudioStream { source: 0, index: 1, late: Duration::ZERO, duration: seconds(4) };
        let late = crate::probe::AudioStream { late: LATE * 2, duration: seconds(9), ..audio };
        let interlaced = VideoStream { interlaced: true, fps: 25.0, ..video };
        let probes = [
            (Some(video), Some(audio)),
            (Some(interlaced), Some(late)),
            (Some(video), None),
            (None, Some(audio)),
        ];
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        for (video, audio) in probes {
            let probe = Probe {
                video,
                audio,
                duration: seconds(9),
                still: audio.is_none(),
                times: Times { longest_gap: seconds(300), measured: true, ..Times::default() },
                ..Probe::default()
            };
            let command = EncodeJob::item(&item, &probe, &setup).command(&setup);
            digest.update(format!("{:?}", command.get_args().collect::<Vec<_>>()).as_bytes());
        }
        let digest = digest.finish();
        let digest = u32::from_be_bytes(std::array::from_fn(|n| digest.as_ref()[n]));
        assert_eq!(
            (RECIPE, format!("{digest:08x}").as_str()),
            (3, "87971473"),
            "ffmpeg is called otherwise: if what it makes is another, raise RECIPE; then put both numbers here"
        );
    }

    /// What stands in ffprobe's JSON for a time, a rate or a count.
    fn number() -> impl proptest::strategy::Strategy<Value = String> {
        proptest::prop_oneof![
            "-?[0-9]{1,22}(\\.[0-9]{1,6})?",
            "(N/A|nan|-?inf|1e309|9223372036854775807|-9223372036854775808|18446744073709551615|0|1)",
            "[0-9]{1,20}/[0-9]{1,20}",
            "[0-9]{1,20}:[0-9]{1,20}:[0-9]{1,20}\\.[0-9]{1,9}",
        ]
    }

    proptest::proptest! {
        #[test]
        fn no_number_of_ffprobes_overflows_on_its_way_to_a_verdict(
            numbers in proptest::collection::vec(number(), 16),
            kinds in proptest::collection::vec(0..3_usize, 2),
            format in 0..5_usize,
            (start, played, side) in (0..u64::MAX, 0..u64::MAX, 0..u32::MAX),
            live in proptest::bool::ANY,
        ) {
            let stream = |index: usize, n: &[String]| {
                let kind = ["video", "audio", "data"][kinds[index]];
                format!(
                    r#"{{"index":{index},"codec_type":"{kind}","codec_name":"h264","width":{side},"height":{side},
                    "start_time":"{}","duration":"{}","avg_frame_rate":"{}","r_frame_rate":"{}","nb_frames":"{}",
                    "sample_rate":"{}","tags":{{"DURATION":"{}"}}}}"#,
                    n[0], n[1], n[2], n[3], n[4], n[5], n[6],
                )
            };
            let name = ["mov,mp4", "matroska,webm", "mpegts", "png_pipe", "flv"][format];
            let answer = format!(
                r#"{{"streams":[{},{}],"format":{{"format_name":"{name}","start_time":"{}","duration":"{}","bit_rate":"{}"}}}}"#,
                stream(0, &numbers), stream(1, &numbers[7..]), numbers[14], numbers[15], numbers[3],
            );
            let found = crate::probe::read_any(answer.as_bytes()).expect("it is JSON");
            let media = crate::item::Media::at("file:/a".into(), live);
            let start = Duration::from_millis(start);
            let item = Item { id: String::new(), turn: 0, title: String::new(), start, media };
            let setup = setup();
            let _ = EncodeJob::copy(&item, &found, &setup);
            let job = EncodeJob::item(&item, &found, &setup);
            let _ = job.command(&setup);
            let ended = EncoderExit {
                status: std::os::unix::process::ExitStatusExt::from_raw(0),
                messages: String::new(),
                given_up: None,
                killed_here: false,
                damaged: 0,
                new_streams: Vec::new(),
                sound_lost: false,
            };
            let source = item.media.sources.first();
            let promised = job.promised(&ended, source);
            let _ = crate::engine::judge(&Ok(()), &ended, promised, Duration::from_millis(played), source);
        }
    }

    #[test]
    fn a_clock_that_begins_again_goes_on() {
        let mut clock = TimestampUnwrapper::default();
        let end = TimestampUnwrapper::RANGE - 1;
        let times = [end - 40, end, 32, end - 3, 20, 65].map(|time| clock.unwrap(time));
        assert_eq!(times, [end - 40, end, end + 33, end - 3, end + 21, end + 66]);
    }

    #[test]
    fn headers_cannot_be_smuggled_in() {
        let options = source_options(&source("https://h/v.mp4"));
        assert_eq!(options.last().map(String::as_str), Some("User-Agent: a  X: y\r\n"));
        assert!(source_options(&source("file:/a.mp4")).is_empty());
        assert!(!source_options(&source("http://h/l.m3u8?x=1")).contains(&"-reconnect".to_owned()));
    }

    #[test]
    fn cookies_and_hls_of_any_name_are_options() {
        let cookies = vec!["a=1; Domain=h; Path=/\r\nX: y".to_owned(), "b=2; Domain=h; Path=/".to_owned()];
        let list = MediaSource { cookies, hls: true, ..MediaSource::at("http://h/get?list=1".into()) };
        let options = source_options(&list).join(" ");
        assert!(options.contains("-f hls") && !options.contains("-reconnect"), "{options}");
        assert!(options.contains("-cookies a=1; Domain=h; Path=/  X: y\n"), "{options}");
        assert!(options.contains("\nb=2; Domain=h; Path=/\nb=2; Domain=h; Path=http://h:80/"), "{options}");
        let local = MediaSource { hls: true, ..MediaSource::at("file:/a.m3u".into()) };
        let options = source_options(&local).join(" ");
        assert!(options.contains("-protocol_whitelist file") && options.contains("-f hls"), "{options}");
    }

    #[test]
    fn failures_are_told_in_words() {
        for (messages, url, reason) in [
            ("file:/x: No such file or directory", "file:/x", FailureReason::Missing),
            ("https://h/x: Server returned 404 Not Found", "https://h/x", FailureReason::Missing),
            (
                "http://h/x: Server returned 403 Forbidden (access denied)",
                "http://h/x",
                FailureReason::Forbidden,
            ),
            (
                "Connection to tcp://127.0.0.1:9 failed: Connection refused",
                "http://h/x",
                FailureReason::Network,
            ),
            ("[mov @ 0x1] moov atom not found\nfile:/x: Invalid data", "file:/x", FailureReason::Unplayable),
            ("something new", "file:/x", FailureReason::Unplayable),
        ] {
            assert_eq!(explain(messages, &source(url)).reason, reason, "{messages}");
        }
    }

    #[test]
    fn messages_lose_addresses_and_urls() {
        let text = "first\n[https @ 0x55] cannot open https://h/?token=abc now\n";
        assert_eq!(last_message(text), "cannot open (URL) now");
        let repeated = "[h264 @ 0x1] broken\n    Last message repeated 3 times\n\n";
        assert_eq!(last_message(repeated), "broken");
        assert_eq!(last_message("    Last message repeated 3 times\n"), "nothing");
    }

    #[test]
    fn slate_text_is_wrapped_and_bounded() {
        assert_eq!(wrapped("one  two"), "one two");
        assert_eq!(wrapped(&"x".repeat(80)).chars().count(), 34);
        assert!(wrapped(&"many words ".repeat(50)).lines().count() <= 4);
    }
}
