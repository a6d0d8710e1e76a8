//! Checks whether an FLV recording is one unbroken stream, and measures the offset of picture and
//! sound.
//!
//! Times are checked on decoding timestamps, as the ingest received them; content is checked on
//! ffmpeg's decoded output.

use std::{fs::File, io::BufReader, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use tgs_rtmp::flv::{FlvReader, Kind, Tag};

/// Measurements of one of the two streams. Times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Track {
    /// Frames (packets), without sequence headers.
    pub frames: usize,
    /// Timestamp of the first frame.
    pub first: u64,
    /// Timestamp of the last frame.
    pub last: u64,
    /// The largest step between two adjacent frames.
    pub max_step: u64,
    /// The timestamp before that step.
    pub max_step_at: u64,
    /// Frames with the timestamp of the previous frame.
    pub repeated: usize,
    /// Frames with a smaller timestamp than the previous frame.
    pub backward: usize,
    /// Sequence headers. A repetition before the first frame is not counted: nginx-rtmp's recorder
    /// repeats AAC's.
    pub headers: usize,
    /// Sequence headers that differ from the previous header.
    pub distinct_headers: usize,
    /// Frames before the first sequence header, which cannot be decoded.
    pub undecodable: usize,
    header: Option<Tag>,
}

/// Measurements of a recording. Times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The picture.
    pub video: Track,
    /// The sound.
    pub audio: Track,
    /// Timestamps of all keyframes.
    pub keyframes: Vec<u64>,
    /// The largest amount by which a tag precedes an earlier tag of either stream in the file.
    pub max_interleave: u64,
    /// Metadata tags.
    pub scripts: usize,
}

impl Report {
    /// Reads the FLV file at `path`. A truncated last tag (the server was killed) ends the file.
    pub fn of_file(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let mut reader = FlvReader::new(BufReader::new(file));
        let mut report = Self::default();
        let mut newest = 0;
        loop {
            match reader.next_tag() {
                Ok(Some(tag)) => report.take(&tag, &mut newest),
                Ok(None) => return Ok(report),
                Err(tgs_rtmp::flv::FlvError::Io(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Ok(report);
                }
                Err(e) => return Err(e).with_context(|| format!("read {}", path.display())),
            }
        }
    }

    /// Measures `tags` in arrival order.
    pub fn of_tags<'a>(tags: impl IntoIterator<Item = &'a Tag>) -> Self {
        let mut report = Self::default();
        let mut newest = 0;
        tags.into_iter().for_each(|tag| report.take(tag, &mut newest));
        report
    }

    /// The largest distance between two adjacent keyframes.
    #[must_use]
    pub fn max_keyframe_step(&self) -> u64 {
        self.keyframes.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0)
    }

    /// All deviations from one unbroken stream of `fps` frames and `sample_rate` samples (1024 per
    /// packet) per second; empty if there are none.
    #[must_use]
    pub fn problems(&self, fps: f64, sample_rate: f64) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.video.problems("video", 1000.0 / fps));
        problems.extend(self.audio.problems("audio", 1024.0 * 1000.0 / sample_rate));
        if self.max_keyframe_step() > 2100 {
            problems.push(format!("keyframes are up to {} ms apart", self.max_keyframe_step()));
        }
        if self.keyframes.first() != Some(&self.video.first) {
            problems.push("the first video frame is no keyframe".to_owned());
        }
        problems
    }

    /// Fails if [`Self::problems`] finds any, and lists all.
    pub fn check(&self, fps: f64, sample_rate: f64) -> Result<()> {
        let problems = self.problems(fps, sample_rate);
        ensure!(problems.is_empty(), "{}\nin {self:#?}", problems.join("\n"));
        Ok(())
    }

    fn take(&mut self, tag: &Tag, newest: &mut u64) {
        match tag.kind {
            Kind::Script => {
                self.scripts += 1;
                return;
            }
            Kind::Video => self.video.take(tag),
            Kind::Audio => self.audio.take(tag),
        }
        if tag.is_keyframe() {
            self.keyframes.push(tag.timestamp);
        }
        if tag.is_frame() {
            self.max_interleave = self.max_interleave.max(newest.saturating_sub(tag.timestamp));
            *newest = tag.timestamp.max(*newest);
        }
    }
}

impl Track {
    fn take(&mut self, tag: &Tag) {
        if tag.is_sequence_header() {
            let same = self.header.as_ref().is_some_and(|known| known.body == tag.body);
            self.distinct_headers += usize::from(!same);
            self.headers += usize::from(!same || self.frames > 0);
            self.header = Some(tag.clone());
        } else if tag.is_frame() {
            self.take_frame(tag.timestamp);
        }
    }

    fn take_frame(&mut self, time: u64) {
        if self.frames == 0 {
            self.first = time;
        } else if time > self.last {
            if time - self.last > self.max_step {
                self.max_step = time - self.last;
                self.max_step_at = self.last;
            }
        } else if time == self.last {
            self.repeated += 1;
        } else {
            self.backward += 1;
        }
        self.undecodable += usize::from(self.header.is_none());
        self.last = time;
        self.frames += 1;
    }

