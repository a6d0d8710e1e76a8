//! Which streams of real files are chosen, by the real ffprobe.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod ffmpeg;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use ffmpeg::make;
use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::probe::{self, Probe, ProbeOptions},
    item::{FailureReason, ItemFailure, Media},
};

fn probed(path: &Path) -> Result<Probe, ItemFailure> {
    let media = Media::at(format!("file:{}", path.display()), false);
    let wanted = ProbeOptions::default();
    probe::probe(Path::new("ffprobe"), &media, wanted, &Cancel::new())
}

/// Indices of picture and sound.
fn chosen(path: &Path) -> (Option<usize>, Option<usize>) {
    let found = probed(path).unwrap();
    (found.video.map(|v| v.index), found.audio.map(|a| a.index))
}

const H264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac";

fn av(width: u32) -> String {
    let height = width * 9 / 16;
    format!("-f lavfi -i testsrc2=s={width}x{height}:r=25:d=3 -f lavfi -i sine=r=48000:d=3")
}

#[test]
fn picture_and_sound_of_one_programme_and_the_variant_that_fits() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let maps = "-map 0 -map 1 -map 2 -map 3 -program st=0:st=1 -program st=2:st=3 -f mpegts two.ts";
    make(dir.path(), &format!("{} {} {H264} {maps}", av(320), av(640)));
    assert_eq!(chosen(&at("two.ts")), (Some(2), Some(3)));
    let mut master = "#EXTM3U\n".to_owned();
    for width in [320, 1280, 640, 1920] {
        make(dir.path(), &format!("{} {H264} -hls_time 1 -hls_list_size 0 v{width}.m3u8", av(width)));
        writeln!(master, "#EXT-X-STREAM-INF:BANDWIDTH={width}000\nv{width}.m3u8").unwrap();
    }
    fs::write(at("master.m3u8"), master).unwrap();
    assert_eq!(chosen(&at("master.m3u8")), (Some(2), Some(3)));
}

#[test]
fn covers_stand_for_no_film_in_any_container() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["c.jpg", "c.png"] {
        make(dir.path(), &format!("-f lavfi -i testsrc2=s=800x800 -frames:v 1 {name}"));
    }
    for (cover, name, sound) in [
        ("c.jpg", "a.mka", "libmp3lame"),
        ("c.png", "a.mkv", "flac"),
        ("c.jpg", "a.mov", "aac"),
        ("c.png", "a.mp4", "aac"),
        ("c.jpg", "a.avi", "libmp3lame"),
        ("c.jpg", "a.nut", "flac"),
        ("c.png", "a.mp3", "libmp3lame"),
    ] {
        let inputs = format!("-i {cover} -f lavfi -i sine=d=4 -map 0 -map 1");
        make(dir.path(), &format!("{inputs} -c:v copy -c:a {sound} -disposition:v 0 {name}"));
        let found = probed(&dir.path().join(name)).unwrap();
        assert!(found.video.is_none() && found.audio.is_some(), "{name}: {found:?}");
    }
    for name in ["b.mkv", "b.mp4", "b.nut"] {
        let inputs = format!("-i c.png {} -map 0 -map 1 -map 2 {H264} -c:v:0 copy", av(320));
        make(dir.path(), &format!("{inputs} {name}"));
        assert_eq!(chosen(&dir.path().join(name)).0, Some(1), "{name}");
    }
    // Footage of a camera has the same codec.
    for name in ["real.mkv", "real.mov", "real.avi", "real.nut"] {
        make(dir.path(), &format!("{} -c:v mjpeg -pix_fmt yuvj420p -c:a aac {name}", av(320)));
        assert!(probed(&dir.path().join(name)).unwrap().video.is_some(), "{name}");
    }
}

/// Makes the first sound of an mp4 one that ffmpeg knows and cannot decode.
fn as_mpeg_h(from: &Path, to: &Path) -> PathBuf {
    let mut bytes = fs::read(from).unwrap();
    let find = |bytes: &[u8], what: &[u8; 4], after| {
        after + bytes[after..].windows(4).position(|window| window == what).unwrap()
    };
    let entry = find(&bytes, b"mp4a", 0);
    bytes[entry..entry + 4].copy_from_slice(b"mhm1");
    let esds = find(&bytes, b"esds", entry);
    bytes[esds..esds + 4].copy_from_slice(b"free");
    fs::write(to, bytes).unwrap();
    to.to_owned()
}

#[test]
fn what_cannot_be_decoded_gives_way() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    make(dir.path(), &format!("{} {} -map 0 -map 1 -map 3 {H264} two.mp4", av(320), av(320)));
    make(dir.path(), &format!("{} {H264} one.mp4", av(320)));
    assert_eq!(chosen(&as_mpeg_h(&at("two.mp4"), &at("two-h.mp4"))), (Some(0), Some(2)));
    // Where no other sound is there the picture plays, and the loss is reported.
    let found = probed(&as_mpeg_h(&at("one.mp4"), &at("one-h.mp4"))).unwrap();
    assert_eq!((found.video.map(|v| v.index), found.audio, found.unheard), (Some(0), None, true));
    assert!(!probed(&at("one.mp4")).unwrap().unheard);
}

#[test]
fn what_is_encrypted_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let key = "-encryption_scheme cenc-aes-ctr -encryption_key 76a6c65c5ea762046bd749a2e632ccbb \
               -encryption_kid a7e61c373e219033c21091fa607bf3b8";
    make(dir.path(), &format!("{} {H264} {key} film.mp4", av(320)));
    let failure = probed(&dir.path().join("film.mp4")).unwrap_err();
    assert_eq!(
        failure,
        ItemFailure::new(FailureReason::Unplayable, "it is encrypted, and there is no key to it")
    );
}
