//! Picks the streams of a source to show and play: decodable, of one programme, no cover art.

use std::{cmp::Reverse, collections::HashSet, time::Duration};

use super::{
    ffprobe::{FfprobeOutput, FfprobeProgram, FfprobeStream},
    found::{AudioStream, VideoStream},
    times::{clock, ratio, seconds},
};
use crate::ffmpeg::{fields::Fields, speed::Speed};
use tgs_core::language::{self, Languages};

/// Codecs of single images, used for cover art beside music; each can also hold a film.
const IMAGES: [&str; 9] = ["mjpeg", "png", "bmp", "tiff", "webp", "jpeg2000", "jpegls", "jpegxl", "ppm"];

/// Words in the titles of commentaries and audio descriptions, in lower case.
const ASIDES: [&str; 8] = [
    "commentary",
    "комментар",
    "audio description",
    "audiodescription",
    "audiodeskription",
    "descriptive audio",
    "тифлокомментар",
    "kommentar",
];

/// A picture stream shorter than this is a single picture, if another stream continues.
const STILL: Duration = Duration::from_secs(1);

/// The chosen streams of one ffprobe answer.
#[derive(Default)]
pub(super) struct StreamChoice<'a> {
    pub(super) picture: Option<&'a FfprobeStream>,
    pub(super) sound: Option<&'a FfprobeStream>,
    /// Cover art that ffprobe could decode.
    pub(super) cover: Option<&'a FfprobeStream>,
}

impl StreamChoice<'_> {
    /// The picture, as a stream of source number `source`.
    pub(super) fn video(&self, answer: &FfprobeOutput, source: usize) -> Option<VideoStream> {
        let stream = self.picture?;
        let rate = |text: &Option<String>| text.as_deref().and_then(ratio);
        Some(VideoStream {
            source,
            index: stream.index,
            width: stream.width?,
            height: stream.height?,
            fps: rate(&stream.avg_frame_rate).or_else(|| rate(&stream.r_frame_rate)).unwrap_or(0.0),
            speed: Speed::default(),
            fields: match stream.field_order.as_deref() {
                Some("tt" | "bb" | "tb" | "bt") => Fields::Interlaced { order: None },
                _ => Fields::Progressive,
            },
            colour: stream.colour(),
            alpha: stream.alpha(),
            aspect: stream.aspect(),
            late: stream.late(&answer.format),
            duration: stream.end(&answer.format),
        })
    }

    /// In a transport stream, the PID of the picture, or else of the sound.
    pub(super) fn pid(&self, answer: &FfprobeOutput) -> Option<u32> {
        self.picture.or(self.sound).filter(|_| answer.is_transport_stream())?.pid()
    }

    /// The sound, as a stream of source number `source`.
    pub(super) fn audio(&self, answer: &FfprobeOutput, source: usize) -> Option<AudioStream> {
        let stream = self.sound?;
        Some(AudioStream {
            source,
            index: stream.index,
            late: stream.late(&answer.format),
            duration: stream.end(&answer.format),
            channels: stream.channels.unwrap_or(0),
            unplaced: stream.unplaced_channels(),
        })
    }
}

/// Chooses the best picture for a broadcast of `height` lines, and the best sound of the same
/// programme: one in the first of `languages` that there is, the item's own before the broadcast's.
/// Commentary and audio description come last.
pub(super) fn choose<'a>(
    answer: &'a FfprobeOutput,
    height: u32,
    own: &[String],
    languages: Languages,
) -> StreamChoice<'a> {
    // HLS and DASH variants are one film in several sizes; programmes are different films.
    let names = answer.format.names.as_deref().unwrap_or_default();
    let variants = names.split(',').any(|name| matches!(name, "hls" | "applehttp" | "dash"));
    let rank = |stream: &&FfprobeStream| {
        let size = stream.size();
        let enough = variants && stream.fills(height);
        let size = if enough { -size } else { size };
        (!stream.is_brief(answer), stream.pix_fmt.is_some(), enough, size)
    };
    let pictures = answer.streams.iter().filter(|stream| stream.is_picture() && !stream.is_cover(answer));
    let picture = first_max(pictures, rank);
    let mates = answer.mates(picture);
    let sounds = answer.streams.iter().filter(|stream| {
        stream.is("audio")
            && stream.undecodable.is_none()
            && mates.as_ref().is_none_or(|mates| mates.contains(&stream.index))
    });
    let preference = |stream: &FfprobeStream| {
        let spoken = stream.tags.language.as_deref()?;
        let place = own.iter().position(|language| language::is_same(language, spoken));
        place.or_else(|| Some(own.len() + languages.position(spoken)?)).map(Reverse)
    };
    let sound = first_max(sounds, |stream| {
        (stream.sample_fmt.is_some(), !stream.is_aside(), preference(stream), stream.disposition.default)
    });
    let cover = answer.streams.iter().find(|stream| {
        stream.is_picture()
            && stream.is_cover(answer)
            && stream.disposition.timed_thumbnails == 0
            && stream.pix_fmt.is_some()
    });
    StreamChoice { picture, sound, cover }
}

