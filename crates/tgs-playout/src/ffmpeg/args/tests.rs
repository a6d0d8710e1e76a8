//! Tests of the encoder's command lines.

use super::*;
use crate::{
    ffmpeg::{
        Processing,
        colour::{Colour, Matrix, Transfer},
        extra_args::ExtraArgs,
        fields::{FieldOrder, Fields},
        outcome::judge,
        probe::{self, Times},
    },
    profile::Profile,
};

fn setup() -> EncodeSetup {
    EncodeSetup {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: Profile::P720,
        processing: Processing::default(),
        extra: ExtraArgs::default(),
        scratch: "/no/such".into(),
        image_duration: Duration::from_secs(10),
        short_groups: false,
    }
}

#[test]
fn another_command_has_another_recipe() {
    let setup = setup();
    let media = crate::item::Media::at("file:/a".into(), false);
    let item = Item { id: String::new(), turn: 0, title: String::new(), start: Duration::ZERO, media };
    let seconds = |n| Some(Duration::from_secs(n));
    let video =
        VideoStream { width: 640, height: 360, fps: 50.0, duration: seconds(5), ..VideoStream::default() };
    let audio = AudioStream {
        source: 0,
        index: 1,
        late: Duration::ZERO,
        duration: seconds(4),
        channels: 2,
        unplaced: 0,
    };
    let late = AudioStream { late: LATE * 2, duration: seconds(9), ..audio };
    let interlaced = VideoStream { fields: Fields::Interlaced { order: None }, fps: 25.0, ..video };
    let film = VideoStream { fields: Fields::Telecined(FieldOrder::Top), fps: 29.97, ..video };
    let hdr = Colour { matrix: Matrix::Bt2020, transfer: Transfer::Pq, ..Colour::default() };
    let hdr = VideoStream { colour: hdr, ..video };
    let old = Colour { matrix: Matrix::Bt601, full: true, ..Colour::default() };
    let old = VideoStream { colour: old, ..video };
    let clear = VideoStream { alpha: Some(Alpha::Vp9), ..video };
    let probes = [
        (Some(film), None),
        (Some(hdr), None),
        (Some(old), None),
        (Some(clear), None),
        (Some(video), Some(audio)),
        (Some(interlaced), Some(late)),
        (Some(video), None),
        (None, Some(audio)),
    ];
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for (video, audio) in probes {
        let probe = Probe {
            video,
            audio,
            duration: seconds(9),
            still: audio.is_none(),
            times: Times { longest_gap: seconds(300), measured: true, ..Times::default() },
            ..Probe::default()
        };
        let command = EncodeJob::item(&item, &probe, &setup).command(&setup);
        digest.update(format!("{:?}", command.get_args().collect::<Vec<_>>()).as_bytes());
    }
    let digest = digest.finish();
    let digest = u32::from_be_bytes(std::array::from_fn(|n| digest.as_ref()[n]));
    assert_eq!(
        (ENCODER_VERSION, format!("{digest:08x}").as_str()),
        (5, "a552f7c0"),
        "ffmpeg is called otherwise: if what it makes is another, raise ENCODER_VERSION; then put both numbers here"
    );
}

/// What stands in ffprobe's JSON for a time, a rate or a count.
fn number() -> impl proptest::strategy::Strategy<Value = String> {
    proptest::prop_oneof![
        "-?[0-9]{1,22}(\\.[0-9]{1,6})?",
        "(N/A|nan|-?inf|1e309|9223372036854775807|-9223372036854775808|18446744073709551615|0|1)",
        "[0-9]{1,20}/[0-9]{1,20}",
        "[0-9]{1,20}:[0-9]{1,20}:[0-9]{1,20}\\.[0-9]{1,9}",
    ]
}

proptest::proptest! {
    #[test]
    fn no_number_of_ffprobes_overflows_on_its_way_to_a_verdict(
        numbers in proptest::collection::vec(number(), 16),
        kinds in proptest::collection::vec(0..3_usize, 2),
        format in 0..5_usize,
        (start, played, side) in (0..u64::MAX, 0..u64::MAX, 0..u32::MAX),
        live in proptest::bool::ANY,
    ) {
        let stream = |index: usize, n: &[String]| {
            let kind = ["video", "audio", "data"][kinds[index]];
            format!(
                r#"{{"index":{index},"codec_type":"{kind}","codec_name":"h264","width":{side},"height":{side},
                "start_time":"{}","duration":"{}","avg_frame_rate":"{}","r_frame_rate":"{}","nb_frames":"{}",
                "sample_rate":"{}","tags":{{"DURATION":"{}"}}}}"#,
                n[0], n[1], n[2], n[3], n[4], n[5], n[6],
            )
        };
        let name = ["mov,mp4", "matroska,webm", "mpegts", "png_pipe", "flv"][format];
        let answer = format!(
            r#"{{"streams":[{},{}],"format":{{"format_name":"{name}","start_time":"{}","duration":"{}","bit_rate":"{}"}}}}"#,
            stream(0, &numbers), stream(1, &numbers[7..]), numbers[14], numbers[15], numbers[3],
        );
        let found = probe::read_any(answer.as_bytes()).expect("it is JSON");
        let media = crate::item::Media::at("file:/a".into(), live);
        let start = Duration::from_millis(start);
        let item = Item { id: String::new(), turn: 0, title: String::new(), start, media };
        let setup = setup();
        let _ = EncodeJob::copy(&item, &found, &setup);
        let job = EncodeJob::item(&item, &found, &setup);
        let _ = job.command(&setup);
        let ended = EncoderExit {
            status: std::os::unix::process::ExitStatusExt::from_raw(0),
            messages: String::new(),
            abandoned: None,
            killed_here: false,
            damaged: 0,
            new_streams: Vec::new(),
            sound_lost: false,
            loudness: None,
        };
        let source = item.media.sources.first();
        let promised = job.promised(&ended, source);
        let _ = judge(&Ok(()), &ended, promised, Duration::from_millis(played), source);
    }
}
