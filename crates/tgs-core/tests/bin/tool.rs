//! A tool in miniature, for the tests to start, kill and look at from outside.

use std::{env, ffi::OsString, io, path::PathBuf, process::ExitCode};

use tgs_core::{exit::Code, files, logging, process};

fn main() -> ExitCode {
    if let Some(code) = process::shim() {
        return code;
    }
    let mut args = env::args_os().skip(1);
    let (mode, first) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let done = match mode.to_str() {
        Some("run") => run(first, args),
        Some("replace") => replace(&PathBuf::from(first)),
        Some("log") => {
            logging::init(&first.to_string_lossy());
            log::warn!("on air");
            log::debug!("details");
            Ok(())
        }
        _ => return Code::Usage.into(),
    };
    match done {
        Ok(()) => Code::Ok.into(),
        Err(e) => {
            eprintln!("{e}");
            Code::Failure.into()
        }
    }
}

/// Runs a program as a child to its end.
fn run(program: OsString, args: impl Iterator<Item = OsString>) -> io::Result<()> {
    let mut command = process::command(program);
    command.args(args);
    // From a thread that ends at once: the child must live on.
    let started = std::thread::spawn(move || process::spawn(command)).join();
    let status = started.expect("spawning does not panic")?.wait()?;
    eprintln!("{}", process::describe(status));
    Ok(())
}

/// Replaces a file for ever, by a megabyte of a, then of b, …
fn replace(path: &std::path::Path) -> io::Result<()> {
    loop {
        for byte in b'a'..=b'z' {
            files::replace(path, &vec![byte; 1 << 20], 0o600)?;
            if byte == b'a' {
                println!("written");
            }
        }
    }
}
