//! Checks ffmpeg: version, encoders, and a test encode with FFMPEG_ARGS.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::bail;
use tgs_core::{process, settings::Settings};
use tgs_playout::{
    ffmpeg::{EncodeSetup, ExtraArgs, Processing, args_probe},
    profile::Profile,
};

use crate::{context::DiagContext, finding::Finding, ingest::by_ffmpeg, runner::CheckSink};

const INSTALL: &str =
    "install ffmpeg (Debian, Ubuntu: apt-get install ffmpeg), or set FFMPEG_PATH to another one";

/// Required encoders, and what fails without each.
const ENCODERS: [(&str, &str); 2] =
    [("libx264", "no picture can be encoded"), ("aac", "no sound can be encoded")];

/// Runs all ffmpeg checks.
pub(crate) fn look(context: &DiagContext, out: &CheckSink) {
    let Some(settings) = &context.settings else {
        return out.say(Finding::unseen("ffmpeg", "the settings cannot be read"));
    };
    let unseen = |why: &str| {
        out.say_all(["ffmpeg-encoders", "ffmpeg-args"].map(|check| Finding::unseen(check, why)));
    };
    let ffmpeg = match context.find(settings.ffmpeg_path.as_os_str()) {
        Ok(ffmpeg) => ffmpeg,
        Err(why) => {
            out.say(Finding::fail("ffmpeg", why.to_string(), INSTALL));
            return unseen("there is no ffmpeg");
        }
    };
    let version = match ask(&ffmpeg, "-version", out) {
        Ok(text) => text.lines().next().unwrap_or_default().to_owned(),
        Err(why) => {
            out.say(Finding::fail("ffmpeg", format!("{} does not run: {why}", ffmpeg.display()), INSTALL));
            return unseen("ffmpeg does not run");
        }
    };
    out.say(Finding::pass("ffmpeg", shown_version(&version)));
    out.say(probe(context, settings, &ffmpeg, out));
    out.say_all(match ask(&ffmpeg, "-encoders", out) {
        Ok(text) => encoders(&text),
        Err(why) => vec![Finding::unseen("ffmpeg-encoders", why)],
    });
    if by_ffmpeg(settings) {
        out.say_all(ask(&ffmpeg, "-protocols", out).ok().map(|text| protocols(&text)));
    }
    out.say(arguments(context, settings, &ffmpeg, &version, out));
}

/// Checks ffprobe: the one beside ffmpeg, else the one in PATH.
fn probe(context: &DiagContext, settings: &Settings, ffmpeg: &Path, out: &CheckSink) -> Finding {
    let beside = settings.ffmpeg_path.with_file_name("ffprobe");
    let found = if settings.ffmpeg_path.components().count() > 1 && beside.exists() {
        Ok(beside)
    } else {
        context.find("ffprobe".as_ref())
    };
    match found.map_err(Into::into).and_then(|ffprobe| ask(&ffprobe, "-version", out).map(|_| ffprobe)) {
        Ok(ffprobe) => Finding::pass("ffprobe", format!("{} runs", ffprobe.display())),
        Err(why) => {
            Finding::fail("ffprobe", format!("it does not run beside {}: {why}", ffmpeg.display()), INSTALL)
        }
    }
}

/// The stdout of `program` with `option`.
fn ask(program: &Path, option: &str, out: &CheckSink) -> anyhow::Result<String> {
    let mut command = process::command(program);
    command.args(["-hide_banner", option]);
    let limit = out.left().min(Duration::from_secs(10));
    let output = process::output(command, limit, 4 << 20, &out.cancel)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    bail!("{}", process::describe(output.status))
}

/// The version line up to ` Copyright`.
fn shown_version(line: &str) -> String {
    line.split(" Copyright").next().unwrap_or(line).to_owned()
}

fn encoders(list: &str) -> Vec<Finding> {
    // ` V....D libx264              libx264 H.264 …`
    let known = |name: &str| list.lines().any(|line| line.split_whitespace().nth(1) == Some(name));
    let missing = ENCODERS.iter().filter(|(name, _)| !known(name));
    let findings: Vec<_> = missing
        .map(|(name, without)| {
            let text = format!("this ffmpeg was built without the encoder {name}: {without}");
            Finding::fail("ffmpeg-encoders", text, INSTALL)
        })
        .collect();
    if findings.is_empty() {
        vec![Finding::pass("ffmpeg-encoders", "libx264 and aac are there")]
    } else {
        findings
    }
}

