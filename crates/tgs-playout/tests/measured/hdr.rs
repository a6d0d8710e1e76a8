//! HDR clips whose samples are computed here.

use std::path::{Path, PathBuf};

use super::{
    bars::{BT2020, COLOURS, TO_2020, turned, write, ycbcr},
    linear,
};

/// The transfer function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Curve {
    /// SMPTE ST 2084.
    Pq,
    /// ARIB STD-B67, for a display of 1000 cd/m².
    Hlg,
}

/// The steps of the ramp in cd/m².
pub(crate) const NITS: [f64; 10] = [0.0, 1.0, 10.0, 50.0, 100.0, 203.0, 400.0, 600.0, 800.0, 1000.0];

impl Curve {
    fn tags(self) -> String {
        let transfer = if self == Self::Pq { "smpte2084" } else { "arib-std-b67" };
        format!("-colorspace bt2020nc -color_primaries bt2020 -color_trc {transfer} -color_range tv")
    }

    /// The stored value of each component for light in cd/m².
    fn encode(self, light: [f64; 3]) -> [f64; 3] {
        match self {
            Self::Pq => light.map(|nits| {
                let power = (nits.max(0.0) / 10_000.0).powf(2610.0 / 16384.0);
                ((0.835_937_5 + 18.851_562_5 * power) / (1.0 + 18.6875 * power)).powf(78.84375)
            }),
            Self::Hlg => {
                // The display's system gamma of 1.2 is undone by luminance.
                let luminance = (0.2627 * light[0] + 0.678 * light[1] + 0.0593 * light[2]) / 1000.0;
                let factor = if luminance > 0.0 { luminance.powf(1.0 / 1.2 - 1.0) } else { 0.0 };
                light.map(|nits| {
                    let scene = (nits.max(0.0) / 1000.0 * factor).max(0.0);
                    if scene <= 1.0 / 12.0 {
                        (3.0 * scene).sqrt()
                    } else {
                        0.178_832_77 * (12.0 * scene - 0.284_668_92).ln() + 0.559_910_73
                    }
                })
            }
        }
    }

    fn clip(self, dir: &Path, name: &str, lights: impl Iterator<Item = [f64; 3]>) -> PathBuf {
        let samples: Vec<_> = lights.map(|light| ycbcr(self.encode(light), BT2020)).collect();
        write(dir, &format!("{name}-{self:?}"), &samples, (640, 360), false, true, &self.tags())
    }
}

/// Greys of [`NITS`].
pub(crate) fn ramp(dir: &Path, curve: Curve) -> PathBuf {
    curve.clip(dir, "ramp", NITS.iter().map(|nits| [*nits; 3]))
}

/// The bars' colours, white at 203 cd/m².
pub(crate) fn colours(dir: &Path, curve: Curve) -> PathBuf {
    let light = |rgb: &[u8; 3]| {
        let light = rgb.map(|value| linear(f64::from(value)) / linear(191.0) * 203.0);
        turned(&TO_2020, light)
    };
    curve.clip(dir, "colours", COLOURS.iter().map(light))
}