/// The first of the highest-ranking streams.
fn first_max<'a, R: Ord>(
    streams: impl Iterator<Item = &'a FfprobeStream>,
    rank: impl Fn(&&'a FfprobeStream) -> R,
) -> Option<&'a FfprobeStream> {
    streams.min_by_key(|stream| Reverse(rank(stream)))
}

impl FfprobeOutput {
    pub(super) fn is_transport_stream(&self) -> bool {
        self.format.names.as_deref() == Some("mpegts")
    }

    /// The streams that may accompany this picture: those of its programme, and those of no
    /// programme. `None` if all streams may.
    fn mates(&self, picture: Option<&FfprobeStream>) -> Option<HashSet<usize>> {
        let members = |program: &FfprobeProgram| -> HashSet<usize> {
            program.streams.iter().map(|member| member.index).collect()
        };
        let mut found = HashSet::new();
        for program in self.programs.iter().map(members) {
            let heard = self.streams.iter().any(|s| s.is("audio") && program.contains(&s.index));
            match picture {
                Some(picture) if program.contains(&picture.index) => found.extend(program),
                // Without a picture, the first programme with sound is used.
                None if heard && found.is_empty() => found = program,
                _ => {}
            }
        }
        if found.is_empty() {
            return None;
        }
        let in_any: HashSet<usize> = self.programs.iter().flat_map(members).collect();
        found.extend(self.streams.iter().map(|stream| stream.index).filter(|index| !in_any.contains(index)));
        Some(found)
    }
}

impl FfprobeStream {
    /// ffprobe writes the PID as `0x100`.
    pub(super) fn pid(&self) -> Option<u32> {
        u32::from_str_radix(self.id.as_deref()?.strip_prefix("0x")?, 16).ok()
    }

    fn is_picture(&self) -> bool {
        self.is("video") && self.undecodable.is_none() && self.size() > 0
    }

    fn size(&self) -> i64 {
        let side = |length: Option<u32>| i64::from(length.unwrap_or(0).min(1 << 20));
        side(self.width) * side(self.height)
    }

    /// Whether the picture has all the detail that a broadcast of `height` lines can show.
    fn fills(&self, height: u32) -> bool {
        let lines = u64::from(height);
        let width = u64::from(self.width.unwrap_or(0));
        u64::from(self.height.unwrap_or(0)) >= lines || width * 9 >= lines * 16
    }

    /// Whether the stream is cover art, flagged or not: a single image beside sound or another
    /// picture that continues.
    fn is_cover(&self, answer: &FfprobeOutput) -> bool {
        self.disposition.attached_pic | self.disposition.timed_thumbnails != 0
            || self.is_image() && self.is_brief(answer)
    }

    /// Whether the stream is a single picture, or a few, while another stream continues.
    fn is_brief(&self, answer: &FfprobeOutput) -> bool {
        let other = answer.streams.iter().any(|other| {
            other.index != self.index && (other.is("audio") || other.is("video")) && !other.has_one_picture()
        });
        other && self.has_one_picture()
    }

    fn has_one_picture(&self) -> bool {
        if !self.is("video") {
            return false;
        }
        let own = self.duration.as_deref().and_then(seconds);
        let start = self.start_time.as_deref().and_then(seconds).unwrap_or_default();
        let tagged = self.tags.duration.as_deref().and_then(clock).map(|end| end.saturating_sub(start));
        let frames = self.nb_frames.as_deref().and_then(|count| count.parse::<u64>().ok());
        match (own.or(tagged), frames) {
            // A still shown for long is one picture of its own length.
            (Some(length), _) => length < STILL,
            (None, Some(count)) => count == 1,
            // A single picture has no mean rate.
            (None, None) => self.avg_frame_rate.as_deref().and_then(ratio).is_none() && self.is_image(),
        }
    }

    /// See [`AudioStream::unplaced`].
    fn unplaced_channels(&self) -> u32 {
        // ffmpeg assumes the usual layout for up to 8 channels, and decodes at most 64.
        let channels = self.channels.filter(|count| (9..=64).contains(count)).unwrap_or(0);
        let layout = self.channel_layout.as_deref().unwrap_or("unknown");
        if layout == "unknown" || layout.ends_with(" channels") { channels } else { 0 }
    }

