//! One picture of an item, exactly as it would be aired: encoded by the same job, then decoded.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
    time::Duration,
};

use tgs_core::{
    cancel::Cancel,
    process::{self, RunError},
};
use tgs_rtmp::flv::{self, FlvError, Kind};

use super::{
    config::{EngineConfig, EngineError},
    set_up::set_up,
    tools::check_tools,
};
use crate::{
    ffmpeg::{EncodeJob, EncodeSetup, Encoder, draw, probe},
    item::{Item, ItemFailure},
    source_failure::last_message,
};

/// Pictures behind the wanted one that are encoded, so that no decoder waits for more.
const MORE: u64 = 5;

/// Encoded before the wanted picture: what moves with the sound comes some pictures after it.
const LEAD: Duration = Duration::from_millis(500);

/// Time limit of the subtitles: who looks at a preview waits for it.
const EXTRAS: Duration = Duration::from_secs(10);

/// Time limit of the conversion.
const TIME_OUT: Duration = Duration::from_secs(30);

/// Largest picture in bytes.
const LARGEST: usize = 8 << 20;

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// ffmpeg cannot be run, or there is no scratch directory.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The item cannot be played.
    #[error(transparent)]
    Item(#[from] ItemFailure),
    /// The item is shorter.
    #[error("it ends after {:.1} s", .0.as_secs_f64())]
    Short(Duration),
    /// ffmpeg does not start, or the scratch directory cannot be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// ffmpeg's output cannot be read.
    #[error("ffmpeg's output cannot be read: {0}")]
    Flv(#[from] FlvError),
    /// The encoder failed.
    #[error("ffmpeg fails: {message}")]
    Ffmpeg {
        /// ffmpeg's last message.
        message: String,
    },
    /// The conversion could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The picture of `item` at `at` from its beginning, as PNG. Writes in the directories of `config`.
pub fn preview(
    config: &EngineConfig,
    item: &Item,
    at: Duration,
    cancel: &Cancel,
) -> Result<Vec<u8>, PreviewError> {
    let version = check_tools(&config.ffmpeg, &config.ffprobe, cancel)?;
    let setup = set_up(config, &version, cancel, true)?;
    let mut found = probe::probe(&config.ffprobe, &item.media, setup.wanted(), cancel)?;
    draw::prepare_item(&setup, item, &mut found, Some(EXTRAS), cancel);
    if let Some(length) = found.duration.filter(|length| at >= *length) {
        return Err(PreviewError::Short(length));
    }
    // The beginning alone shows the item's names.
    let whole = found.still || setup.processing.look.names_until().is_some_and(|end| at <= end);
    let start = if whole { Duration::ZERO } else { at.saturating_sub(LEAD) };
    let item = Item { start, ..item.clone() };
    let number = (at.saturating_sub(start).as_secs_f64() * f64::from(setup.profile.fps)).round() as u64;
    let job = EncodeJob::item(&item, &found, &setup);
    let clip = encode(&setup, &job, start, number, cancel)?;
    decode(&setup, &clip, number, cancel)
}

/// Encodes the job, which begins `start` into the item, up to its picture of this number, from 0.
fn encode(
    setup: &EncodeSetup,
    job: &EncodeJob,
    start: Duration,
    number: u64,
    cancel: &Cancel,
) -> Result<PathBuf, PreviewError> {
    let clip = setup.scratch.join("preview.flv");
    let mut out = BufWriter::new(File::create(&clip)?);
    out.write_all(&flv::FILE_HEADER)?;
    let mut encoder = Encoder::start(job.command(setup), cancel)?;
    let mut pictures = 0;
    let read = loop {
        match encoder.next_tag() {
            Ok(Some(tag)) => {
                pictures += u64::from(tag.kind == Kind::Video && tag.is_frame());
                flv::write_tag(&mut out, &tag)?;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        if pictures > number + MORE {
            break Ok(());
        }
    };
    out.flush()?;
    let ended = encoder.finish(false)?;
    if pictures > number {
        return Ok(clip);
    }
    let message = last_message(&ended.messages);
    read?;
    if ended.messages.trim().is_empty() && pictures > 0 {
        let length = start.saturating_add(Duration::from_secs(pictures) / setup.profile.fps);
        return Err(PreviewError::Short(length));
    }
    Err(PreviewError::Ffmpeg { message })
}

/// The picture of this number in `clip`, as PNG.
fn decode(
    setup: &EncodeSetup,
    clip: &PathBuf,
    number: u64,
    cancel: &Cancel,
) -> Result<Vec<u8>, PreviewError> {
    let mut command = process::command(&setup.ffmpeg);
    command.current_dir(&setup.scratch).args(["-nostdin", "-hide_banner", "-v", "error", "-i"]).arg(clip);
    let filters = format!("select=gte(n\\,{number}),scale=in_color_matrix=bt709:in_range=tv,format=rgb24");
    command.args(["-vf", &filters, "-frames:v", "1", "-c:v", "png", "-f", "image2pipe", "pipe:1"]);
    let output = process::output(command, TIME_OUT, LARGEST, cancel)?;
    let _ = fs::remove_file(clip);
    if !output.status.success() || output.stdout.is_empty() {
        return Err(PreviewError::Ffmpeg { message: last_message(&String::from_utf8_lossy(&output.stderr)) });
    }
    Ok(output.stdout)
}
