//! A writer killed at any moment.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

#[test]
fn kill_9_leaves_the_old_file_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    for turn in 0..20 {
        let mut writer = Command::new(env!("CARGO_BIN_EXE_tgs-core-test-tool"));
        let mut writer = writer.arg("replace").arg(&file).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(writer.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "written\n");
        // Not to wait for anything: to hit another moment each time.
        thread::sleep(Duration::from_micros(turn * 311));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let bytes = fs::read(&file).unwrap();
        assert_eq!(bytes.len(), 1 << 20);
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "two files in one");
    }
}
