//! A film, what is drawn over it, and the pictures that come out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tgs_core::cancel::Cancel;
use tgs_playout::{
    ffmpeg::{EncodeJob, EncodeSetup, ExtraArgs, Processing, draw, look::Look, probe, setup::FONT_FILE},
    item::{Item, Media, MediaPart},
    profile::Profile,
};

pub(crate) const WIDTH: usize = 320;
pub(crate) const HEIGHT: usize = 180;
pub(crate) const PROFILE: Profile = Profile { width: 320, height: 180, video_kbps: 1500, ..Profile::P720 };

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub(crate) fn ffmpeg(dir: &Path, args: &[&str]) {
    let done = Command::new("ffmpeg")
        .current_dir(dir)
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args)
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A directory with `film.mp4`: four seconds of blue, and a tone.
pub(crate) fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let source = "color=0x2040c0:s=320x180:r=25:d=4";
    let matrix = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p";
    ffmpeg(
        dir.path(),
        &[
            "-f",
            "lavfi",
            "-i",
            source,
            "-f",
            "lavfi",
            "-i",
            "sine=d=4",
            "-vf",
            matrix,
            "-colorspace",
            "bt709",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-c:a",
            "aac",
            "film.mp4",
        ],
    );
    fs::create_dir(dir.path().join("fonts")).unwrap();
    let font = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/slate.ttf");
    fs::copy(font, dir.path().join(FONT_FILE)).unwrap();
    dir
}

pub(crate) fn setup(dir: &Path, look: Look) -> EncodeSetup {
    EncodeSetup {
        ffmpeg: "ffmpeg".into(),
        ffprobe: "ffprobe".into(),
        profile: PROFILE,
        processing: Processing { look, ..Processing::default() },
        extra: ExtraArgs::default(),
        scratch: dir.to_owned(),
        image_duration: seconds(2.0),
        short_groups: false,
    }
}

/// An item of the file `name`, from `start` on.
pub(crate) fn item(dir: &Path, name: &str, start: f64, part: MediaPart) -> Item {
    let media = Media { part, ..Media::at(format!("file:{}", dir.join(name).display()), false) };
    Item { id: name.into(), turn: 0, title: name.into(), start: seconds(start), media }
}

/// The pictures of an encoded item.
pub(crate) struct Pictures {
    pub(crate) file: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn encoded(setup: &EncodeSetup, item: &Item) -> Pictures {
    let wanted = setup.wanted();
    let mut found = probe::probe(Path::new("ffprobe"), &item.media, wanted, &Cancel::new()).unwrap();
    draw::prepare_item(setup, item, &mut found, Some(draw::BRIEF), &Cancel::new());
    let job = EncodeJob::item(item, &found, setup);
    pictures_of(setup, &job)
}

pub(crate) fn pictures_of(setup: &EncodeSetup, job: &EncodeJob) -> Pictures {
    let done = job.command(setup).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let file = setup.scratch.join(format!("out-{}.flv", done.stdout.len()));
    fs::write(&file, &done.stdout).unwrap();
    Pictures { file, bytes: done.stdout }
}

impl Pictures {
    pub(crate) fn count(&self) -> usize {
        let done = Command::new("ffprobe")
            .args(["-v", "error", "-count_packets", "-select_streams", "v"])
            .args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"])
            .arg(&self.file)
            .output()
            .unwrap();
        String::from_utf8_lossy(&done.stdout).trim().trim_end_matches(',').parse().unwrap()
    }

    /// All pictures.
    pub(crate) fn all(&self) -> Vec<Picture> {
        let how =
            "-fps_mode passthrough -vf scale=in_color_matrix=bt709:in_range=tv,format=rgb24 -f rawvideo -";
        let done = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(&self.file)
            .args(how.split(' '))
            .output()
            .unwrap();
        done.stdout.chunks_exact(WIDTH * HEIGHT * 3).map(|picture| Picture(picture.to_vec())).collect()
    }

    /// The picture `at` seconds.
    pub(crate) fn at(&self, at: f64) -> Picture {
        let number = (at * 30.0).round();
        let done = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(&self.file)
            .args([
                "-vf",
                &format!("select=gte(n\\,{number}),scale=in_color_matrix=bt709:in_range=tv,format=rgb24"),
            ])
            .args(["-frames:v", "1", "-f", "rawvideo", "-"])
            .output()
            .unwrap();
        assert_eq!(done.stdout.len(), WIDTH * HEIGHT * 3, "{}", String::from_utf8_lossy(&done.stderr));
        Picture(done.stdout)
    }
}

pub(crate) struct Picture(pub(crate) Vec<u8>);

impl Picture {
    /// The number of white pixels in the lower half.
    pub(crate) fn low_white(&self) -> usize {
        self.0[WIDTH * HEIGHT / 2 * 3..].chunks(3).filter(|rgb| rgb.iter().all(|part| *part > 170)).count()
    }

    pub(crate) fn pixel(&self, x: usize, y: usize) -> [i32; 3] {
        let at = (y * WIDTH + x) * 3;
        [0, 1, 2].map(|plane| i32::from(self.0[at + plane]))
    }

    pub(crate) fn is(&self, x: usize, y: usize, wanted: [i32; 3]) -> bool {
        self.pixel(x, y).iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() <= 14)
    }

    /// The pixels that `like` describes: their number, and the box around them.
    pub(crate) fn find(&self, like: impl Fn([i32; 3]) -> bool) -> (usize, [usize; 4]) {
        let (mut count, mut within) = (0, [WIDTH, HEIGHT, 0, 0]);
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                if like(self.pixel(x, y)) {
                    count += 1;
                    within = [within[0].min(x), within[1].min(y), within[2].max(x), within[3].max(y)];
                }
            }
        }
        (count, within)
    }

    pub(crate) fn white(&self) -> (usize, [usize; 4]) {
        self.find(|[r, g, b]| r > 170 && g > 170 && b > 170)
    }
}

/// A list that ffmpeg would follow to another file, if it went by the content.
pub(crate) fn list_of(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:4,\nfile:{}\n", path.display())
}
