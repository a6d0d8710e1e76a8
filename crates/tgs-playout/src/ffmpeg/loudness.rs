//! Loudness of a sound after EBU R 128: what ffmpeg's meter says, and the gain that follows. Pure.
//! [`super::loudness_run`] measures.

use std::time::Duration;

/// Most gain in dB: beyond it noise would be heard.
const MAX_GAIN: f64 = 20.0;

/// Items below this in LUFS get no gain: their sound is hiss.
const HISS: f64 = -50.0;

/// Most dB by which the limiter lowers a peak.
const MAX_LIMITING: f64 = 6.0;

/// What the sound is brought to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoudnessTarget {
    /// Integrated loudness in LUFS, −40 to −5.
    pub lufs: f64,
    /// Highest true peak before the encoder in dBTP, −9 to 0.
    pub peak: f64,
}

/// The measured loudness of an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loudness {
    /// Integrated loudness in LUFS; −70 or less for silence.
    pub lufs: f64,
    /// True peak in dBTP; −∞ for digital silence.
    pub peak: f64,
    /// Length of the sound, if it was counted.
    pub length: Option<Duration>,
}

/// What keeps an item quieter than the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The item is silent, or too short to be measured (below 0.4 s).
    Silent,
    /// The item is below −50 LUFS.
    Hiss,
    /// The gain would exceed 20 dB.
    Gain,
    /// The limiter would lower peaks by more than 6 dB.
    Peak,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Silent => "it is silent, or too short to be measured",
            Self::Hiss => "below -50 LUFS there is only noise to amplify",
            Self::Gain => "more than 20 dB of gain would amplify its noise",
            Self::Peak => "its peaks would be limited by more than 6 dB",
        })
    }
}

/// The gain of an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// Gain in dB, at most 20.
    pub db: f64,
    /// By how many dB the true peak exceeds the target's and is limited, at most 6 for an item that
    /// is made louder; 0 for none.
    pub limiting: f64,
    /// What keeps the item quieter than the target, if anything.
    pub bound: Option<Bound>,
}

/// The gain that brings a sound of this `measured` loudness to the `target`, within the bounds.
#[must_use]
pub fn gain(measured: &Loudness, target: &LoudnessTarget) -> Gain {
    let wanted = target.lufs - measured.lufs;
    let (mut db, mut bound) = match () {
        // ffmpeg's meter reports −70 where no block is above its gate. NaN is no measurement.
        () if !(measured.lufs > -70.0 && measured.peak.is_finite()) => (0.0, Some(Bound::Silent)),
        () if measured.lufs < HISS => (0.0, Some(Bound::Hiss)),
        () if wanted > MAX_GAIN => (MAX_GAIN, Some(Bound::Gain)),
        () => (wanted, None),
    };
    let most = target.peak + MAX_LIMITING - measured.peak;
    if measured.peak.is_finite() && db > most {
        (db, bound) = (most, Some(Bound::Peak));
    }
    // Rounded as the filter's argument is.
    let db = (db * 100.0).floor() / 100.0;
    let limiting = (measured.peak + db - target.peak).max(0.0);
    Gain { db, limiting, bound }
}

/// The meter. The frames' log, ten lines a second, is left out at the level `info`.
pub(super) const METER: &str = "ebur128=peak=true:framelog=verbose,aresample=48000";

