//! The surroundings of the soaked broadcast, and its faults. Does not judge the result.

use std::{
    fs::{self, File},
    path::Path,
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use fastrand::Rng;
use rustix::process::Signal;
use tgs_e2e::{
    broadcast::{Broadcast, Process, resident},
    clips::noisy,
    disk::Disk,
    ingest::{Message, Setup},
    telegram::Scene,
    web::{Page, Web},
};

use crate::step;

/// Smaller than the encoded list, so that entries are evicted.
const DISK: &str = "6m";
/// Where the item lies that comes by HTTP.
const FILM: &str = "/film.mp4";
/// Delay until an operator replaces the session if the standby has not.
const OPERATOR: Duration = Duration::from_secs(90);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Stop,
    Ingest,
    Disk,
    Url,
    Session,
}

impl Fault {
    pub(super) const ALL: [Self; 6] =
        [Self::Kill, Self::Stop, Self::Ingest, Self::Disk, Self::Url, Self::Session];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "child killed (SIGKILL)",
            Self::Stop => "child stopped (SIGSTOP)",
            Self::Ingest => "ingest restarted",
            Self::Disk => "disk of the cache full",
            Self::Url => "URL dead",
            Self::Session => "session revoked",
        }
    }
}

/// The broadcast and its surroundings.
pub(super) struct Stage {
    rng: Rng,
    film: Vec<u8>,
    web: Web,
    /// None: not root.
    disk: Option<Disk>,
    pub(super) broadcast: Broadcast,
    scene: Scene,
    pub(super) messages: Receiver<(usize, Message)>,
    /// Kinds left in this round, shuffled.
    due: Vec<Fault>,
    /// What ends when.
    pending: Vec<(Instant, Fault)>,
    /// The string that was in `.env` when its session was revoked.
    revoked: Option<String>,
    /// When the ingest came back last.
    pub(super) ingest_back: Option<Instant>,
    pub(super) ingest_away: bool,
    /// Sessions that the standby replaced, and those that the operator had to.
    pub(super) mended: (u32, u32),
}

impl Stage {
    /// Everything at work; `tools` holds tgs-stream and tgs-session, `log` takes the log.
    pub(super) fn set(tools: &Path, log: File, rng: Rng) -> Result<Self> {
        let scene = Scene::new()?.with_standby_of(tools)?;
        let (pass_on, messages) = mpsc::channel();
        scene.ingest.set(Setup { pass_on: Some(pass_on), ..Setup::default() });
        let disk = Disk::of(DISK).inspect_err(|error| {
            step::say(&format!("WITHOUT THE FAULT “{}”: {error:#}", Fault::Disk.name()));
        });
        let disk = disk.ok();
        let film = fs::read(noisy("soak-film", 30_000).path()?)?;
        let web = Web::serve([(FILM, Page::Whole(film.clone()))])?;
        let mut launch = scene
            .launch_in_real_time()?
            .log_to(log)
            .set("RUST_LOG", "info")
            .set("CACHE_MAX_GB", "1")
            .set("SHUFFLE", "1");
        if let Some(disk) = &disk {
            launch = launch.set("CACHE_DIR", disk.path());
        }
        for (name, millis) in
            [("soak1", 9_000), ("soak2", 10_500), ("soak3", 12_300), ("soak4", 14_100), ("soak5", 7_700)]
        {
            launch = launch.play([noisy(name, millis).path()?]);
        }
        let broadcast = launch.arg(web.url(FILM)).arg(scene.env_file().with_file_name("gone.mp4")).start()?;
        Ok(Self {
            rng,
            film,
            web,
            disk,
            broadcast,
            scene,
            messages,
            due: Vec::new(),
            pending: Vec::new(),
            revoked: None,
            ingest_back: None,
            ingest_away: false,
            mended: (0, 0),
        })
    }

