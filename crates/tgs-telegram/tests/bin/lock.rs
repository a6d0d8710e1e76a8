//! Holds the lock of a session until stdin ends, for the tests to start and kill.

use std::{
    env,
    io::{self, Read},
    path::PathBuf,
    process::ExitCode,
};

use tgs_telegram::session::{lock::SessionLock, string::AuthKey};

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let number = args.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or_default();
    let state_dir = args.next().map(PathBuf::from);
    match SessionLock::take(&key(number), state_dir.as_deref()) {
        Ok(_lock) => {
            println!("held");
            io::stdin().read_to_end(&mut Vec::new()).map_or(ExitCode::FAILURE, |_| ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A key that begins with the bytes of `number`.
fn key(number: u64) -> AuthKey {
    let mut key = [0; 256];
    key[..8].copy_from_slice(&number.to_be_bytes());
    AuthKey::new(key)
}