    /// Whether the sound is beside the main one: a commentary, an audio description, or a mix for
    /// the hard of hearing, by its flags or its title.
    fn is_aside(&self) -> bool {
        let flags = &self.disposition;
        let titles = [self.tags.get("title"), self.tags.get("handler_name")];
        let says = |title: &str| {
            let title = title.to_lowercase();
            ASIDES.iter().any(|word| title.contains(word))
        };
        flags.comment | flags.visual_impaired | flags.hearing_impaired != 0
            || titles.into_iter().flatten().any(says)
    }

    fn is_image(&self) -> bool {
        self.codec_name.as_deref().is_some_and(|name| IMAGES.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Index of the sound that is chosen for these languages of the item and of the broadcast.
    fn heard(sounds: &[&str], own: &[&str], wanted: &str) -> usize {
        let streams: Vec<_> = sounds
            .iter()
            .enumerate()
            .map(|(n, more)| {
                format!(
                    r#"{{"index":{n},"codec_type":"audio","codec_name":"aac","sample_fmt":"fltp"{more}}}"#
                )
            })
            .collect();
        let json = format!(r#"{{"streams":[{}]}}"#, streams.join(","));
        let answer: FfprobeOutput = serde_json::from_str(&json).unwrap();
        let own: Vec<_> = own.iter().map(|word| (*word).to_owned()).collect();
        let wanted = if wanted.is_empty() { Languages::default() } else { Languages::parse(wanted).unwrap() };
        choose(&answer, 720, &own, wanted).sound.unwrap().index
    }

    #[test]
    fn the_language_decides_before_the_default_flag_and_commentary_comes_last() {
        let ru = r#","disposition":{"default":1},"tags":{"language":"rus"}"#;
        let en = r#","tags":{"language":"eng"}"#;
        let comment =
            r#","disposition":{"default":1},"tags":{"language":"eng","title":"Director’s Commentary"}"#;
        let flagged = r#","disposition":{"default":1,"comment":1},"tags":{"language":"eng"}"#;
        let described = r#","disposition":{"default":1,"visual_impaired":1},"tags":{"language":"eng"}"#;
        let film = [ru, comment, en, flagged, described];
        for (own, wanted, index) in [
            (&[][..], "", 0),
            (&[], "en", 2),
            (&[], "de,en", 2),
            (&[], "de", 0),
            (&["ru"], "en", 0),
            (&["fr"], "en,ru", 2),
        ] {
            assert_eq!(heard(&film, own, wanted), index, "{own:?} {wanted}");
        }
        // Nothing else is there.
        assert_eq!(heard(&[comment, flagged], &[], "en"), 0);
        assert_eq!(heard(&[ru, comment], &[], "en"), 0);
        for tag in ["deu", "ger", "de", "German"] {
            let own = format!(r#","tags":{{"language":"{tag}"}}"#);
            assert_eq!(heard(&[ru, &own], &[], "de"), 1, "{tag}");
        }
    }

    /// Indices of the picture and the sound that are chosen for 720 lines.
    fn chosen(json: &str) -> (Option<usize>, Option<usize>) {
        let mut answer: FfprobeOutput = serde_json::from_str(json).unwrap();
        answer.note_encrypted();
        let known = ["h264", "aac", "mp3", "mjpeg", "png"].map(str::to_owned).into();
        answer.note_undecodable(&known);
        let choice = choose(&answer, 720, &[], Languages::default());
        (choice.picture.map(|s| s.index), choice.sound.map(|s| s.index))
    }

    fn picture(index: usize, width: u32, more: &str) -> String {
        let height = width * 9 / 16;
        format!(
            r#"{{"index":{index},"codec_type":"video","codec_name":"h264","pix_fmt":"yuv420p","width":{width},"height":{height}{more}}}"#
        )
    }

    fn sound(index: usize, default: u8) -> String {
        format!(
            r#"{{"index":{index},"codec_type":"audio","codec_name":"aac","sample_fmt":"fltp","disposition":{{"default":{default}}}}}"#
        )
    }

    #[test]
    fn the_largest_picture_the_default_sound() {
        let streams =
            [picture(0, 320, ""), picture(1, 640, ""), picture(2, 640, ""), sound(3, 0), sound(4, 1)];
        assert_eq!(chosen(&format!(r#"{{"streams":[{}]}}"#, streams.join(","))), (Some(1), Some(4)));
    }

    #[test]
    fn picture_and_sound_are_of_one_programme() {
        let streams =
            [picture(0, 320, ""), sound(1, 1), picture(2, 1280, ""), sound(3, 0), sound(4, 0)].join(",");
        let programs = r#"[{"streams":[{"index":0},{"index":1}]},{"streams":[{"index":2},{"index":3}]}]"#;
        assert_eq!(
            chosen(&format!(r#"{{"programs":{programs},"streams":[{streams}]}}"#)),
            (Some(2), Some(3))
        );
        // A programme without sound of its own takes what belongs to none, but never another's.
        let mute = r#"[{"streams":[{"index":0},{"index":1},{"index":3}]},{"streams":[{"index":2}]}]"#;
        assert_eq!(chosen(&format!(r#"{{"programs":{mute},"streams":[{streams}]}}"#)), (Some(2), Some(4)));
        // Of radio programmes the first.
        let radio = r#"[{"streams":[{"index":4}]},{"streams":[{"index":1}]}]"#;
        let sounds = [sound(1, 1), sound(4, 0)].join(",");
        assert_eq!(chosen(&format!(r#"{{"programs":{radio},"streams":[{sounds}]}}"#)), (None, Some(4)));
    }

    #[test]
    fn of_variants_the_smallest_that_is_large_enough() {
        let of = |widths: &[u32]| {
            let streams: Vec<_> =
                widths.iter().enumerate().map(|(n, width)| picture(n, *width, "")).collect();
            let json = format!(r#"{{"format":{{"format_name":"hls"}},"streams":[{}]}}"#, streams.join(","));
            chosen(&json).0
        };
        assert_eq!(of(&[3840, 1280, 1920, 640]), Some(1));
        assert_eq!(of(&[640, 960, 320]), Some(1));
        assert_eq!(of(&[1920, 960]), Some(0));
    }

    #[test]
    fn what_cannot_be_decoded_is_not_chosen() {
        let closed =
            r#"{"index":1,"codec_type":"audio","codec_name":"mpegh_3d_audio","disposition":{"default":1}}"#;
        let streams = [picture(0, 320, ""), closed.to_owned(), sound(2, 0)].join(",");
        assert_eq!(chosen(&format!(r#"{{"streams":[{streams}]}}"#)), (Some(0), Some(2)));
        // Sound that begins too late for ffprobe is no such thing.
        let late = r#"{"index":1,"codec_type":"audio","codec_name":"aac"}"#;
        let streams = [picture(0, 320, ""), late.to_owned()].join(",");
        assert_eq!(chosen(&format!(r#"{{"streams":[{streams}]}}"#)), (Some(0), Some(1)));
        let packets = r#"[{"stream_index":0,"side_data_list":[{"side_data_type":"Encryption info"}]}]"#;
        let streams = [picture(0, 1280, ""), picture(1, 320, ""), sound(2, 0)].join(",");
        assert_eq!(chosen(&format!(r#"{{"packets":{packets},"streams":[{streams}]}}"#)), (Some(1), Some(2)));
    }

    #[test]
    fn a_cover_is_no_picture_whether_it_says_so_or_not() {
        let image = |codec: &str, more: &str| {
            format!(
                r#"{{"index":0,"codec_type":"video","codec_name":"{codec}","pix_fmt":"rgb24","width":1400,"height":1400{more}}}"#
            )
        };
        let beside = |image: String, other: String| chosen(&format!(r#"{{"streams":[{image},{other}]}}"#));
        let covers = [
            image("mjpeg", r#","disposition":{"attached_pic":1}"#),
            image("mjpeg", r#","duration":"0.08","nb_frames":"2","avg_frame_rate":"25/1""#),
            image(
                "png",
                r#","start_time":"0.08","avg_frame_rate":"25/1","tags":{"DURATION":"00:00:00.120000000"}"#,
            ),
            image("mjpeg", r#","avg_frame_rate":"0/0""#),
        ];
        for cover in covers {
            assert_eq!(beside(cover.clone(), sound(1, 1)), (None, Some(1)), "{cover}");
            assert_eq!(beside(cover.clone(), picture(1, 320, r#","duration":"8.0""#)).0, Some(1), "{cover}");
        }
        for film in [
            image("mjpeg", r#","duration":"8.0","nb_frames":"200","avg_frame_rate":"25/1""#),
            image("mjpeg", r#","avg_frame_rate":"1/4","tags":{"DURATION":"00:00:08.0"}"#),
            image("mjpeg", r#","avg_frame_rate":"25/1""#),
            // One frame that is shown all the time.
            image("png", r#","duration":"60.0","nb_frames":"1""#),
        ] {
            assert_eq!(beside(film.clone(), sound(1, 1)).0, Some(0), "{film}");
        }
        // Alone it is what there is to see.
        assert_eq!(
            chosen(&format!(r#"{{"streams":[{}]}}"#, image("png", r#","duration":"0.04""#))).0,
            Some(0)
        );
    }
}
