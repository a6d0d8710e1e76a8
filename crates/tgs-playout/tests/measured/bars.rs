//! Clips of bars whose samples are computed here, in each kind of colour.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{super::clip, linear};

/// The bars as BT.709 values from 0 to 255: within the gamut of all primaries.
pub(crate) const COLOURS: [[u8; 3]; 8] = [
    [191, 191, 191],
    [191, 191, 60],
    [60, 191, 191],
    [60, 191, 60],
    [191, 60, 191],
    [191, 60, 60],
    [60, 60, 191],
    [40, 40, 40],
];

/// From linear BT.709 to linear light of other primaries.
pub(crate) const SAME: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
pub(crate) const TO_2020: [[f64; 3]; 3] =
    [[0.627_404, 0.329_283, 0.043_313], [0.069_097, 0.919_540, 0.011_362], [0.016_391, 0.088_013, 0.895_595]];
const TO_170M: [[f64; 3]; 3] = [
    [1.065_379, -0.055_401, -0.009_978],
    [-0.019_633, 1.036_363, -0.016_731],
    [0.001_632, 0.004_412, 0.993_956],
];
const TO_470BG: [[f64; 3]; 3] = [[0.957_815, 0.042_185, 0.0], [0.0, 1.0, 0.0], [0.0, -0.011_934, 1.011_934]];

/// The luma coefficients of red and blue.
const BT601: [f64; 2] = [0.299, 0.114];
const BT709: [f64; 2] = [0.2126, 0.0722];
pub(crate) const BT2020: [f64; 2] = [0.2627, 0.0593];

/// A way to store the bars.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    size: (usize, usize),
    luma: [f64; 2],
    primaries: [[f64; 3]; 3],
    full: bool,
    deep: bool,
    tags: &'static str,
}

const SD: (usize, usize) = (640, 360);
const HD: (usize, usize) = (1280, 720);
const PLAIN: Case =
    Case { name: "", size: SD, luma: BT709, primaries: SAME, full: false, deep: false, tags: "" };

pub(crate) const CASES: [Case; 8] = [
    Case {
        name: "709",
        tags: "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv",
        ..PLAIN
    },
    Case {
        name: "709 full",
        full: true,
        tags: "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range pc",
        ..PLAIN
    },
    Case { name: "untagged HD", size: HD, ..PLAIN },
    Case { name: "untagged SD", luma: BT601, ..PLAIN },
    Case { name: "601 full", luma: BT601, full: true, tags: "-colorspace bt470bg -color_range pc", ..PLAIN },
    Case {
        name: "601, 525 lines",
        luma: BT601,
        primaries: TO_170M,
        tags: "-colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m -color_range tv",
        ..PLAIN
    },
    Case {
        name: "601, 625 lines",
        luma: BT601,
        primaries: TO_470BG,
        tags: "-colorspace bt470bg -color_primaries bt470bg -color_trc bt709 -color_range tv",
        ..PLAIN
    },
    Case {
        name: "2020",
        luma: BT2020,
        primaries: TO_2020,
        deep: true,
        tags: "-colorspace bt2020nc -color_primaries bt2020 -color_trc bt2020-10 -color_range tv",
        ..PLAIN
    },
];

impl Case {
    /// The clip, of a second.
    pub(crate) fn clip(&self, dir: &Path) -> PathBuf {
        let colours: Vec<[f64; 3]> = COLOURS
            .iter()
            .map(|rgb| {
                let light = rgb.map(|value| linear(f64::from(value)));
                turned(&self.primaries, light).map(|value| value.max(0.0).powf(1.0 / 2.4))
            })
            .collect();
        let samples: Vec<[f64; 3]> = colours.iter().map(|rgb| ycbcr(*rgb, self.luma)).collect();
        write(dir, &self.name.replace([' ', ','], "-"), &samples, self.size, self.full, self.deep, self.tags)
    }
}

/// A colour in other primaries.
pub(crate) fn turned(matrix: &[[f64; 3]; 3], colour: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(colour).map(|(one, other)| one * other).sum())
}

/// Luma from 0 to 1, and the differences from -0.5 to 0.5.
pub(crate) fn ycbcr([r, g, b]: [f64; 3], [of_red, of_blue]: [f64; 2]) -> [f64; 3] {
    let luma = of_red * r + (1.0 - of_red - of_blue) * g + of_blue * b;
    [luma, (b - luma) / (2.0 - 2.0 * of_blue), (r - luma) / (2.0 - 2.0 * of_red)]
}

/// A clip of a second with one bar for each of `colours`, 4:4:4 and lossless.
pub(crate) fn write(
    dir: &Path,
    name: &str,
    colours: &[[f64; 3]],
    (width, height): (usize, usize),
    full: bool,
    deep: bool,
    tags: &str,
) -> PathBuf {
    let depth = if deep { 4.0 } else { 1.0 };
    let mut bytes = Vec::new();
    for plane in 0..3 {
        let values: Vec<f64> = colours.iter().map(|colour| colour[plane]).collect();
        let row: Vec<u16> = (0..width)
            .map(|x| {
                let value = values[x * values.len() / width];
                let (low, range) = match (plane, full) {
                    (0, false) => (16.0, 219.0),
                    (0, true) => (0.0, 255.0),
                    (_, false) => (128.0, 224.0),
                    (_, true) => (128.0, 255.0),
                };
                ((low + range * value) * depth).round().clamp(0.0, 256.0 * depth - 1.0) as u16
            })
            .collect();
        let row: Vec<u8> = row
            .iter()
            .flat_map(|value| value.to_le_bytes().into_iter().take(if deep { 2 } else { 1 }))
            .collect();
        (0..height).for_each(|_| bytes.extend_from_slice(&row));
    }
    let raw = dir.join(format!("{name}.raw"));
    fs::write(&raw, bytes).unwrap();
    let format = if deep { "yuv444p10le" } else { "yuv444p" };
    let input = format!(
        "-f rawvideo -pix_fmt {format} -s {width}x{height} -r 25 -stream_loop 24 -i {}",
        raw.display()
    );
    clip(dir, &format!("{name}.mkv"), &format!("{input} -c:v ffv1 {tags}"))
}
