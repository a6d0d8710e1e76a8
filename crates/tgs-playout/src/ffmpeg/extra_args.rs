//! Parses FFMPEG_ARGS: the options to append, and the options to refuse.

/// Parsed FFMPEG_ARGS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtraArgs {
    /// Output options, appended after the engine's own so that they win.
    pub output: Vec<String>,
    /// The `-vf` chain, appended to the engine's own.
    pub video_filter: Option<String>,
    /// The `-af` chain, appended to the engine's own.
    pub audio_filter: Option<String>,
}

/// Why FFMPEG_ARGS cannot be used, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtraArgsError {
    /// The text violates the shell's quoting rules.
    #[error("a quote is opened and never closed; write \"…\" around values with spaces")]
    UnclosedQuote,
    /// A value stands where an option is expected.
    #[error("“{0}” stands where an option (-name value) was expected")]
    NotAnOption(String),
    /// The engine sets this option itself.
    #[error("{0} belongs to the engine and cannot be set here")]
    Reserved(String),
}

/// Options reserved for the engine: with them the operator would break the splice.
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
    /// Splits FFMPEG_ARGS by the shell's quoting rules. The error says what cannot be used.
    pub fn parse(text: &str) -> Result<Self, ExtraArgsError> {
        let words = shell_words::split(text).map_err(|_| ExtraArgsError::UnclosedQuote)?;
        let mut args = Self::default();
        let mut words = words.into_iter().peekable();
        while let Some(option) = words.next() {
            if !option.starts_with('-') || option == "-" {
                return Err(ExtraArgsError::NotAnOption(option));
            }
            if RESERVED.contains(&option.as_str()) || option.starts_with("-frames:") {
                return Err(ExtraArgsError::Reserved(option));
            }
            // A value may begin with a dash only if it is a number (`-qmin -1`); otherwise the word
            // is the next option.
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

    /// Whether the operator's chain for the picture ends with an upload to a hardware encoder.
    #[must_use]
    pub fn uploads(&self) -> bool {
        let last = self.video_filter.as_deref().and_then(|chain| chain.rsplit([',', ';', ']']).next());
        last.is_some_and(|filter| filter.trim_start().starts_with("hwupload"))
    }

    /// Whether they name another encoder of the picture than libx264.
    #[must_use]
    pub fn names_encoder(&self) -> bool {
        let named =
            |pair: &[String]| matches!(&*pair[0], "-c:v" | "-codec:v" | "-vcodec") && pair[1] != "libx264";
        self.output.windows(2).any(named)
    }

    /// Whether there are no arguments.
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
    fn an_upload_at_the_end_and_another_encoder_are_noticed() {
        let of =
            |text: &str| ExtraArgs::parse(text).map(|args| (args.uploads(), args.names_encoder())).unwrap();
        assert_eq!(of("-c:v h264_vaapi -vf format=nv12,hwupload"), (true, true));
        assert_eq!(of("-c:v h264_qsv -vf 'format=nv12, hwupload=extra_hw_frames=64'"), (true, true));
        assert_eq!(of("-c:v libx264 -vf hwupload,hwdownload"), (false, false));
        assert_eq!(of("-b:v 1M"), (false, false));
    }

    #[test]
    fn what_cannot_be_used_is_reported() {
        for (text, part) in [
            (r#"-vf "scale"#, "never closed"),
            ("out.flv", "“out.flv” stands where an option"),
            ("-b:v 1M out.flv", "“out.flv” stands where an option"),
            ("-i other.mp4", "-i belongs to the engine"),
            ("-t 5", "-t belongs to the engine"),
            ("-", "stands where an option"),
        ] {
            let error = ExtraArgs::parse(text).unwrap_err().to_string();
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
