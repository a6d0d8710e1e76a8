//! A tool in miniature: starts the program it is given as its child, and ends as it ends.

use std::{env, process::ExitCode};

use tgs_core::process;

fn main() -> ExitCode {
    if let Some(code) = process::shim() {
        return code;
    }
    let mut args = env::args_os().skip(1);
    let mut command = process::command(args.next().unwrap_or_default());
    command.args(args);
    // From a thread that ends at once: the child must live on.
    let started = std::thread::spawn(move || process::spawn(command)).join();
    match started.expect("spawning does not panic").and_then(|child| child.wait()) {
        Ok(status) => {
            eprintln!("{}", process::describe(status));
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
