//! Film of 24 frames per second, played as 25.

use std::time::Duration;

use super::fields::Fields;

/// How much faster than stored an item plays. All times of an item but its in- and out-point are
/// those of the air.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed(f64);

impl Default for Speed {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Speed {
    /// The speed at which film of `fps` frames per second has 25, what broadcasters call PAL
    /// speed-up: 4.2 % faster for 24, 4.3 % for 24000/1001. Other rates keep their speed.
    pub(super) fn of_film(fps: f64, fields: Fields) -> Self {
        let film = (23.95..=24.05).contains(&fps) && fields == Fields::Progressive;
        Self(if film { 25.0 / fps } else { 1.0 })
    }

    fn is_changed(self) -> bool {
        self.0 > 1.0
    }

    /// The time on air that `stored` takes.
    #[must_use]
    pub fn on_air(self, stored: Duration) -> Duration {
        if self.is_changed() { stored.div_f64(self.0) } else { stored }
    }

    /// The time of the source that `on_air` plays, in whole ms.
    #[must_use]
    pub fn stored(self, on_air: Duration) -> Duration {
        if self.is_changed() {
            let stored = Duration::try_from_secs_f64(on_air.as_secs_f64() * self.0).unwrap_or(on_air);
            // ffmpeg gets whole ms; rounded up, they would skip a picture.
            stored.saturating_sub(Duration::from_nanos((stored.subsec_nanos() % 1_000_000).into()))
        } else {
            on_air
        }
    }

    /// The filter that plays pictures so; `None` for the stored speed.
    pub(super) fn of_pictures(self) -> Option<String> {
        self.is_changed().then(|| format!("setpts=PTS/{:.9}", self.0))
    }

    /// The same for sound; its pitch stays.
    pub(super) fn of_sound(self) -> Option<String> {
        self.is_changed().then(|| format!("atempo={:.9}", self.0))
    }

    /// The filters around `draw`, which draws by the times of the source, from `from` on, over a
    /// picture on air.
    pub(super) fn around(self, draw: &str, from: Duration) -> String {
        let seconds = from.as_secs_f64();
        if self.is_changed() {
            // Finer than frames, so that no two fall together. Starts are rounded down to ms.
            let seconds = seconds + 0.001;
            let (to, back) = (
                format!("PTS*{:.9}+{seconds:.3}/TB", self.0),
                format!("(PTS-{seconds:.3}/TB)/{:.9}", self.0),
            );
            return format!("settb=1/90000,setpts=round({to}),{draw},setpts=round({back})");
        }
        if from.is_zero() {
            return draw.to_owned();
        }
        format!("setpts=PTS+{seconds:.3}/TB,{draw},setpts=PTS-{seconds:.3}/TB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_film_plays_faster() {
        for (fps, seconds) in [(24.0, 96.0), (24000.0 / 1001.0, 95.904), (25.0, 100.0), (30.0, 100.0)] {
            let speed = Speed::of_film(fps, Fields::Progressive);
            let on_air = speed.on_air(Duration::from_secs(100));
            assert!((on_air.as_secs_f64() - seconds).abs() < 0.001, "{fps}: {on_air:?}");
            assert!(speed.stored(on_air).abs_diff(Duration::from_secs(100)) <= Duration::from_millis(1));
        }
        let interlaced = Speed::of_film(24.0, Fields::Interlaced { order: None });
        assert_eq!(interlaced, Speed::default());
        assert_eq!(Speed::default().around("ass", Duration::ZERO), "ass");
        assert!(Speed::of_film(24.0, Fields::Progressive).stored(Duration::MAX).as_secs() == u64::MAX);
    }
}
