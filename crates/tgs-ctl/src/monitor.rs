//! `monitor`: the broadcast's media, to stdout or as one picture.

use std::{
    env,
    io::{self, ErrorKind, Read, Write, stdout},
    os::fd::OwnedFd,
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context, anyhow};
use std::io::IsTerminal;
use tgs_control::ControlClient;
use tgs_core::{
    cancel::Cancel,
    error::CliError,
    exit::Code,
    files,
    process::{
        self,
        confine::{self, Confinement},
    },
    settings::Settings,
};

use crate::output::{self, OutputReader};

/// Time limit of a snapshot: the monitor begins at a keyframe, at most a few seconds away.
const LIMIT: Duration = Duration::from_secs(20);
/// The largest picture.
const LARGEST: usize = 32 << 20;

/// Refuses a terminal: FLV would garble it.
pub(crate) fn check_stdout() -> Result<(), CliError> {
    if stdout().is_terminal() {
        let text = "write FLV to a terminal; pipe it into a player: tgs-ctl monitor | ffplay -";
        return Err(CliError::new(Code::Usage, anyhow!(text)));
    }
    Ok(())
}

/// Copies the media to stdout until `source` or the reader ends.
pub(crate) fn copy(client: ControlClient, source: &str) -> Result<(), CliError> {
    let (first, mut stream) = client.into_stream();
    stream.set_read_timeout(None).context("read from the broadcast")?;
    let mut media = first.chain(&mut stream);
    let mut out = stdout().lock();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match media.read(&mut buffer) {
            Ok(0) => {
                return Err(CliError::new(Code::Unavailable, anyhow!("read on: {source} has ended")));
            }
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(anyhow!(error).context("read from the broadcast").into()),
        };
        if output::reader(out.write_all(&buffer[..read]).and_then(|()| out.flush()))? == OutputReader::Gone {
            return Ok(());
        }
    }
}

/// Writes the first picture of the media to `file`. ffmpeg decodes it, confined, and writes no
/// file.
pub(crate) fn snapshot(client: ControlClient, file: &Path) -> Result<(), CliError> {
    let (settings, _) = Settings::examine(None, &|name| env::var_os(name), &[]);
    let ffmpeg = settings.map_or_else(|| "ffmpeg".into(), |settings| settings.ffmpeg_path);
    let scratch = tempfile::tempdir().context("make a directory for ffmpeg")?;
    confine::children(&Confinement { scratch: scratch.path().to_owned(), ..Confinement::default() });

    let (reader, writer) = io::pipe().context("make a pipe for ffmpeg")?;
    let (first, stream) = client.into_stream();
    stream.set_read_timeout(Some(LIMIT)).context("read from the broadcast")?;
    let feeding = stream.try_clone().context("read from the broadcast")?;
    let feeder = thread::Builder::new().name("feed".into()).spawn(move || {
        let mut writer = writer;
        // ffmpeg closes the pipe behind the picture.
        let _ = io::copy(&mut first.chain(feeding), &mut writer);
    });
    let feeder = feeder.context("start a thread")?;

    let mut command = process::command(&ffmpeg);
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-f", "flv", "-i", "pipe:0"]);
    command.args(["-map", "0:v:0", "-frames:v", "1", "-q:v", "2", "-f", "mjpeg", "pipe:1"]);
    command.stdin(OwnedFd::from(reader));
    let done = process::output(command, LIMIT, LARGEST, &Cancel::new());
    // Wakes the feeder from its read.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let _ = feeder.join();
    let output = done.context("make the picture with ffmpeg")?;
    if !output.status.success() || !output.stdout.starts_with(&[0xff, 0xd8]) {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or("it received no picture");
        let how = process::describe(output.status);
        return Err(CliError::failure(format!("make the picture: ffmpeg {how}: {said}")));
    }
    files::replace(file, &output.stdout, 0o644).with_context(|| format!("write {}", file.display()))?;
    Ok(())
}
