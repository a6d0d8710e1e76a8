//! The loudness of entries for `--check`: measured where it is not known, for a limited time.

use std::{
    cell::Cell,
    fmt,
    time::{Duration, Instant},
};

use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::{
        Probe,
        loudness::{Gain, Loudness},
    },
    item::Media,
    loudness::LoudnessMeter,
};

/// Time for all measurements of one check. What is not measured then is measured by the broadcast.
const BUDGET: Duration = Duration::from_mins(1);

/// Measures entries until its time is used up.
pub(crate) struct LoudnessCheck {
    meter: LoudnessMeter,
    spent: Cell<Duration>,
}

/// The loudness of one entry.
pub(crate) enum EntryLoudness {
    /// Measured, with the gain that follows.
    Measured(Loudness, Gain, f64),
    /// Not measured yet, or not measurable.
    Unknown,
}

impl LoudnessCheck {
    pub(crate) fn new(meter: LoudnessMeter) -> Self {
        Self { meter, spent: Cell::new(Duration::ZERO) }
    }

    /// The loudness of `media`; `None` if it has no sound to measure. Blocks while it is measured.
    pub(crate) fn of(&self, media: &Media, found: &Probe, cancel: &Cancel) -> Option<EntryLoudness> {
        found.audio.filter(|_| media.is_stored())?;
        let (begun, left) = (Instant::now(), BUDGET.saturating_sub(self.spent.get()));
        let mut proceed = || begun.elapsed() < left && !cancel.is_cancelled();
        let measured = self.meter.measure(media, found, false, &mut proceed);
        self.spent.set(self.spent.get() + begun.elapsed());
        Some(match measured {
            Ok(loudness) => {
                EntryLoudness::Measured(loudness, self.meter.gain(&loudness), self.meter.target())
            }
            Err(_) => EntryLoudness::Unknown,
        })
    }
}

impl fmt::Display for EntryLoudness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Measured(Loudness { lufs, peak, .. }, gain, target) = self else {
            return f.write_str("loudness not measured yet");
        };
        write!(f, "{lufs:.1} LUFS, peak {peak:.1} dBTP, gain {:+.1} dB", gain.db)?;
        if let Some(bound) = gain.bound.filter(|_| lufs + gain.db < target - 0.5) {
            let short = target - lufs - gain.db;
            if short.is_finite() && short < 40.0 {
                write!(f, "; {short:.1} LU quieter than the target: {bound}")?;
            } else {
                write!(f, "; {bound}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tgs_playout::ffmpeg::loudness::{LoudnessTarget, gain};

    use super::*;

    #[test]
    fn a_line_shows_the_gain_and_what_bounds_it() {
        let target = LoudnessTarget { lufs: -16.0, peak: -1.5 };
        let shown = |lufs, peak| {
            let loudness = Loudness { lufs, peak, length: None };
            EntryLoudness::Measured(loudness, gain(&loudness, &target), -16.0).to_string()
        };
        assert_eq!(shown(-6.0, 0.0), "-6.0 LUFS, peak 0.0 dBTP, gain -10.0 dB");
        assert_eq!(
            shown(-35.0, -3.0),
            "-35.0 LUFS, peak -3.0 dBTP, gain +7.5 dB; 11.5 LU quieter than the target: its peaks would be limited \
             by more than 6 dB"
        );
        let silent = "-70.0 LUFS, peak -inf dBTP, gain +0.0 dB; it is silent, or too short to be measured";
        assert_eq!(shown(-70.0, f64::NEG_INFINITY), silent);
    }
}
