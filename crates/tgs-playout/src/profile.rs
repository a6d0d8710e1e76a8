//! What every item is encoded to, so that viewers' decoders see one stream, and what FFMPEG_ARGS may change of it.
//!
//! Only describes; the command line is put together in [`crate::encoder`].

use std::time::Duration;

/// The longest distance between two keyframes that the splice and Telegram's players take.
pub const MAX_KEYFRAME_DISTANCE: Duration = Duration::from_millis(2100);

/// Samples in one AAC-LC frame (ISO/IEC 14496-3).
pub const AAC_FRAME: u64 = 1024;

/// The shape of the broadcast. Every item, slate and filler is encoded to the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels; always 16:9, because Telegram scales to 1280×720 whatever the shape.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// Video bitrate in kbit/s, mean and peak.
    pub video_kbps: u32,
    /// Audio bitrate in kbit/s.
    pub audio_kbps: u32,
    /// Audio samples a second.
    pub audio_rate: u32,
    /// Audio channels.
    pub channels: u32,
}

impl Profile {
    /// 854×480 at 900 kbit/s.
    pub const P480: Self = Self { width: 854, height: 480, video_kbps: 900, ..Self::P720 };
    /// 1280×720 at 1800 kbit/s: the default.
    pub const P720: Self = Self {
        width: 1280,
        height: 720,
        fps: 30,
        video_kbps: 1800,
        audio_kbps: 128,
        audio_rate: 44_100,
        channels: 2,
    };
    /// 1920×1080 at 3500 kbit/s.
    pub const P1080: Self = Self { width: 1920, height: 1080, video_kbps: 3500, ..Self::P720 };

    /// Frames from one keyframe to the next: two seconds.
    #[must_use]
    pub fn gop(&self) -> u32 {
        self.fps * 2
    }
}

/// FFMPEG_ARGS, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtraArgs {
    /// Output options, appended behind the engine's own so that they win.
    pub output: Vec<String>,
    /// The `-vf` chain, joined behind the engine's own.
    pub video_filter: Option<String>,
    /// The `-af` chain, joined behind the engine's own.
    pub audio_filter: Option<String>,
}

/// Options that the engine needs for itself: with them the operator would take the splice out of its hands.
const RESERVED: [&str; 20] = [
    "-i",
    "-f",
    "-map",
    "-t",
    "-to",
    "-ss",
    "-fs",
    "-vn",
    "-an",
    "-filter_complex",
    "-lavfi",
    "-frames",
    "-vframes",
    "-shortest",
    "-re",
    "-y",
    "-c",
    "-codec",
    "-aspect",
    "-timelimit",
];

impl ExtraArgs {
    /// Takes FFMPEG_ARGS apart by the shell's quoting rules. The error says in words what cannot be used.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = shell_words::split(text).map_err(|_| {
            "a quote is opened and never closed; write \"…\" around values with spaces".to_owned()
        })?;
        let mut args = Self::default();
        let mut words = words.into_iter().peekable();
        while let Some(option) = words.next() {
            if !option.starts_with('-') || option == "-" {
                return Err(format!("“{option}” stands where an option (-name value) was expected"));
            }
            if RESERVED.contains(&option.as_str()) || option.starts_with("-frames:") {
                return Err(format!("{option} belongs to the engine and cannot be set here"));
            }
            // A value may begin with a dash where it is a number (`-qmin -1`), otherwise that is the next option.
            let value = words.next_if(|next| {
                !next.starts_with('-') || next[1..].starts_with(|c: char| c.is_ascii_digit() || c == '.')
            });
            match (option.as_str(), value) {
                ("-vf" | "-filter:v", Some(chain)) => args.video_filter = Some(chain),
                ("-af" | "-filter:a", Some(chain)) => args.audio_filter = Some(chain),
                (_, value) => {
                    args.output.push(option);
                    args.output.extend(value);
                }
            }
        }
        Ok(args)
    }

    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_taken_apart() {
        let args = ExtraArgs::parse(
            r#"-b:v 1000k -vf "drawbox=x=0:c=red, hue=s=0" -qmin -1 -tune zerolatency -af volume=2"#,
        )
        .unwrap();
        assert_eq!(args.output, ["-b:v", "1000k", "-qmin", "-1", "-tune", "zerolatency"]);
        assert_eq!(args.video_filter.as_deref(), Some("drawbox=x=0:c=red, hue=s=0"));
        assert_eq!(args.audio_filter.as_deref(), Some("volume=2"));
        assert!(ExtraArgs::parse("").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        for (text, part) in [
            (r#"-vf "scale"#, "never closed"),
            ("out.flv", "“out.flv” stands where an option"),
            ("-b:v 1M out.flv", "“out.flv” stands where an option"),
            ("-i other.mp4", "-i belongs to the engine"),
            ("-t 5", "-t belongs to the engine"),
            ("-", "stands where an option"),
        ] {
            let error = ExtraArgs::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = ExtraArgs::parse(&text);
        }
    }
}
