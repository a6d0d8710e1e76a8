//! Recognises files that are still being copied.

use std::{
    fs::{self, File, Metadata},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, SystemTime},
};

use tgs_core::cancel::Cancel;

/// A file of a folder whose last write is older than this rests.
const RESTS: Duration = Duration::from_secs(1);

/// How often the size of a file that was just written is compared.
const POLL: Duration = Duration::from_millis(100);

/// An MP4 without its index that was written to within this time is taken for one that still comes.
const INCOMPLETE: Duration = Duration::from_secs(30);

/// Boxes at the top of an MP4. Fragments have two each.
const MAX_BOXES: usize = 10_000;

/// Whether the file at `path` is still being written: an MP4 that lacks its end, or, `in_folder`,
/// any file that grows. A file that is named by itself may be a recording that grows on purpose.
pub(super) fn is_arriving(path: &Path, in_folder: bool, cancel: &Cancel) -> bool {
    let Ok(meta) = fs::metadata(path) else { return false };
    if in_folder && grows(path, &meta, cancel) {
        return true;
    }
    age(&meta) < INCOMPLETE
        && fs::metadata(path)
            .is_ok_and(|meta| File::open(path).is_ok_and(|file| lacks_end(&file, meta.len())))
}

/// The time since the last write; 0 if it is in the future.
fn age(meta: &Metadata) -> Duration {
    let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    SystemTime::now().duration_since(written).unwrap_or_default()
}

/// Whether the file is written to until it would rest.
fn grows(path: &Path, first: &Metadata, cancel: &Cancel) -> bool {
    let mut waited = age(first);
    while waited < RESTS && !cancel.wait(POLL) {
        waited += POLL;
        let Ok(now) = fs::metadata(path) else { return false };
        if (now.len(), now.modified().ok()) != (first.len(), first.modified().ok()) {
            return true;
        }
    }
    false
}

/// Whether this is an MP4 of `length` bytes whose boxes end after the file, or that has no index.
fn lacks_end(file: &File, length: u64) -> bool {
    let (mut at, mut index) = (0_u64, false);
    for number in 0..MAX_BOXES {
        if at >= length {
            return number > 0 && !index;
        }
        let mut head = [0; 16];
        let Ok(read) = file.read_at(&mut head, at) else { return false };
        let kind: [u8; 4] = [head[4], head[5], head[6], head[7]];
        let known = [*b"ftyp", *b"moov", *b"mdat", *b"free", *b"skip", *b"wide", *b"pnot", *b"styp"];
        if number == 0 && (read < 8 || !known.contains(&kind)) {
            return false;
        }
        index |= kind == *b"moov";
        let size = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            // It ends with the file.
            0 if kind == *b"mdat" => return !index,
            1 => u64::from_be_bytes(std::array::from_fn(|n| head[8 + n])),
            size => u64::from(size),
        };
        // Zeros stand where a download has reserved space.
        match at.checked_add(size).filter(|_| read >= 8 && size >= 8) {
            Some(next) if next <= length => at = next,
            _ => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::{io::Write, thread};

    use super::*;

    fn atom(kind: &str, body: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(body + 8).unwrap().to_be_bytes().to_vec();
        bytes.extend(kind.as_bytes());
        bytes.resize(body + 8, 7);
        bytes
    }

    fn set_age(path: &Path, age: u64) {
        let then = SystemTime::now() - Duration::from_secs(age);
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn an_mp4_without_its_end_arrives_until_it_rests() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mp4");
        let large = [&1_u32.to_be_bytes()[..], b"mdat", &116_u64.to_be_bytes(), &[7; 100]].concat();
        let cases: [(Vec<u8>, bool); 9] = [
            ([atom("ftyp", 16), atom("moov", 50), atom("mdat", 100)].concat(), false),
            ([atom("ftyp", 16), atom("mdat", 100), atom("moov", 50)].concat(), false),
            ([atom("ftyp", 16), atom("moov", 50), large].concat(), false),
            ([atom("ftyp", 16), atom("mdat", 100)].concat(), true),
            ([atom("ftyp", 16), atom("moov", 50), atom("mdat", 100)].concat()[..120].to_vec(), true),
            ([atom("ftyp", 16), atom("mdat", 10), vec![0; 90]].concat(), true),
            (atom("ftyp", 16)[..12].to_vec(), true),
            (vec![0x47; 188], false),
            (b"x".to_vec(), false),
        ];
        for (number, (bytes, arriving)) in cases.into_iter().enumerate() {
            fs::write(&path, &bytes).unwrap();
            set_age(&path, 5);
            assert_eq!(is_arriving(&path, true, &Cancel::new()), arriving, "case {number}");
            set_age(&path, 60);
            assert!(!is_arriving(&path, true, &Cancel::new()), "case {number}, at rest");
        }
        assert!(!is_arriving(&dir.path().join("gone"), true, &Cancel::new()));
    }

    #[test]
    fn a_file_of_a_folder_that_grows_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mkv");
        fs::write(&path, "x").unwrap();
        thread::scope(|scope| {
            let done = Cancel::new();
            let (writes, stop) = (path.clone(), done.clone());
            scope.spawn(move || {
                let mut file = File::options().append(true).open(&writes).unwrap();
                while !stop.wait(Duration::from_millis(20)) {
                    file.write_all(b"x").unwrap();
                }
            });
            while fs::metadata(&path).unwrap().len() < 3 {
                thread::yield_now();
            }
            // As if it had been written just now, however late this thread is.
            let soon = SystemTime::now() + Duration::from_mins(1);
            File::options().write(true).open(&path).unwrap().set_modified(soon).unwrap();
            assert!(is_arriving(&path, true, &Cancel::new()));
            // A recording that is named by itself.
            assert!(!is_arriving(&path, false, &Cancel::new()));
            done.cancel();
        });
        assert!(!is_arriving(&path, true, &Cancel::new()));
    }
}
