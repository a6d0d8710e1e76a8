//! No file panics the reader or the writer of `.env`, and what is written reads as it was meant.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tgs_core::env_file::{parse, set};

fuzz_target!(|input: (&[u8], &str)| {
    let (bytes, value) = input;
    let Ok(new) = set(bytes, "SESSION_STRING", value) else { return };
    let (old, new) = (parse(bytes), parse(&new));
    assert!(new.refused.is_empty());
    let read = new.entries.iter().find(|entry| entry.name == "SESSION_STRING").expect("it was set");
    assert_eq!(read.value, value);
    let others = |entries: &[tgs_core::env_file::Entry]| -> Vec<_> {
        let others = entries.iter().filter(|entry| entry.name != "SESSION_STRING");
        others.map(|entry| (entry.line, entry.name.clone(), entry.value.clone())).collect()
    };
    assert_eq!(others(&old.entries), others(&new.entries));
});
