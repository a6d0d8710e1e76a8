//! What is done to the sound of items, with the real ffmpeg: measured in what the encoder makes and
//! in what the engine sends.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "sound/engine.rs"]
mod engine_run;
mod ffmpeg;
#[path = "sound/measured.rs"]
mod measured;

use std::{fs, path::Path, time::Duration};

use engine_run::{ProgrammeOf, kept, run};
use ffmpeg::make;
use measured::{encode, loudness, options, tone};
use tgs_core::language::Languages;
use tgs_playout::ffmpeg::{
    Probe,
    loudness::{Bound, LoudnessTarget},
    sound::{Side, SoundOptions},
};

/// Music: a chord that swells, over noise. Speech: syllables with pauses. Film: quiet, with hits
/// whose peaks are limited.
const KINDS: [(&str, &str); 3] = [
    (
        "music",
        "aevalsrc=(0.2*sin(1383*t)+0.2*sin(1742*t)+0.15*sin(5224*t))*(0.7+0.3*sin(3*t))+0.03*random(0):d=5:s=48000",
    ),
    (
        "speech",
        "anoisesrc=d=5:c=pink:r=48000:a=0.6:seed=3,highpass=200,lowpass=3500,tremolo=f=4:d=0.8,\
         volume='if(lt(mod(t,2),1.6),1,0.02)':eval=frame",
    ),
    (
        "film",
        "aevalsrc='0.06*(random(0)-0.5)+0.1*sin(900*t)*(0.6+0.4*sin(9*t))+1.2*exp(-14*mod(t,0.6))*sin(700*t)':d=5:s=48000",
    ),
];

/// Makes `name` from the source `graph`, as loud as `lufs`; its samples stay below full scale.
fn made_at(dir: &Path, name: &str, graph: &str, lufs: f64) {
    if !dir.join("base.wav").exists() {
        make_graph(dir, &format!("{graph},aformat=channel_layouts=stereo"), "base.wav");
    }
    let mut gain = lufs - loudness(&dir.join("base.wav")).0;
    // The limiter takes loudness away, which the next turn adds.
    for _ in 0..3 {
        let how = format!("volume={gain:.2}dB,alimiter=limit=0.98:level=false");
        make(dir, &format!("-i base.wav -af {how} -c:a pcm_f32le {name}"));
        let (now, _) = loudness(&dir.join(name));
        gain += lufs - now;
        if (lufs - now).abs() < 0.1 {
            return;
        }
    }
}

/// A graph has spaces nowhere, but quotes.
fn make_graph(dir: &Path, graph: &str, name: &str) {
    make(dir, &format!("-f lavfi -i {graph} -c:a pcm_f32le {name}"));
}

/// Encodes items of this kind of seven levels, and measures them.
fn assert_as_loud_as_the_target((kind, graph): (&str, &str)) {
    let dir = tempfile::tempdir().unwrap();
    let mut all = true;
    for lufs in [-35.0, -28.0, -23.0, -20.0, -16.0, -10.0, -6.0] {
        let name = format!("{kind}{lufs}.wav");
        made_at(dir.path(), &name, graph, lufs);
        let encoded = encode(dir.path(), &name, &options());
        let (now, peak) = loudness(&encoded.path);
        let gain = encoded.gain.unwrap();
        let even = gain.bound.is_none() && (now + 16.0).abs() <= 0.5;
        let held = gain.bound == Some(Bound::Peak) && now < -16.0;
        let good = (even || held) && peak <= -0.5;
        println!("{}{name}: {gain:?}: {now:.1} LUFS, {peak:.1} dBTP", if good { "" } else { "MISS " });
        all &= good;
    }
    assert!(all, "see above");
}

#[test]
fn music_of_any_level_is_as_loud_as_the_target() {
    assert_as_loud_as_the_target(KINDS[0]);
}

#[test]
fn speech_of_any_level_is_as_loud_as_the_target() {
    assert_as_loud_as_the_target(KINDS[1]);
}

#[test]
fn film_of_any_level_is_as_loud_as_the_target() {
    assert_as_loud_as_the_target(KINDS[2]);
}

#[test]
fn bounds_keep_hiss_silence_and_peaks() {
    let dir = tempfile::tempdir().unwrap();
    // -35 LUFS with clicks that peak near -3 dBFS.
    make_graph(
        dir.path(),
        "anoisesrc=d=5:c=pink:r=48000:a=0.5:seed=3,volume=-21dB,aeval=val(0)+if(lt(mod(n\\,48000)\\,4)\\,0.7\\,0),aformat=channel_layouts=stereo",
        "peaks.wav",
    );
    make_graph(
        dir.path(),
        "anoisesrc=d=5:c=pink:r=48000:a=0.5:seed=3,volume=-45dB,aformat=channel_layouts=stereo",
        "hiss.wav",
    );
    make_graph(dir.path(), "anullsrc=d=5:r=48000", "silence.wav");
    make_graph(dir.path(), "sine=f=440:r=48000:d=0.3", "short.wav");
    for (name, bound) in [
        ("peaks.wav", Bound::Peak),
        ("hiss.wav", Bound::Hiss),
        ("silence.wav", Bound::Silent),
        ("short.wav", Bound::Silent),
    ] {
        let (before, top) = loudness(&dir.path().join(name));
        let encoded = encode(dir.path(), name, &options());
        let (after, peak) = loudness(&encoded.path);
        let gain = encoded.gain.unwrap();
        println!("{name}: {before} LUFS {top} dBTP, {gain:?}, {after} LUFS {peak} dBTP");
        assert_eq!(gain.bound, Some(bound), "{name}");
        assert!(peak <= -0.5 || peak == f64::NEG_INFINITY, "{name}: {peak}");
        if bound == Bound::Peak {
            assert!(gain.limiting > 5.9 && (top + gain.db - 4.5).abs() < 0.1, "{gain:?}");
            assert!(after < -16.5 && after > before + 3.0, "{before} became {after}");
        } else if bound == Bound::Hiss {
            assert!((after - before).abs() < 1.0, "{before} became {after}");
        }
    }
}

