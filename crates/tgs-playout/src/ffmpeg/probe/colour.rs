//! Reads how a picture's samples mean colours, its transparency and its shape.

use std::path::Path;

use tgs_core::{cancel::Cancel, process};

use super::{
    ffprobe::{FfprobeStream, MAX_ANSWER, TIME_OUT},
    found::{Alpha, Probe},
};
use crate::ffmpeg::colour::{Colour, Matrix, Primaries, Transfer};

impl Probe {
    /// Drops the transparency if this ffmpeg was built without the decoder for it.
    pub(super) fn settle_alpha(&mut self, ffprobe: &Path, cancel: &Cancel) {
        let Some(video) = &mut self.video else { return };
        if let Some(decoder) = video.alpha.and_then(Alpha::decoder)
            && !has_decoder(ffprobe, decoder, cancel)
        {
            video.alpha = None;
        }
    }
}

fn has_decoder(ffprobe: &Path, name: &str, cancel: &Cancel) -> bool {
    let mut command = process::command(ffprobe);
    command.args(["-v", "error", "-decoders"]);
    let output = process::output(command, TIME_OUT, MAX_ANSWER, cancel);
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().any(|line| line.split_whitespace().nth(1) == Some(name))
    })
}

impl FfprobeStream {
    /// What the samples mean. Untagged ones are taken by their size as players do.
    pub(super) fn colour(&self) -> Colour {
        let format = self.pix_fmt.as_deref().unwrap_or_default();
        // ffprobe knows no pixel format of a stream that begins late.
        if !["yuv", "nv", "p0", "uyvy", "yuyv", "yvyu", "y2"].iter().any(|name| format.starts_with(name)) {
            return Colour { matrix: Matrix::Other, ..Colour::default() };
        }
        let transfer = match self.color_transfer.as_deref() {
            Some("smpte2084") => Transfer::Pq,
            Some("arib-std-b67") => Transfer::Hlg,
            _ => Transfer::Sdr,
        };
        let hdr = transfer != Transfer::Sdr;
        let matrix = match self.color_space.as_deref() {
            Some("bt709") => Matrix::Bt709,
            Some("smpte170m" | "bt470bg") => Matrix::Bt601,
            Some("bt2020nc") => Matrix::Bt2020,
            Some("bt2020c") => Matrix::Bt2020Constant,
            Some("smpte240m") => Matrix::Smpte240,
            Some("fcc") => Matrix::Fcc,
            Some("gbr") => Matrix::Other,
            _ if hdr => Matrix::Bt2020,
            _ if self.is_standard_definition() => Matrix::Bt601,
            _ => Matrix::Bt709,
        };
        let primaries = match self.color_primaries.as_deref() {
            Some("smpte170m" | "smpte240m") => Primaries::Smpte170,
            Some("bt470bg") => Primaries::Bt470bg,
            Some("bt2020") => Primaries::Bt2020,
            Some("smpte432") => Primaries::DisplayP3,
            Some("bt709") => Primaries::Bt709,
            _ if matches!(matrix, Matrix::Bt2020 | Matrix::Bt2020Constant) => Primaries::Bt2020,
            _ => Primaries::Bt709,
        };
        let full = match self.color_range.as_deref() {
            Some("pc") => true,
            Some("tv") => false,
            _ => format.starts_with("yuvj"),
        };
        Colour { matrix, primaries, transfer, full }
    }

    /// Whether an untagged picture of this size is BT.601, as VP8 always is.
    fn is_standard_definition(&self) -> bool {
        let (width, height) = (self.width.unwrap_or(0), self.height.unwrap_or(0));
        matches!(self.codec_name.as_deref(), Some("vp8" | "webp" | "mjpeg")) || width < 1280 && height <= 576
    }

    /// How the transparency is decoded, if there may be any.
    pub(super) fn alpha(&self) -> Option<Alpha> {
        if self.tags.get("alpha_mode") == Some("1") {
            match self.codec_name.as_deref() {
                Some("vp8") => return Some(Alpha::Vp8),
                Some("vp9") => return Some(Alpha::Vp9),
                _ => {}
            }
        }
        let format = self.pix_fmt.as_deref()?;
        let has = ["yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16", "pal8"];
        has.iter().any(|name| format.starts_with(name)).then_some(Alpha::Usual)
    }

    /// Width by height as shown: with the pixels' shape, upright. 0 if unknown.
    pub(super) fn aspect(&self) -> f64 {
        let pixel = self.sample_aspect_ratio.as_deref().and_then(|text| {
            let (above, below) = text.split_once(':')?;
            let (above, below): (f64, f64) = (above.parse().ok()?, below.parse().ok()?);
            Some(above / below).filter(|ratio| ratio.is_finite() && *ratio > 0.0)
        });
        let (width, height) = (f64::from(self.width.unwrap_or(0)), f64::from(self.height.unwrap_or(0)));
        let aspect = width * pixel.unwrap_or(1.0) / height;
        let turned = self.side_data_list.iter().any(|data| {
            let rotation = data.get("rotation").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
            (rotation.abs() % 180.0 - 90.0).abs() < 45.0
        });
        let aspect = if turned { aspect.recip() } else { aspect };
        if aspect.is_finite() { aspect } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(text: &str) -> FfprobeStream {
        serde_json::from_str(&format!(r#"{{"index":0,"codec_type":"video",{text}}}"#)).unwrap()
    }

    #[test]
    fn untagged_pictures_are_taken_by_their_size() {
        let of = |text: &str| stream(text).colour();
        let matrix = |text: &str| of(text).matrix;
        assert_eq!(matrix(r#""pix_fmt":"yuv420p","width":720,"height":576"#), Matrix::Bt601);
        assert_eq!(of(r#""pix_fmt":"yuv420p","width":1280,"height":720"#), Colour::default());
        assert_eq!(matrix(r#""pix_fmt":"yuv420p","width":608,"height":1080"#), Matrix::Bt709);
        assert_eq!(
            matrix(r#""pix_fmt":"yuv420p","codec_name":"vp8","width":1920,"height":1080"#),
            Matrix::Bt601
        );
        assert_eq!(matrix(r#""pix_fmt":"gbrp","width":720,"height":576"#), Matrix::Other);
        assert_eq!(matrix(r#""width":720,"height":576"#), Matrix::Other);
        assert!(of(r#""pix_fmt":"yuvj420p""#).full);
        let hdr = of(r#""pix_fmt":"yuv420p10le","color_transfer":"smpte2084""#);
        assert_eq!((hdr.matrix, hdr.primaries), (Matrix::Bt2020, Primaries::Bt2020));
    }

    #[test]
    fn the_shape_counts_pixels_and_rotation() {
        let of = |text: &str| (stream(text).aspect() * 1000.0).round() as u32;
        assert_eq!(of(r#""width":720,"height":576,"sample_aspect_ratio":"64:45""#), 1778);
        assert_eq!(of(r#""width":1920,"height":1080,"sample_aspect_ratio":"0:1""#), 1778);
        assert_eq!(of(r#""width":1920,"height":1080,"side_data_list":[{"rotation":-90}]"#), 563);
        assert_eq!(of(r#""width":1920,"height":1080,"side_data_list":[{"rotation":180}]"#), 1778);
        assert_eq!(of(r#""width":0,"height":0"#), 0);
    }
}
