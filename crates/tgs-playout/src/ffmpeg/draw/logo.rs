//! The channel's logo: converted once to the broadcast's own form, then laid over each item.
//!
//! The converted copy lies in the scratch directory, so that an item never depends on the file: a
//! change of it has an effect at the next start.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tgs_core::{
    cancel::Cancel,
    digest::{self, Digest},
    files,
    process::{self, RunError},
};

use super::scratch_file;
use crate::{
    ffmpeg::{
        input::MAX_PIXELS,
        look::{Corner, Logo, LogoCopy},
        setup::EncodeSetup,
    },
    source_failure::last_message,
};

/// The largest logo file in bytes.
const LARGEST: u64 = 64 << 20;

/// What is used of a clip before it repeats, in seconds.
const LONGEST: u32 = 60;

/// Time limit of the conversion.
const TIME_OUT: Duration = Duration::from_mins(1);

/// Why a logo cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogoError {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Read(#[source] io::Error),
    /// ffmpeg or ffprobe cannot be run.
    #[error("cannot convert it: {0}")]
    Run(#[from] RunError),
    /// ffmpeg refuses it.
    #[error("ffmpeg cannot convert it: {message}")]
    Refused {
        /// ffmpeg's last message.
        message: String,
    },
    /// The file has no picture.
    #[error("it has no picture")]
    Empty,
    /// The copy cannot be kept.
    #[error("cannot keep a copy in {}: {source}", dir.display())]
    Write {
        /// The scratch directory.
        dir: PathBuf,
        /// The error.
        source: io::Error,
    },
}

impl Logo {
    /// Converts the logo for the encoders of `setup`.
    pub fn prepared(mut self, setup: &EncodeSetup, cancel: &Cancel) -> Result<Self, LogoError> {
        let bytes = files::read_regular(&self.file.0, LARGEST).map_err(LogoError::Read)?;
        let mut content = Digest::default();
        content.add(&bytes);
        drop(bytes);
        self.copy = None;
        let key = digest::key([format!("{} {self:?} {:?}", content.hex(), setup.profile)]);
        let name = format!("logo-{}.nut", &key[..24]);
        let path = setup.scratch.join(&name);
        if !scratch_file::touch(&path) {
            self.convert(setup, &path, cancel)?;
            scratch_file::forget_old(&setup.scratch, "logo");
        }
        let moves = match pictures(setup, &name, cancel)? {
            0 => return Err(LogoError::Empty),
            count => count > 1,
        };
        self.copy = Some(LogoCopy { name, moves });
        Ok(self)
    }

    /// Writes the copy to `path`.
    fn convert(&self, setup: &EncodeSetup, path: &Path, cancel: &Cancel) -> Result<(), LogoError> {
        let kept = |source| LogoError::Write { dir: setup.scratch.clone(), source };
        let new = tempfile::Builder::new()
            .prefix(".logo-")
            .suffix(".nut")
            .tempfile_in(&setup.scratch)
            .map_err(kept)?;
        let profile = &setup.profile;
        let even = |length: f64| (length / 2.0).round().max(1.0) * 2.0;
        let (height, width) = (
            even(f64::from(profile.height) * self.height),
            even(f64::from(profile.width) - 2.0 * f64::from(profile.height) * self.margin),
        );
        // Scaled with its colours weighted by their opacity: otherwise the colour of invisible
        // pixels shows at the edges.
        let filters = format!(
            "scale='iw*max(1,sar)':'ih/min(1,sar)',setsar=1,fps={},format=gbrap,premultiply=inplace=1,\
             scale={width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2:flags=area,\
             unpremultiply=inplace=1,format=rgba,colorchannelmixer=aa={:.4},\
             scale=out_color_matrix=bt709:out_range=tv,format=yuva420p",
            profile.fps, self.opacity
        );
        let mut command = process::command(&setup.ffmpeg);
        command.args(["-nostdin", "-hide_banner", "-v", "error", "-y", "-max_pixels", MAX_PIXELS, "-i"]);
        command.arg(format!("file:{}", self.file.0.display()));
        command.args(["-map", "0:v:0", "-t", &LONGEST.to_string(), "-vf", &filters]);
        command.args(["-c:v", "ffv1", "-g", "1", "-map_metadata", "-1", "-f", "nut"]).arg(new.path());
        let output = process::output(command, TIME_OUT, 64 << 10, cancel)?;
        if !output.status.success() {
            let message = last_message(&String::from_utf8_lossy(&output.stderr));
            return Err(LogoError::Refused { message });
        }
        new.persist(path).map_err(|error| kept(error.error))?;
        fs::metadata(path).map(drop).map_err(kept)
    }

    /// The graph that lays the logo over `picture`, the end of a graph. Without a copy, `picture`.
    pub(super) fn over(&self, setup: &EncodeSetup, picture: &str) -> String {
        let Some(LogoCopy { name, moves }) = &self.copy else { return picture.to_owned() };
        let margin = (f64::from(setup.profile.height) * self.margin / 2.0).round() * 2.0;
        let (left, right) = (format!("{margin}"), format!("W-w-{margin}"));
        let (top, bottom) = (left.clone(), format!("H-h-{margin}"));
        let (x, y) = match self.corner {
            Corner::TopLeft => (left, top),
            Corner::TopRight => (right, top),
            Corner::BottomLeft => (left, bottom),
            Corner::BottomRight => (right, bottom),
        };
        // A still picture has one frame, which overlay repeats. A clip has no end, so the picture
        // must end both.
        let (source, end) = if *moves {
            let fps = setup.profile.fps;
            (format!("movie=filename={name}:loop=0,setpts=N/({fps}*TB)"), "shortest=1")
        } else {
            (format!("movie=filename={name}"), "eof_action=repeat")
        };
        format!("{picture}[under];{source}[logo];[under][logo]overlay=x={x}:y={y}:{end}")
    }
}

/// The pictures of the file `name` in the scratch directory.
fn pictures(setup: &EncodeSetup, name: &str, cancel: &Cancel) -> Result<u64, LogoError> {
    let mut command = process::command(&setup.ffprobe);
    command.current_dir(&setup.scratch);
    command.args(["-v", "error", "-count_packets", "-select_streams", "v:0"]);
    command.args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", "-i", name]);
    let output = process::output(command, TIME_OUT, 64 << 10, cancel)?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim().trim_end_matches(',').parse().unwrap_or_default())
}
