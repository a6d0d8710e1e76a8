//! The harness itself: a check that cannot fail proves nothing, so each is shown a broken stream
//! too.

use std::{path::Path, time::Duration};

use tgs_e2e::{
    broadcast::until,
    clips::{self, Clip, PLAIN, ffmpeg},
    flvcheck::{Report, alignment},
    nginx::Nginx,
};

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The plain clip as FLV, with what ffmpeg does to it on the way.
fn flv(dir: &Path, name: &str, input: &str, output: &str) -> anyhow::Result<std::path::PathBuf> {
    let out = dir.join(name);
    let clip = PLAIN.path()?;
    let clip = clip.display();
    let args = format!("{input} -i {clip} {input} -itsoffset 0 -i {clip} -map 0:v -map 1:a {output} -f flv");
    ffmpeg(&words(&args), &out)?;
    Ok(out)
}

const ENCODE: &str = "-c:v libx264 -preset ultrafast -g 60 -c:a aac -ar 44100";

#[test]
fn an_unbroken_stream_passes() {
    let dir = tempfile::tempdir().unwrap();
    let file = flv(dir.path(), "good.flv", "", ENCODE).unwrap();
    let report = Report::of_file(&file).unwrap();
    report.check(30.0, 44_100.0).unwrap();
    assert_eq!(report.video.frames, 90);
    assert_eq!(report.keyframes.len(), 2);
    assert_eq!((report.video.headers, report.audio.headers), (1, 1));
    let measured = alignment(&file).unwrap();
    let (low, high) = measured.range().unwrap();
    assert_eq!(measured.offsets.len(), 2, "{measured:?}");
    assert!(low > -5.0 && high < 5.0, "{measured:?}");
    assert!(measured.silent_flashes.is_empty() && measured.dark_beeps.is_empty(), "{measured:?}");
}

#[test]
fn holes_and_sparse_keyframes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let drop = "-vf select='not(between(n,40,44))' -af aselect='not(between(t,1,1.2))' -vsync passthrough";
    let file = flv(dir.path(), "holes.flv", "", &format!("{drop} {ENCODE} -g 600")).unwrap();
    let report = Report::of_file(&file).unwrap();
    let problems = report.problems(30.0, 44_100.0).join("\n");
    assert_eq!(report.video.max_step, 200, "{problems}");
    assert!(problems.contains("video: step of 200 ms"), "{problems}");
    let late = "-force_key_frames 0,2.5 -g 600";
    let file = flv(dir.path(), "sparse.flv", "", &format!("{ENCODE} {late}")).unwrap();
    let problems = Report::of_file(&file).unwrap().problems(30.0, 44_100.0);
    assert_eq!(problems, ["keyframes are up to 2500 ms apart"]);
}

#[test]
fn a_second_recording_behind_the_first_is_no_unbroken_stream() {
    let dir = tempfile::tempdir().unwrap();
    let one = std::fs::read(flv(dir.path(), "one.flv", "", ENCODE).unwrap()).unwrap();
    let two =
        std::fs::read(flv(dir.path(), "two.flv", "", &format!("{ENCODE} -s 320x180")).unwrap()).unwrap();
    let both = dir.path().join("both.flv");
    std::fs::write(&both, [&one[..], &two[13..]].concat()).unwrap();
    let report = Report::of_file(&both).unwrap();
    let problems = report.problems(30.0, 44_100.0).join("\n");
    assert_eq!(report.video.headers, 2);
    assert!(problems.contains("video: 1 backward timestamps"), "{problems}");
    assert!(problems.contains("audio: 2 sequence headers"), "{problems}");
}

#[test]
fn late_sound_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    for delay in [100_i32, -100] {
        let shift = if delay > 0 {
            format!("adelay={delay}:all=1")
        } else {
            format!("atrim=start={}", f64::from(-delay) / 1000.0)
        };
        let file =
            flv(dir.path(), "late.flv", "", &format!("-af {shift},asetpts=PTS-STARTPTS {ENCODE}")).unwrap();
        let measured = alignment(&file).unwrap();
        let (low, high) = measured.range().unwrap();
        assert!((low - f64::from(delay)).abs() < 5.0 && (high - low) < 5.0, "{delay}: {measured:?}");
    }
}

#[test]
fn nginx_records_what_it_is_sent_before_and_after_a_restart() {
    let mut nginx = Nginx::start().unwrap();
    let publish = |nginx: &Nginx| {
        let clip = PLAIN.path().unwrap();
        let args = format!("-i {} -c copy -f flv", clip.display());
        ffmpeg(&words(&args), Path::new(&nginx.url("key"))).unwrap();
    };
    publish(&nginx);
    nginx.wait_recorded(10_000, Duration::from_secs(5)).unwrap();
    let first = nginx.recording().unwrap();
    // It may still write.
    let whole = || Report::of_file(&first).ok().filter(|report| report.video.frames >= 90);
    let report = until("the whole recording", Duration::from_secs(10), whole).unwrap();
    assert_eq!(report.video.frames, 90);
    assert_eq!((report.video.headers, report.audio.headers), (1, 1), "{report:?}");
    let port = nginx.port();
    nginx.kill().unwrap();
    assert!(!nginx.is_running());
    nginx.restart().unwrap();
    assert_eq!(nginx.port(), port);
    let before = nginx.recorded_bytes().unwrap();
    publish(&nginx);
    nginx.wait_recorded(before + 10_000, Duration::from_secs(5)).unwrap();
}

#[test]
fn every_clip_is_made_and_flashes_with_its_beep() {
    for clip in clips::every_kind() {
        let path = clip.path().unwrap();
        let measured = alignment(&path).unwrap();
        let (low, high) = measured.range().unwrap_or_else(|| panic!("{}: {measured:?}", clip.name));
        // Five frames a second are the coarsest of them.
        assert!(low > -210.0 && high < 210.0, "{}: {measured:?}", clip.name);
        assert_eq!(measured.offsets.len(), 2, "{}: {measured:?}", clip.name);
    }
    for Clip { name, .. } in clips::uneven() {
        assert!(clips::uneven().iter().find(|c| c.name == name).unwrap().path().unwrap().exists());
    }
    assert!(clips::with_extras().unwrap().exists());
    assert!(clips::with_cover().unwrap().exists());
}
