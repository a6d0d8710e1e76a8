//! Measures frames: colours, combs, contrast.

use std::{ops::Range, path::Path};

use tgs_playout::profile::Profile;

use super::ffmpeg;

pub(crate) mod bars;
pub(crate) mod hdr;

/// A decoded frame in RGB.
pub(crate) struct Frame {
    width: usize,
    pixels: Vec<u8>,
}

/// The frames of a broadcast, which is BT.709 in the limited range.
pub(crate) fn air_rgb(file: &Path, profile: &Profile) -> Vec<Frame> {
    let rgb = "scale=flags=accurate_rnd+full_chroma_int:in_color_matrix=bt709:in_range=tv";
    // Each frame as it comes: a broadcast begins a little after zero.
    let decoded = ["-vf", rgb, "-vsync", "0", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
    let pixels = ffmpeg(&[&["-i", file.to_str().unwrap()], &decoded[..]].concat());
    let (width, height) = (profile.width as usize, profile.height as usize);
    pixels.chunks_exact(width * height * 3).map(|pixels| Frame { width, pixels: pixels.to_vec() }).collect()
}

impl Frame {
    fn height(&self) -> usize {
        self.pixels.len() / 3 / self.width
    }

    fn at(&self, x: usize, y: usize) -> [f64; 3] {
        let at = (y * self.width + x) * 3;
        std::array::from_fn(|n| f64::from(self.pixels[at + n]))
    }

    fn grey(&self, x: usize, y: usize) -> f64 {
        self.at(x, y)[1]
    }

    /// The mean colour up to `around` pixels from this place.
    pub(crate) fn mean(&self, x: usize, y: usize, around: usize) -> [f64; 3] {
        let (xs, ys) = (x - around..x + around, y - around..y + around);
        let count = (xs.len() * ys.len()) as f64;
        let mut sum = [0.0; 3];
        for (x, y) in ys.flat_map(|y| xs.clone().map(move |x| (x, y))) {
            let pixel = self.at(x, y);
            (0..3).for_each(|n| sum[n] += pixel[n] / count);
        }
        sum
    }

    /// The mean difference of neighbours in a row.
    pub(crate) fn contrast(&self, xs: Range<usize>, ys: Range<usize>) -> f64 {
        let count = ((xs.len() - 1) * ys.len()) as f64;
        let pairs = ys.flat_map(|y| (xs.start + 1..xs.end).map(move |x| (x, y)));
        pairs.map(|(x, y)| (self.grey(x, y) - self.grey(x - 1, y)).abs()).sum::<f64>() / count
    }

    /// The mean difference to another frame.
    pub(crate) fn difference(&self, other: &Self) -> f64 {
        self.difference_in(other, 0..self.width, 0..self.height())
    }

    /// The same in a part of it.
    pub(crate) fn difference_in(&self, other: &Self, xs: Range<usize>, ys: Range<usize>) -> f64 {
        let count = (xs.len() * ys.len()) as f64;
        let places = ys.flat_map(|y| xs.clone().map(move |x| (x, y)));
        places.map(|(x, y)| (self.grey(x, y) - other.grey(x, y)).abs()).sum::<f64>() / count
    }

    /// The mean column of what is bright.
    pub(crate) fn bright_centre(&self) -> f64 {
        let places = (0..self.height()).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        let (sum, count) = places.fold((0.0, 0.0), |(sum, count), (x, y)| {
            let weight = (self.grey(x, y) - 100.0).max(0.0);
            (sum + weight * x as f64, count + weight)
        });
        sum / count
    }
}

/// The number of pixels that are lighter, or darker, than both above and below by much.
pub(crate) fn comb(frame: &Frame) -> usize {
    let places = (1..frame.height() - 1).flat_map(|y| (0..frame.width).map(move |x| (x, y)));
    let differs = |&(x, y): &(usize, usize)| {
        let own = frame.grey(x, y);
        (own - frame.grey(x, y - 1)) * (own - frame.grey(x, y + 1)) > 900.0
    };
    places.filter(differs).count()
}

/// Linear light of a value from 0 to 255.
pub(crate) fn linear(value: f64) -> f64 {
    (value / 255.0).clamp(0.0, 1.0).powf(2.4)
}

/// The distance of two colours in CIE 1976 L*a*b*.
pub(crate) fn delta_e(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (lab(one), lab(other));
    one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum::<f64>().sqrt()
}

/// The angle between the hues of two colours in degrees; 0 for greys.
pub(crate) fn hue_difference(one: [f64; 3], other: [f64; 3]) -> f64 {
    let ([_, a, b], [_, c, d]) = (lab(one), lab(other));
    if a.hypot(b).min(c.hypot(d)) < 5.0 {
        return 0.0;
    }
    let turned = (b.atan2(a) - d.atan2(c)).to_degrees().rem_euclid(360.0);
    turned.min(360.0 - turned)
}

fn lab(rgb: [f64; 3]) -> [f64; 3] {
    const XYZ: [[f64; 3]; 3] = [
        [0.4124 / 0.9505, 0.3576 / 0.9505, 0.1805 / 0.9505],
        [0.2126, 0.7152, 0.0722],
        [0.0193 / 1.089, 0.1192 / 1.089, 0.9505 / 1.089],
    ];
    let cube = |value: f64| if value > 0.008_856 { value.cbrt() } else { 7.787 * value + 16.0 / 116.0 };
    let [x, y, z] = bars::turned(&XYZ, rgb.map(linear)).map(cube);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}