#[test]
fn a_dialogue_in_the_centre_is_as_loud_as_in_the_stereo_mix() {
    let dir = tempfile::tempdir().unwrap();
    let tone = "sine=f=440:r=48000:d=4,volume=10dB,aformat=channel_layouts=mono";
    make_graph(dir.path(), &format!("{tone},pan=5.1|FC=c0"), "centre.wav");
    make_graph(dir.path(), &format!("{tone},pan=stereo|FL=0.7071*c0|FR=0.7071*c0"), "mix.wav");
    make_graph(dir.path(), &format!("{tone},pan=5.1|LFE=c0"), "lfe.wav");
    make_graph(dir.path(), tone, "mono.wav");
    make(dir.path(), "-i centre.wav -c:a ac3 -b:a 384k centre.mkv");
    let plain = SoundOptions::default();
    let of = |name: &str| loudness(&encode(dir.path(), name, &plain).path).0;
    let mix = of("mix.wav");
    for name in ["centre.wav", "centre.mkv", "mono.wav"] {
        let now = of(name);
        assert!((now - mix).abs() <= 0.3, "{name}: {now} LUFS, the mix {mix}");
    }
    assert!(of("lfe.wav") <= -60.0);
}

#[test]
fn the_language_is_heard_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let tracks = "-f lavfi -i sine=f=400:d=2 -f lavfi -i sine=f=800:d=2 -f lavfi -i sine=f=1600:d=2 -map 0 -map 1 -map 2";
    let tags = "-metadata:s:a:0 language=rus -metadata:s:a:1 language=eng -metadata:s:a:2 language=eng";
    let flags = "-disposition:a:0 default -disposition:a:1 0 -disposition:a:2 default+comment";
    make(dir.path(), &format!("{tracks} {tags} {flags} -c:a aac film.mkv"));
    let heard = |name: &str, languages: &str| {
        let languages = Languages::parse(languages).unwrap();
        tone(&encode(dir.path(), name, &SoundOptions { languages, ..SoundOptions::default() }).path)
    };
    for (languages, frequency) in [("en", 800), ("ru", 400), ("de,eng", 800), ("de", 400)] {
        assert_eq!(heard("film.mkv", languages), frequency, "{languages}");
    }
    for tag in ["deu", "ger", "de", "German"] {
        let tags = format!("-metadata:s:a:0 language=rus -metadata:s:a:1 language={tag}");
        make(dir.path(), &format!("-i film.mkv -map 0:0 -map 0:1 -c copy {tags} tag.mkv"));
        assert_eq!(heard("tag.mkv", "de"), 800, "{tag}");
    }
}

#[test]
fn one_side_of_a_dual_mono_sound_is_heard_on_both() {
    let dir = tempfile::tempdir().unwrap();
    make_graph(dir.path(), "sine=f=400:d=2[l];sine=f=1600:d=2[r];[l][r]amerge=inputs=2", "dual.wav");
    for (side, frequency) in [(Side::Left, 400), (Side::Right, 1600)] {
        let options = SoundOptions { side: Some(side), ..options() };
        let encoded = encode(dir.path(), "dual.wav", &options);
        assert_eq!(tone(&encoded.path), frequency, "{side:?}");
        let (now, _) = loudness(&encoded.path);
        assert!((now + 16.0).abs() <= 0.5, "{side:?}: {now} LUFS");
    }
}

#[test]
fn fades_begin_and_end_with_the_sound() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "-f lavfi -i sine=f=400:r=44100:d=3 -af volume=12dB -c:a libmp3lame -b:a 128k song.mp3");
    let faded = SoundOptions { fade: Duration::from_millis(500), ..SoundOptions::default() };
    let plain = measured::levels(&encode(dir.path(), "song.mp3", &SoundOptions::default()).path);
    let levels = measured::levels(&encode(dir.path(), "song.mp3", &faded).path);
    // Tenths of a second: the first and the last rise and fall, the middle is as it was.
    let middle = plain[15];
    assert!(levels[0] < middle * 0.2 && levels[2] > middle * 0.3 && levels[2] < middle * 0.7, "{levels:?}");
    assert!((levels[15] - middle).abs() < middle * 0.05, "{levels:?}");
    let last = levels.iter().rposition(|level| *level > middle * 0.02).unwrap();
    assert!((28..=31).contains(&last), "{last}: {levels:?}");
    assert!(levels[last] < middle * 0.25 && levels[26] < middle * 0.9, "{levels:?}");
}