    fn problems(&self, name: &str, frame_time: f64) -> Vec<String> {
        let mut problems = Vec::new();
        let mut say = |bad: bool, words: String| {
            if bad {
                problems.push(format!("{name}: {words}"));
            }
        };
        say(self.frames == 0, "no frames".to_owned());
        // Timestamps are whole milliseconds: rounding may add one to a step of exactly 1.5 frames.
        let allowed = (frame_time * 1.5).ceil() as u64;
        say(
            self.max_step > allowed,
            format!("step of {} ms at {} ms, {allowed} allowed", self.max_step, self.max_step_at),
        );
        say(self.repeated > 0, format!("{} repeated timestamps", self.repeated));
        say(self.backward > 0, format!("{} backward timestamps", self.backward));
        say(self.headers != 1, format!("{} sequence headers", self.headers));
        say(self.undecodable > 0, format!("{} frames before the sequence header", self.undecodable));
        problems
    }
}

/// The offsets between flashes and beeps of `clips` in a recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alignment {
    /// For each flash with a beep within half a second: its time in s, and beep minus flash in ms
    /// (positive: the sound is late). Exact to 1.5 ms; a flash moves by up to half a frame if the
    /// clip's frame rate is not the stream's.
    pub offsets: Vec<(f64, f64)>,
    /// Times in s of flashes without a beep.
    pub silent_flashes: Vec<f64>,
    /// Times in s of beeps without a flash.
    pub dark_beeps: Vec<f64>,
}

impl Alignment {
    /// The smallest and the largest offset in milliseconds; `None` without any offset.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        let offsets = || self.offsets.iter().map(|&(_, offset)| offset);
        (!self.offsets.is_empty())
            .then(|| (offsets().fold(f64::INFINITY, f64::min), offsets().fold(f64::NEG_INFINITY, f64::max)))
    }
}

/// Decodes the recording (any file ffmpeg reads) at `path` and measures flashes against beeps.
pub fn alignment(path: &Path) -> Result<Alignment> {
    let flashes = flashes(path)?;
    let beeps = beeps(path)?;
    let near = |all: &[f64], time: f64| {
        all.iter()
            .copied()
            .min_by(|a, b| (a - time).abs().total_cmp(&(b - time).abs()))
            .filter(|t| (t - time).abs() < 0.5)
    };
    let mut alignment = Alignment::default();
    for &flash in &flashes {
        match near(&beeps, flash) {
            Some(beep) => alignment.offsets.push((flash, (beep - flash) * 1000.0)),
            None => alignment.silent_flashes.push(flash),
        }
    }
    alignment.dark_beeps = beeps.into_iter().filter(|&beep| near(&flashes, beep).is_none()).collect();
    Ok(alignment)
}

/// Times in s at which the middle of the picture turns bright.
pub fn flashes(path: &Path) -> Result<Vec<f64>> {
    Ok(onsets(&brightness(path)?, |luma| luma > 128.0))
}

/// Mean luma (16 black, 235 white) of the middle of each picture, with the picture's time in s.
pub fn brightness(path: &Path) -> Result<Vec<(f64, f64)>> {
    let filter =
        "crop=iw/8:ih/8,scale=16:16:flags=area,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-";
    measure(path, "v:0", "-vf", filter)
}

/// Times in s at which sound begins after silence.
pub fn beeps(path: &Path) -> Result<Vec<f64>> {
    // Blocks of 64 samples: 1.45 ms at 44.1 kHz. −26 dB is a tenth of the beep's peak.
    let filter = "asetnsamples=64,astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=Peak_level,\
                  ametadata=print:key=lavfi.astats.Overall.Peak_level:file=-";
    Ok(onsets(&measure(path, "a:0", "-af", filter)?, |level| level > -26.0))
}

/// The times at which `values` turn `on` after at least 0.2 s off.
fn onsets(values: &[(f64, f64)], on: impl Fn(f64) -> bool) -> Vec<f64> {
    let mut last_on = f64::NEG_INFINITY;
    let mut found = Vec::new();
    for &(time, value) in values {
        if on(value) {
            if time - last_on > 0.2 {
                found.push(time);
            }
            last_on = time;
        }
    }
    found
}

/// Runs a printing filter over one stream: pairs of presentation time in s and value.
fn measure(path: &Path, stream: &str, option: &str, filter: &str) -> Result<Vec<(f64, f64)>> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-v", "error", "-copyts", "-i"])
        .arg(path)
        .args(["-map", &format!("0:{stream}"), option, filter, "-f", "null", "-"])
        .output()
        .context("run ffmpeg: apt-get install ffmpeg")?;
    ensure!(
        output.status.success(),
        "ffmpeg cannot decode {}: {}",
        path.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let mut time = None;
    let mut values = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((_, at)) = line.split_once("pts_time:") {
            time = at.trim().parse::<f64>().ok();
        } else if let (Some(at), Some((_, value))) = (time, line.split_once('=')) {
            values.push((at, value.trim().parse().unwrap_or(f64::NEG_INFINITY)));
        }
    }
    Ok(values)
}
