//! Publishers that go live during a run, and what became of each.

use std::{
    process::{Child, Command, Stdio},
    time::{Instant, SystemTime},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tgs_control::Timestamp;

use crate::{broadcast::Line, colours::COLOURS, slot_starts::seconds};

/// LIVE_KEY of a run.
pub(super) const KEY: &str = "0123456789abcdef-programme";

/// A publisher's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// ffmpeg: 640x360, 25 fps, mono.
    Ffmpeg,
    /// GStreamer's rtmp2sink: 480x360, 30 fps, stereo. Without GStreamer: ffmpeg.
    GStreamer,
}

/// How a publisher ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// In order.
    Goodbye,
    /// By SIGKILL.
    Killed,
}

/// A publisher of the run.
#[derive(Debug)]
pub(super) struct PlannedLive {
    pub(super) name: String,
    pub(super) colour: &'static str,
    pub(super) client: Client,
    pub(super) leaving: Leaving,
    /// When it is started and ended.
    pub(super) at: Timestamp,
    pub(super) until: Timestamp,
    process: Option<Child>,
    is_over: bool,
}

/// What the log says about a publisher.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    /// When it sent its first keyframe, in seconds since the Unix epoch.
    pub(super) sends: f64,
    /// When it was taken for gone.
    pub(super) left: f64,
}

impl PlannedLive {
    pub(super) fn new(number: usize, colour: &'static str, client: Client, leaving: Leaving) -> Self {
        let found = tgs_core::process::find("gst-launch-1.0").is_ok();
        let client = if found { client } else { Client::Ffmpeg };
        let program = match client {
            Client::Ffmpeg => "ffmpeg",
            Client::GStreamer => "GStreamer",
        };
        let end = if leaving == Leaving::Killed { ", killed" } else { "" };
        Self {
            name: format!("{number} {program}{end}"),
            colour,
            client,
            leaving,
            at: Timestamp(0),
            until: Timestamp(0),
            process: None,
            is_over: false,
        }
    }

    /// Starts or ends it if that is due.
    pub(super) fn drive(&mut self, url: &str) -> Result<()> {
        let now = Timestamp::from(SystemTime::now());
        match &mut self.process {
            None if !self.is_over && now >= self.at => self.process = Some(self.spawn(url)?),
            Some(child) if now >= self.until => {
                let signal = match self.leaving {
                    Leaving::Goodbye => Signal::INT,
                    Leaving::Killed => Signal::KILL,
                };
                kill_process(Pid::from_child(child), signal).context("end the publisher")?;
                child.wait().context("wait for the publisher")?;
                (self.process, self.is_over) = (None, true);
            }
            _ => {}
        }
        Ok(())
    }

    fn spawn(&self, url: &str) -> Result<Child> {
        let rgb = COLOURS.iter().find(|(name, _)| *name == self.colour).map_or([0; 3], |(_, rgb)| *rgb);
        let colour = rgb.map(|part| format!("{part:02x}")).concat();
        let words = match self.client {
            Client::Ffmpeg => format!(
                "ffmpeg -nostdin -v error -re -f lavfi -i color=c=#{colour}:s=640x360:r=25 -re -f lavfi \
                 -i sine=r=48000 -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 50 \
                 -c:a aac -f flv {url}"
            ),
            Client::GStreamer => format!(
                "gst-launch-1.0 -q -e flvmux name=mux streamable=true ! rtmp2sink location={url} \
                 videotestsrc is-live=true pattern=solid-color foreground-color=0xff{colour} ! \
                 video/x-raw,width=480,height=360,framerate=30/1 ! x264enc speed-preset=ultrafast \
                 key-int-max=60 bitrate=500 ! h264parse ! queue ! mux. \
                 audiotestsrc is-live=true ! audio/x-raw,rate=44100,channels=2 ! voaacenc ! aacparse ! \
                 queue ! mux."
            ),
        };
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(words.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("start a publisher")
    }
}

impl Drop for PlannedLive {
    fn drop(&mut self) {
        if let Some(child) = &mut self.process {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The publishers in the log, in order.
pub(super) fn visits(log: &[Line]) -> Vec<Visit> {
    let (now, clock) = (Instant::now(), SystemTime::now());
    let time = |line: &Line| seconds(clock - now.saturating_duration_since(line.at));
    let mut visits: Vec<Visit> = Vec::new();
    for line in log {
        if line.text.contains("live input: “") && line.text.contains(" sends ") {
            visits.push(Visit { sends: time(line), left: f64::INFINITY });
        } else if line.text.contains("live input: the publisher has left")
            && let Some(visit) = visits.last_mut()
        {
            visit.left = time(line);
        }
    }
    visits
}
