//! A tool in miniature, for the tests to start, kill and look at from outside.

use std::{
    env,
    error::Error,
    ffi::OsString,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tgs_core::{
    cancel::Cancel, env_file::writer, exit::Code, files, logging, owner, process, secret::Secret,
};

fn main() -> ExitCode {
    if let Some(code) = process::shim() {
        return code;
    }
    let mut args = env::args_os().skip(1);
    let (mode, first) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let done: Result<(), Box<dyn Error>> = match mode.to_str() {
        Some("run") => run(first, args).map_err(Into::into),
        Some("replace") => replace(&PathBuf::from(first)).map_err(Into::into),
        Some("env-set") => env_set(first.as_ref(), args),
        Some("env-loop") => env_loop(first.as_ref()),
        Some("env-hold") => writer::lock(first.as_ref(), Duration::ZERO, &Cancel::new())
            .map_err(Into::into)
            .and_then(|_locked| hold()),
        Some("as-owner") => match owner::run_as_owner(None, [Path::new(&first)]) {
            Ok(Some(code)) => return code.into(),
            Ok(None) => tell_who_i_am().and_then(|()| hold()),
            Err(refused) => Err(refused.into()),
        },
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

/// Says that it holds what it took, until its stdin ends.
fn hold() -> Result<(), Box<dyn Error>> {
    println!("held");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// User, group, session and environment of this process.
fn tell_who_i_am() -> Result<(), Box<dyn Error>> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let groups: Vec<_> = rustix::process::getgroups()?.iter().map(|group| group.as_raw()).collect();
    let leads = rustix::process::getsid(None)? == rustix::process::getpid();
    let env: Vec<_> = env::vars()
        .filter(|(name, _)| name != "PATH")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    println!("{uid}:{gid}:{groups:?} own session: {leads} {}", env.join(" "));
    Ok(())
}

/// Sets NAME to VALUE in a `.env` file.
fn env_set(path: &Path, mut args: impl Iterator<Item = OsString>) -> Result<(), Box<dyn Error>> {
    let mut next = || args.next().unwrap_or_default().to_string_lossy().into_owned();
    let (name, value) = (next(), next());
    Ok(writer::lock(path, Duration::ZERO, &Cancel::new())?.replace(&name, &Secret::new(value))?)
}

/// Sets SESSION_STRING for ever, to 353 of a, then of b, …
fn env_loop(path: &Path) -> Result<(), Box<dyn Error>> {
    println!("started");
    loop {
        for letter in 'a'..='z' {
            let value = Secret::new(letter.to_string().repeat(353));
            writer::lock(path, Duration::ZERO, &Cancel::new())?.replace("SESSION_STRING", &value)?;
        }
    }
}

/// Replaces a file for ever, by a megabyte of a, then of b, …
fn replace(path: &Path) -> io::Result<()> {
    loop {
        for byte in b'a'..=b'z' {
            files::replace(path, &vec![byte; 1 << 20], 0o600)?;
            if byte == b'a' {
                println!("written");
            }
        }
    }
}
