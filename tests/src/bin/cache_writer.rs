//! `cache-writer DIR`: writes items into the cache in DIR endlessly, until it is killed. The items
//! are those of [`tgs_e2e::cached_items`].

use std::{env, path::Path, process::ExitCode, time::Duration};

use tgs_e2e::cached_items;

fn main() -> ExitCode {
    let Some(dir) = env::args_os().nth(1) else {
        eprintln!("usage: cache-writer DIR");
        return ExitCode::from(2);
    };
    let dir = Path::new(&dir);
    let cache = cached_items::cache(dir);
    println!("ready");
    for number in (0..cached_items::ITEMS).cycle() {
        let Ok(item) = cached_items::item(dir, number) else { return ExitCode::FAILURE };
        let Some(key) = cache.key(&item.media) else { return ExitCode::FAILURE };
        let Some(recording) = cache.record(&key, &item, Some(Duration::from_secs(1))) else { continue };
        for tag in cached_items::tags(number) {
            if !recording.push(&tag) {
                break;
            }
        }
        recording.finish(Duration::from_secs(1), false, false);
        cache.settle(Duration::from_mins(1));
        println!("kept");
    }
    ExitCode::SUCCESS
}
