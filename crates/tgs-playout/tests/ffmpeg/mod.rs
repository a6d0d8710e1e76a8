//! The ffmpeg that makes the files of a test.

use std::{path::Path, process::Command};

/// Runs ffmpeg with `args`, split at spaces, in `dir`.
pub(crate) fn make(dir: &Path, args: &str) {
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args.split_whitespace())
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(done.status.success(), "{args}: {}", String::from_utf8_lossy(&done.stderr));
}