fn protocols(list: &str) -> Finding {
    let output = list.split_once("Output:").map_or(list, |(_, output)| output);
    if output.lines().any(|line| line.trim() == "rtmps") {
        return Finding::pass("ffmpeg-rtmps", "ffmpeg can publish by rtmps");
    }
    Finding::warn("ffmpeg-rtmps", "this ffmpeg cannot publish by rtmps, and PUBLISHER=ffmpeg lets it publish")
        .with_remedy("leave PUBLISHER out, or install an ffmpeg with TLS")
}

/// Encodes three seconds, as tgs-stream does before it uses FFMPEG_ARGS. The temporary directory
/// discards the cached verdict and all files.
fn arguments(
    context: &DiagContext,
    settings: &Settings,
    ffmpeg: &Path,
    version: &str,
    out: &CheckSink,
) -> Finding {
    let check = "ffmpeg-args";
    let given = !settings.ffmpeg_args.trim().is_empty();
    let remedy =
        if given { "fix or remove FFMPEG_ARGS; until then tgs-stream starts without them" } else { INSTALL };
    let extra = match ExtraArgs::parse(&settings.ffmpeg_args) {
        Ok(extra) => extra,
        Err(why) => return Finding::fail(check, format!("FFMPEG_ARGS cannot be used: {why}"), remedy),
    };
    let scratch = context.scratch.as_ref().map(tempfile::tempdir_in);
    let Some(Ok(dir)) = scratch else {
        return Finding::unseen(check, "no temporary directory could be created");
    };
    let picture = &settings.picture;
    let size = picture.quality;
    let profile = Profile::new(size.height, size.fps, picture.kbps);
    let scratch: PathBuf = dir.path().to_owned();
    let image_duration = settings.image_duration;
    let ffmpeg = ffmpeg.to_owned();
    let processing = Processing::default();
    let setup = EncodeSetup {
        ffmpeg,
        ffprobe: settings.ffprobe_path(),
        profile,
        processing,
        extra,
        scratch,
        image_duration,
        short_groups: false,
    };
    let began = Instant::now();
    let tried = args_probe::prove(&setup, version, dir.path(), &out.cancel);
    let took = began.elapsed();
    let of = if given { "with FFMPEG_ARGS" } else { "(FFMPEG_ARGS is not set)" };
    match tried {
        _ if out.cancel.is_cancelled() => {
            Finding::fail(check, format!("the trial of {size} {of} did not end in time"), remedy)
        }
        Err(why) if given => Finding::fail(check, format!("FFMPEG_ARGS do not work: {why}"), remedy),
        Err(why) => Finding::fail(check, format!("ffmpeg cannot encode the broadcast: {why}"), remedy),
        Ok(()) => {
            let text = format!("3 s of {size} {of} were encoded in {:.1} s", took.as_secs_f32());
            if took < Duration::from_secs(3) {
                return Finding::pass(check, text);
            }
            Finding::warn(check, format!("{text}: slower than they are played, beside what else runs here"))
                .with_remedy("choose a smaller VIDEO_QUALITY or a faster -preset, or a faster machine")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    #[test]
    fn what_ffmpeg_was_built_with() {
        let full =
            " V....D libx264              libx264 H.264\n A....D aac                  AAC (Advanced)\n";
        assert_eq!(encoders(full)[0].level, Level::Pass);
        let found = encoders(" V....D libx264rgb           x\n A....D aac                  AAC\n");
        assert_eq!(
            (found.len(), &*found[0].text),
            (1, "this ffmpeg was built without the encoder libx264: no picture can be encoded")
        );
        assert_eq!(protocols("Input:\n  rtmps\nOutput:\n  rtmp\n").level, Level::Warn);
        assert_eq!(protocols("Input:\nOutput:\n  rtmps\n").level, Level::Pass);
        assert_eq!(shown_version("ffmpeg version 5.1.9-0 Copyright (c) 2000"), "ffmpeg version 5.1.9-0");
    }
}