#[test]
fn a_container_that_states_too_short_a_sound_silences_little() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "-f lavfi -i sine=f=400:r=44100:d=4 -c:a pcm_s16le long.wav");
    let faded = SoundOptions { fade: Duration::from_millis(10), ..SoundOptions::default() };
    let lie = |found: &mut Probe| found.audio.as_mut().unwrap().duration = Some(Duration::from_secs(2));
    let levels = measured::levels(&measured::encode_as(dir.path(), "long.wav", &faded, lie).path);
    let silent = levels[..39].iter().filter(|level| **level < 0.01).count();
    assert!((1..=3).contains(&silent), "{levels:?}");
}

#[test]
fn a_join_of_two_tones_makes_no_step() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["low.wav", "high.wav"];
    make(dir.path(), "-f lavfi -i sine=f=200:r=44100:d=2.013 -af volume=12dB low.wav");
    make(dir.path(), "-f lavfi -i sine=f=333:r=44100:d=2 -af volume=12dB,atrim=start=0.0007 high.wav");
    let files: Vec<_> = names.iter().map(|name| dir.path().join(name)).collect();
    let fade = Duration::from_millis(10);
    let out = run(dir.path(), ProgrammeOf::files(&files), &SoundOptions { fade, ..SoundOptions::default() });
    let samples = measured::samples(&out);
    let steps: Vec<f64> = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let most = steps.iter().copied().fold(0.0, f64::max);
    // The steepest of the higher tone.
    let own = std::f64::consts::TAU * 333.0 / 44_100.0 * 0.5;
    assert!(most <= own * 1.1, "a step of {most:.4} where the material has {own:.4}");
}

#[test]
fn an_item_is_measured_in_time_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    for (name, lufs) in [("quiet.wav", -35.0), ("loud.wav", -6.0)] {
        made_at(dir.path(), name, KINDS[0].1, lufs);
        let out = run(dir.path(), ProgrammeOf::files(&[dir.path().join(name)]), &options());
        let (now, peak) = loudness(&out);
        assert!((now + 16.0).abs() <= 0.5 && peak <= -0.5, "{name}: {now} LUFS, {peak} dBTP");
    }
    assert_eq!(kept(dir.path()), 2);
    assert_eq!(fs::read_dir(dir.path().join("cache/loudness")).unwrap().count(), 2);
}

#[test]
fn a_page_is_measured_while_it_plays_and_kept_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    made_at(dir.path(), "talk.wav", KINDS[1].1, -30.0);
    make(dir.path(), "-i talk.wav -c:a aac -b:a 192k talk.mp4");
    let url = engine_run::serve(dir.path(), "talk.mp4");
    let page = || ProgrammeOf::page(&url);
    run(dir.path(), page(), &options());
    assert_eq!(kept(dir.path()), 0, "evened out while it played");
    assert_eq!(fs::read_dir(dir.path().join("cache/loudness")).unwrap().count(), 1);
    let out = run(dir.path(), page(), &options());
    let (now, peak) = loudness(&out);
    assert!((now + 16.0).abs() <= 0.5 && peak <= -0.5, "{now} LUFS, {peak} dBTP");
    assert_eq!(kept(dir.path()), 1);
}

#[test]
fn passthrough_copies_the_picture_and_evens_out_the_sound() {
    let dir = tempfile::tempdir().unwrap();
    let x264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -bf 0 -g 60 -c:a aac -ar 44100 -ac 2";
    let film = format!(
        "-f lavfi -i testsrc2=s=160x90:r=30:d=4 -f lavfi -i sine=f=440:r=44100:d=4 -af volume=-14dB -b:v 100k {x264} film.mp4"
    );
    make(dir.path(), &film);
    let files = [dir.path().join("film.mp4")];
    let copying = || ProgrammeOf { copy: true, ..ProgrammeOf::files(&files) };
    let plain = run(dir.path(), copying(), &SoundOptions::default());
    let pictures = |path: &Path| measured::pictures(path);
    let (copied, before) = (pictures(&plain), loudness(&plain).0);
    let out = run(dir.path(), copying(), &options());
    assert_eq!(pictures(&out), copied, "the picture is not the source's");
    let (now, _) = loudness(&out);
    assert!(before < -25.0 && (now + 16.0).abs() <= 0.5, "{before} became {now} LUFS");
}

#[test]
fn another_target_is_another_loudness() {
    let dir = tempfile::tempdir().unwrap();
    made_at(dir.path(), "a.wav", KINDS[0].1, -20.0);
    let target = LoudnessTarget { lufs: -23.0, peak: -3.0 };
    let encoded = encode(dir.path(), "a.wav", &SoundOptions { loudness: Some(target), ..options() });
    let (now, _) = loudness(&encoded.path);
    assert!((now + 23.0).abs() <= 0.5, "{now} LUFS");
}
