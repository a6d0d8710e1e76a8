//! Parses the times that ffprobe prints, and what a container says about the begin and end of its
//! streams.
//!
//! All times are limited to [`LONGEST`], so that their sums cannot overflow.

use std::time::Duration;

use super::ffprobe::{FfprobeFormat, FfprobeOutput, FfprobeStream};

/// Limit of lengths and start times: a container's larger values are cut to it.
pub(crate) const LONGEST: Duration = Duration::from_hours(24 * 366);

/// If a container begins later than this, its length may count from zero or from its own beginning.
const BEGINS_LATE: f64 = 2.0;

/// ffprobe's warning for a file without a stated length.
const ESTIMATE: &str = "Estimating duration from bitrate";

/// Parses `12.345`, in seconds.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    length(text.parse().ok()?)
}

/// Parses `00:01:02.500000000`, the form of Matroska's DURATION tag.
pub(super) fn clock(text: &str) -> Option<Duration> {
    let mut parts = text.splitn(3, ':');
    let hours: f64 = parts.next()?.parse().ok()?;
    let minutes: f64 = parts.next()?.parse().ok()?;
    let rest: f64 = parts.next()?.parse().ok()?;
    length(hours * 3600.0 + minutes * 60.0 + rest)
}

/// Parses `30000/1001`, in frames per second.
pub(super) fn ratio(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/')?;
    let (above, below): (f64, f64) = (above.parse().ok()?, below.parse().ok()?);
    Some(above / below).filter(|rate| rate.is_finite() && *rate > 0.0)
}

/// A length of this many seconds, at most [`LONGEST`]; `None` if not positive.
pub(super) fn length(seconds: f64) -> Option<Duration> {
    if seconds.is_nan() || seconds <= 0.0 {
        return None;
    }
    let longest = LONGEST.as_secs_f64();
    Duration::try_from_secs_f64(seconds.min(longest)).ok().filter(|length| !length.is_zero())
}

/// A time that may be negative; zero if missing.
fn time(text: Option<&String>) -> f64 {
    text.and_then(|text| text.parse::<f64>().ok()).filter(|time| time.is_finite()).unwrap_or(0.0)
}

impl FfprobeFormat {
    fn is(&self, one: &str) -> bool {
        self.names.as_deref().is_some_and(|names| names.split(',').any(|name| name == one))
    }

    /// Whether the format holds single images: such a demuxer reads one picture and has no clock.
    pub(super) fn is_image(&self) -> bool {
        let names = self.names.as_deref().unwrap_or_default();
        names.split(',').any(|name| name == "image2" || name.ends_with("_pipe"))
    }

    /// Whether timestamps may restart in this format (`AVFMT_TS_DISCONT` of ffmpeg's demuxer).
    pub(super) fn restarts(&self) -> bool {
        ["mpegts", "mpeg", "flv", "live_flv", "ogg", "hls", "applehttp"].iter().any(|name| self.is(name))
    }

    /// The length of the file, counted from its beginning.
    pub(super) fn length(&self) -> Option<Duration> {
        let stated = self.duration.as_deref()?.parse::<f64>().ok()?;
        let start = time(self.start_time.as_ref());
        // Matroska states the end time, other formats a length.
        length(if self.is("matroska") && start > 0.0 { stated - start } else { stated })
    }
}

impl FfprobeOutput {
    /// Whether the length is estimated: computed from a bitrate or from the timestamps at the
    /// file's tail, or counted from an unknown zero.
    pub(super) fn is_estimated(&self) -> bool {
        let format = &self.format;
        let unclear = !["mov", "matroska", "mpegts"].iter().any(|name| format.is(name));
        self.messages.contains(ESTIMATE)
            || format.is("mpegts")
            || format.is("mpeg")
            || unclear && time(format.start_time.as_ref()) > BEGINS_LATE
    }
}

impl FfprobeStream {
    /// Delay of the stream's beginning after the file's.
    pub(super) fn late(&self, format: &FfprobeFormat) -> Duration {
        if self.start_time.is_none() {
            return Duration::ZERO;
        }
        length(time(self.start_time.as_ref()) - time(format.start_time.as_ref())).unwrap_or_default()
    }

    /// When the stream ends, counted from the file's beginning: by its own length, or by Matroska's
    /// tag, which states the end time, is often stale and is limited to the file's end.
    pub(super) fn own_end(&self, format: &FfprobeFormat) -> Option<Duration> {
        let whole = format.length();
        let own = self.duration.as_deref().and_then(seconds);
        if let Some(own) = own {
            return Some(own.saturating_add(self.late(format)).min(LONGEST));
        }
        let tagged = self.tags.duration.as_deref().and_then(clock)?.as_secs_f64();
        let end = length(tagged - time(format.start_time.as_ref()).max(0.0))?;
        Some(whole.map_or(end, |whole| end.min(whole)))
    }

    /// Whether the container states this stream's end. ASF states the file's length for each
    /// stream, Ogg that of the last of several chained streams.
    pub(super) fn states_end(&self, format: &FfprobeFormat) -> bool {
        self.own_end(format).is_some() && !format.is("asf") && !format.is("ogg")
    }

    /// The stream's own end, or else the file's.
    pub(super) fn end(&self, format: &FfprobeFormat) -> Option<Duration> {
        self.own_end(format).or_else(|| format.length())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        assert_eq!(clock("00:01:02.500000000"), Some(Duration::from_millis(62_500)));
        assert_eq!(clock("junk"), None);
        assert_eq!(seconds("N/A"), None);
        assert_eq!(seconds("-1"), None);
        assert_eq!(seconds("nan"), None);
        assert_eq!(seconds("9223372036854775807"), Some(LONGEST));
        assert_eq!(clock("99999999999999999999:00:00"), Some(LONGEST));
        assert_eq!(ratio("0/0"), None);
        assert_eq!(ratio("25/1"), Some(25.0));
    }

    fn end(stream: &str, format: &str) -> Option<Duration> {
        let json = format!(r#"{{"streams":[{{"index":0,{stream}}}],"format":{{{format}}}}}"#);
        let answer: FfprobeOutput = serde_json::from_str(&json).unwrap();
        answer.streams[0].end(&answer.format)
    }

    #[test]
    fn ends_are_counted_from_the_beginning_of_the_file() {
        let s = |seconds: u64| Some(Duration::from_secs(seconds));
        let matroska = r#""format_name":"matroska,webm","start_time":"1000.0","duration":"1006.0""#;
        assert_eq!(end(r#""start_time":"1000.0","tags":{"DURATION":"00:16:46.0"}"#, matroska), s(6));
        assert_eq!(end(r#""start_time":"1000.0""#, matroska), s(6));
        let mpegts = r#""format_name":"mpegts","start_time":"72000.0","duration":"6.0""#;
        assert_eq!(end(r#""start_time":"72000.0","duration":"6.0""#, mpegts), s(6));
        // A tag that was copied from a longer file.
        let short = r#""format_name":"matroska,webm","start_time":"0.0","duration":"6.0""#;
        assert_eq!(end(r#""start_time":"0.0","tags":{"DURATION":"00:02:00.0"}"#, short), s(6));
    }
}
