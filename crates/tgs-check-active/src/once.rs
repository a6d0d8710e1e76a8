//! `--healthz` without a value: asks the broadcast of this STATE_DIR once, as the health check of a
//! container. Knows no unit, and does not wait.

use std::{
    env,
    ffi::OsString,
    io::{Write, stderr, stdout},
    path::{Path, PathBuf},
};

use tgs_control::AddressFile;
use tgs_core::exit::Code;

use crate::{
    health::{self, HealthSource},
    verdict::HealthVerdict,
};

/// Prints the answer; 0 for the status 200, else 1.
pub(crate) fn run(variable: &dyn Fn(&str) -> Option<OsString>) -> Code {
    let verdict = state_dir(variable).map(|dir| ask(&dir));
    let (code, text) = match verdict {
        Some(HealthVerdict::Fine(text)) => (Code::Ok, text),
        Some(HealthVerdict::Bad(text) | HealthVerdict::Lasting(text)) => (Code::Failure, text),
        Some(HealthVerdict::NotAsked) | None => {
            (Code::Failure, "STATE_DIR is not set: set it as for tgs-stream".to_owned())
        }
    };
    // The reader of the output may be gone; the code counts.
    let _ = if code == Code::Ok {
        writeln!(stdout(), "{text}")
    } else {
        writeln!(stderr(), "tgs-check-active: {text}")
    };
    code
}

fn ask(state_dir: &Path) -> HealthVerdict {
    let file = AddressFile::in_dir(state_dir).path().to_owned();
    health::judge(None, &health::ask(&HealthSource::File(file)))
}

/// STATE_DIR, or the directory that systemd has made.
fn state_dir(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = variable("STATE_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    set.or_else(|| env::split_paths(&variable("STATE_DIRECTORY")?).next())
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpListener, thread};

    use super::*;

    #[test]
    fn the_code_follows_the_page() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &'static str| {
            let state = dir.path().to_owned();
            run(&move |asked: &str| (asked == name).then(|| state.clone().into()))
        };
        assert_eq!(of("HOME"), Code::Failure);
        assert_eq!(of("STATE_DIR"), Code::Failure);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        AddressFile::in_dir(dir.path()).write(listener.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || {
            for answer in ["200 OK\r\n\r\nok", "503 No\r\n\r\ndegraded: a"] {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                stream.write_all(format!("HTTP/1.0 {answer}").as_bytes()).unwrap();
            }
        });
        assert_eq!(of("STATE_DIR"), Code::Ok);
        assert_eq!(of("STATE_DIRECTORY"), Code::Failure);
        server.join().unwrap();
    }
}
