//! Measures an encoder's speed: seconds of media per second of its working time.
//!
//! While the read-ahead is full, the encoder waits for the broadcast, and the reader never waits
//! for the encoder. The working time is then the processor time divided by the number of
//! processors, which gives an upper bound of the speed.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Length of one measurement.
const WINDOW: Duration = Duration::from_secs(2);

/// Speed measurement of one encoder.
pub(super) struct SpeedMeter {
    fps: f64,
    processors: f64,
    frames: u64,
    window: SpeedWindow,
}

/// Counts since the last measurement.
struct SpeedWindow {
    since: Instant,
    frames: u64,
    /// Time that the reader waited for the encoder.
    waited: Duration,
    /// The encoder's processor time when the window began.
    cpu: Option<Duration>,
}

impl SpeedWindow {
    fn new(now: Instant, cpu: Option<Duration>) -> Self {
        Self { since: now, frames: 0, waited: Duration::ZERO, cpu }
    }
}

impl SpeedMeter {
    pub(super) fn new(fps: u32, now: Instant) -> Self {
        let processors = thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        // A process that has just started has used no processor time.
        let window = SpeedWindow::new(now, Some(Duration::ZERO));
        Self { fps: f64::from(fps), processors, frames: 0, window }
    }

    /// Counts a tag, after `waited` time; `picture` if it is a video frame.
    pub(super) fn count(&mut self, waited: Duration, picture: bool) {
        self.window.waited = self.window.waited.saturating_add(waited);
        self.frames += u64::from(picture);
        self.window.frames += u64::from(picture);
    }

    /// Length of the media counted so far.
    pub(super) fn media(&self) -> Duration {
        Duration::from_secs_f64(self.frames as f64 / self.fps)
    }

    /// The speed of the last window, once it has lasted two seconds; `cpu` returns the encoder's
    /// processor time so far.
    pub(super) fn due(&mut self, now: Instant, cpu: impl FnOnce() -> Option<Duration>) -> Option<f64> {
        if now.saturating_duration_since(self.window.since) < WINDOW {
            return None;
        }
        let cpu = cpu();
        let used = cpu.zip(self.window.cpu).map_or(Duration::ZERO, |(now, then)| now.saturating_sub(then));
        let worked = (used.as_secs_f64() / self.processors).max(self.window.waited.as_secs_f64());
        let media = self.window.frames as f64 / self.fps;
        self.window = SpeedWindow::new(now, cpu);
        // Below the resolution of the system's clock there is no measurement.
        (worked >= 0.005).then(|| media / worked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What a window of two seconds says, in which so much came, was waited for and was worked.
    fn ratio(media: u64, waited: Duration, cpu: Option<Duration>) -> Option<f64> {
        let began = Instant::now();
        let mut meter = SpeedMeter { processors: 2.0, ..SpeedMeter::new(30, began) };
        for _ in 0..media * 30 {
            meter.count(Duration::ZERO, true);
            meter.count(Duration::ZERO, false);
        }
        meter.count(waited, false);
        assert_eq!(meter.due(began + SECOND, || panic!("too early")), None);
        let ratio = meter.due(began + 2 * SECOND, || cpu);
        assert_eq!(meter.media(), media as u32 * SECOND);
        assert_eq!(meter.due(began + 2 * SECOND, || panic!("a new window")), None);
        ratio
    }

    #[test]
    fn an_encoder_that_is_waited_for_is_as_fast_as_it_gives() {
        assert_eq!(ratio(1, 2 * SECOND, Some(3 * SECOND)), Some(0.5));
        // Sleeping (a slow source) is no faster.
        assert_eq!(ratio(1, 2 * SECOND, Some(SECOND / 10)), Some(0.5));
        assert_eq!(ratio(1, 2 * SECOND, None), Some(0.5));
    }

    #[test]
    fn an_encoder_that_waits_itself_is_as_fast_as_its_work_allows() {
        let waited = Duration::from_micros(270);
        assert_eq!(ratio(2, waited, Some(SECOND)), Some(4.0), "not 7407");
        assert_eq!(ratio(2, waited, Some(Duration::ZERO)), None);
        assert_eq!(ratio(2, waited, None), None);
    }
}