    /// Causes a fault that is possible now and returns it. Each kind occurs once a round.
    pub(super) fn inject(&mut self) -> Result<Option<(Fault, String)>> {
        let mut others = Fault::ALL;
        self.rng.shuffle(&mut others);
        if self.due.is_empty() {
            self.due.extend(others);
        }
        for fault in [&self.due[..], &others].concat() {
            if self.pending.iter().any(|(_, pending)| *pending == fault) {
                continue;
            }
            if let Some((words, lasts)) = self.befall(fault)? {
                self.due.retain(|due| *due != fault);
                self.pending.extend(lasts.map(|lasts| (Instant::now() + lasts, fault)));
                return Ok(Some((fault, words)));
            }
        }
        Ok(None)
    }

    /// What was done and how long it lasts where it does. `None` where there is nothing to do it
    /// to.
    fn befall(&mut self, fault: Fault) -> Result<Option<(String, Option<Duration>)>> {
        let mut seconds = |from: u64, to: u64| Duration::from_millis(self.rng.u64(from * 1000..=to * 1000));
        Ok(match fault {
            Fault::Kill | Fault::Stop => {
                let children = self.broadcast.processes();
                let Some(child) = self.rng.choice(&children) else { return Ok(None) };
                let signal = if fault == Fault::Kill { Signal::KILL } else { Signal::STOP };
                // It may have ended by itself meanwhile.
                child.signal(signal).is_ok().then(|| (describe(child), None))
            }
            Fault::Ingest => {
                let away = seconds(0, 8);
                self.ingest_away = true;
                self.scene.ingest.refuse();
                self.scene.ingest.reset();
                Some((format!("for {:.1} s", away.as_secs_f64()), Some(away)))
            }
            Fault::Disk => {
                let full = seconds(10, 60);
                let Some(disk) = &self.disk else { return Ok(None) };
                disk.fill(0)?;
                Some((format!("for {:.0} s", full.as_secs_f64()), Some(full)))
            }
            Fault::Url => {
                let dead = seconds(5, 60);
                let share = self.rng.f64();
                let film = self.film.clone();
                let (words, page) = match self.rng.u8(0..4) {
                    0 => ("refuses", Page::Refuses("503 Service Unavailable")),
                    1 => ("hangs", Page::Hangs),
                    2 => ("dies half-way", Page::DiesAt(film, share)),
                    _ => ("stalls half-way", Page::StallsAt(film, share)),
                };
                self.web.set(FILM, page);
                Some((format!("{words}, for {:.0} s", dead.as_secs_f64()), Some(dead)))
            }
            Fault::Session => {
                let string = self.scene.read("SESSION_STRING")?;
                self.scene.revoke()?;
                self.revoked = Some(string);
                Some(("at Telegram".to_owned(), Some(OPERATOR)))
            }
        })
    }

    /// Ends the faults that are due.
    pub(super) fn mend(&mut self) -> Result<()> {
        let now = Instant::now();
        let due = |(at, _): &(Instant, Fault)| *at <= now;
        for (_, fault) in self.pending.extract_if(.., |pending| due(pending)).collect::<Vec<_>>() {
            match fault {
                Fault::Ingest => {
                    self.scene.ingest.listen()?;
                    self.ingest_back = Some(Instant::now());
                    self.ingest_away = false;
                }
                Fault::Disk => self.disk.as_ref().map_or(Ok(()), Disk::free)?,
                Fault::Url => self.web.set(FILM, Page::Whole(self.film.clone())),
                Fault::Session if self.revoked == Some(self.scene.read("SESSION_STRING")?) => {
                    let new = self.scene.new_session()?.telethon_string();
                    self.scene.set("SESSION_STRING", &new)?;
                    self.mended.1 += 1;
                }
                Fault::Session => self.mended.0 += 1,
                Fault::Kill | Fault::Stop => {}
            }
        }
        Ok(())
    }

    /// When the next one is due.
    pub(super) fn next_mend(&self) -> Option<Instant> {
        self.pending.iter().map(|(at, _)| *at).min()
    }

    /// The resident memory of tgs-stream in MiB.
    pub(super) fn memory(&self) -> Result<f64> {
        resident(self.broadcast.pid()).context("tgs-stream is gone")
    }
}

/// A child by what it does.
fn describe(child: &Process) -> String {
    let program = child.args.first().map_or("?", String::as_str);
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    if child.is_encoder() { "an encoder".to_owned() } else { format!("{name} ({})", child.pid) }
}