/// Integrated loudness and true peak in the last summary of ffmpeg's meter.
pub(super) fn parse_summary(messages: &str) -> Option<(f64, f64)> {
    let (_, summary) = messages.rsplit_once("Summary:")?;
    let value = |name: &str, unit: &str| {
        summary.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let found = (words.next()? == name).then(|| words.next())??;
            (words.next()? == unit && words.next().is_none()).then(|| found.parse::<f64>().ok())?
        })
    };
    let (lufs, peak) = (value("I:", "LUFS")?, value("Peak:", "dBFS")?);
    let sane = |value: f64| value == f64::NEG_INFINITY || (-200.0..=200.0).contains(&value);
    (sane(lufs) && sane(peak)).then_some((lufs, peak))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: LoudnessTarget = LoudnessTarget { lufs: -16.0, peak: -1.5 };

    fn of(lufs: f64, peak: f64) -> Gain {
        gain(&Loudness { lufs, peak, length: None }, &TARGET)
    }

    #[test]
    fn the_gain_keeps_its_bounds() {
        let infinite = f64::NEG_INFINITY;
        for (lufs, peak, db, limiting, bound) in [
            (-16.0, -5.0, 0.0, 0.0, None),
            (-6.0, 0.0, -10.0, 0.0, None),
            (-35.0, -30.0, 19.0, 0.0, None),
            (-35.0, -20.0, 19.0, 0.5, None),
            // 6 dB of limiting: -3 + 7.5 = 4.5 dBTP.
            (-35.0, -3.0, 7.5, 6.0, Some(Bound::Peak)),
            (-45.0, -40.0, 20.0, 0.0, Some(Bound::Gain)),
            (-50.1, -40.0, 0.0, 0.0, Some(Bound::Hiss)),
            (-60.0, -0.5, 0.0, 1.0, Some(Bound::Hiss)),
            (-70.0, -80.0, 0.0, 0.0, Some(Bound::Silent)),
            (infinite, infinite, 0.0, 0.0, Some(Bound::Silent)),
            (0.0, infinite, 0.0, 0.0, Some(Bound::Silent)),
        ] {
            let gain = of(lufs, peak);
            assert_eq!((gain.db, gain.bound), (db, bound), "{lufs} LUFS, {peak} dBTP");
            assert!((gain.limiting - limiting).abs() < 0.01, "{lufs} LUFS, {peak} dBTP: {gain:?}");
        }
    }

    #[test]
    fn a_summary_is_read_strictly() {
        let summary = |i: &str, peak: &str| {
            format!(
                "[info] title : Summary: I: 3 LUFS\n[Parsed_ebur128_1 @ 0x1] [info] Summary:\n\n  Integrated \
                 loudness:\n    I:         {i} LUFS\n    Threshold: -27.7 LUFS\n\n  Loudness range:\n    LRA:   \
                 0.0 LU\n\n  True peak:\n    Peak:      {peak} dBFS\n"
            )
        };
        assert_eq!(parse_summary(&summary("-17.6", "-12.9")), Some((-17.6, -12.9)));
        assert_eq!(parse_summary(&summary("-70.0", "-inf")), Some((-70.0, f64::NEG_INFINITY)));
        for (i, peak) in [("nan", "-1"), ("-17", "nan"), ("inf", "0"), ("", "-1"), ("1e9", "1")] {
            assert_eq!(parse_summary(&summary(i, peak)), None, "{i} {peak}");
        }
        assert_eq!(parse_summary("no such thing"), None);
    }

    proptest! {
        #[test]
        fn no_measurement_leads_beyond_the_bounds(
            lufs in prop_oneof![-120.0..20.0_f64, Just(f64::NEG_INFINITY), Just(f64::NAN)],
            peak in prop_oneof![-120.0..20.0_f64, Just(f64::NEG_INFINITY), Just(f64::NAN)],
            target in -40.0..-5.0_f64,
            top in -9.0..0.0_f64,
        ) {
            let target = LoudnessTarget { lufs: target, peak: top };
            let Gain { db, limiting, bound } = gain(&Loudness { lufs, peak, length: None }, &target);
            prop_assert!(db.is_finite() && db <= MAX_GAIN);
            prop_assert!(lufs >= HISS || lufs.is_nan() || db <= 0.0);
            if peak.is_finite() {
                prop_assert!(peak + db <= top + MAX_LIMITING + 0.01);
                prop_assert!((0.0..=MAX_LIMITING.max(peak - top) + 0.01).contains(&limiting));
            }
            if bound.is_none() {
                prop_assert!((lufs + db - target.lufs).abs() <= 0.011);
            }
        }

        #[test]
        fn any_text_is_read(text in "(Summary:|I:|Peak:|LUFS|dBFS|-?[0-9.]{1,5}|inf|nan|\\s){0,30}") {
            let _ = parse_summary(&text);
        }
    }
}
