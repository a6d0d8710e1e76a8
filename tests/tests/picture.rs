//! VIDEO_QUALITY with a rate, and a folder as FILLER, through tgs-stream.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{fs, path::Path, process::Command, time::Duration};

use tgs_e2e::{
    broadcast::Launch,
    clips::{Clip, PLAIN, VIDEO, Video, clip},
    flvcheck::{Report, brightness},
    ingest::Ingest,
};

const LIMIT: Duration = Duration::from_mins(1);

/// What ffprobe says about the picture: width, height and rate.
fn picture_of(file: &Path) -> String {
    let entries =
        ["-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height,r_frame_rate"];
    let output = Command::new("ffprobe").args(entries).args(["-of", "csv=p=0"]).arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_channel_of_25_has_25_frames_a_second_and_its_bitrate() {
    let film = clip("film25", (640, 360), "25", 44_100, 3000).path().unwrap();
    let launch = Launch::to("out.flv").unwrap().play([film]).arg("--once");
    let launch = launch.set("VIDEO_QUALITY", "360p25").set("VIDEO_BITRATE", "0.5M");
    let broadcast = launch.finish(LIMIT).unwrap();
    assert_eq!(broadcast.warnings(), [""; 0]);
    let out = broadcast.dir().join("out.flv");
    Report::of_file(&out).unwrap().check(25.0, 44_100.0).unwrap();
    assert_eq!(picture_of(&out), "640,360,25/1");
    assert_eq!(brightness(&out).unwrap().len(), 75);
}

#[test]
fn the_files_of_a_filler_folder_are_shown_in_turn() {
    let (home, ingest) = (tempfile::tempdir().unwrap(), Ingest::start().unwrap());
    let folder = home.path().join("filler");
    fs::create_dir(&folder).unwrap();
    for (name, colour) in [("a.mp4", "white"), ("b.mp4", "gray")] {
        let filters =
            if colour == "white" { ",drawbox=c=white:t=fill" } else { ",drawbox=c=0x303030:t=fill" };
        let video = Video { filters, size: (320, 180), millis: 1000, ..VIDEO };
        let made = Clip { name: colour, video: Some(video), ..PLAIN }.path().unwrap();
        fs::copy(made, folder.join(name)).unwrap();
    }
    fs::write(folder.join("notes.txt"), "no video").unwrap();
    let start = |to: &Ingest| {
        let launch = Launch::to(to.url("key")).unwrap().keeping(home.path());
        launch.play(["gone.mp4"]).set("FILLER", &folder).start().unwrap()
    };
    let first_ingest = Ingest::start().unwrap();
    let mut first = start(&first_ingest);
    first.wait_log(&["FILLER", "b.mp4", "is ready"], LIMIT).unwrap();
    first.wait_log(&["WARN", "FILLER", "notes.txt", "is left out"], LIMIT).unwrap();
    first.stop().unwrap();
    let mut broadcast = start(&ingest);
    broadcast.wait_metric("tgs_filler_seconds_total", 6.0, LIMIT).unwrap();
    broadcast.stop().unwrap();
    ingest.wait_ended(Duration::from_secs(5)).unwrap();
    let out = broadcast.dir().join("out.flv");
    ingest.record().unwrap().write_flv(&out).unwrap();
    Report::of_file(&out).unwrap().check(30.0, 44_100.0).unwrap();
    let luma: Vec<f64> = brightness(&out).unwrap().into_iter().map(|(_, luma)| luma).collect();
    let turns: Vec<bool> = luma.iter().map(|luma| *luma > 200.0).collect();
    let changes = turns.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes >= 2, "{luma:?}");
}
