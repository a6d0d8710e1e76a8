//! Which proxy of each list worked last, kept over restarts in `STATE_DIR`.
//!
//! The file names a list by what it is for and by a hash of its proxies without their secrets, and
//! the proxy by its number. A list that has changed begins with its first proxy.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{list::ProxyList, upstream::UpstreamProxy};
use crate::{digest, files};

/// The name of the file.
const FILE: &str = "proxies";

/// Most lists that are read from the file: more than a broadcast has.
const MOST: usize = 64;

/// The lists of one broadcast. Clones share them.
#[derive(Debug, Clone)]
pub struct KeptProxies {
    file: PathBuf,
    kept: Arc<Mutex<KeptLists>>,
}

#[derive(Debug, Default)]
struct KeptLists {
    /// By what each is for.
    lists: BTreeMap<String, KeptList>,
    /// What the file contains.
    saved: String,
}

#[derive(Debug)]
struct KeptList {
    hash: String,
    state: ListState,
}

#[derive(Debug)]
enum ListState {
    /// As the file has it: the number of the proxy that worked.
    Saved(usize),
    InUse(ProxyList),
}

impl KeptProxies {
    /// Reads the file in `state_dir`. Without one, all lists begin with their first proxy.
    #[must_use]
    pub fn in_dir(state_dir: &Path) -> Self {
        let file = state_dir.join(FILE);
        let saved = files::read_text(&file).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.split(' ');
            let (name, hash, index) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
            let state = ListState::Saved(index);
            Some((name.to_owned(), KeptList { hash: hash.to_owned(), state }))
        };
        let lists = saved.lines().take(MOST).filter_map(line).collect();
        Self { file, kept: Arc::new(Mutex::new(KeptLists { lists, saved })) }
    }

    /// The list of `proxies` for `purpose`, a word. It begins with the proxy that worked last; the
    /// same proxies for the same purpose are the same list.
    #[must_use]
    pub fn list(&self, purpose: &str, proxies: Vec<UpstreamProxy>) -> ProxyList {
        let mut kept = self.locked();
        let hash = digest::key(proxies.iter().map(ToString::to_string));
        let known = kept.lists.get(purpose).filter(|known| known.hash == hash).map(|known| &known.state);
        let list = match known {
            Some(ListState::InUse(list)) if list.all() == proxies => return list.clone(),
            Some(ListState::Saved(index)) => ProxyList::beginning_with(proxies, *index),
            _ => ProxyList::new(proxies),
        };
        kept.lists.insert(purpose.to_owned(), KeptList { hash, state: ListState::InUse(list.clone()) });
        list
    }

    /// Writes the file, if another proxy of a list has worked since.
    pub fn save(&self) -> io::Result<()> {
        let mut kept = self.locked();
        let lines = kept.lists.iter().filter_map(|(purpose, KeptList { hash, state })| {
            let index = match state {
                ListState::Saved(index) => *index,
                // Nothing to remember of one proxy.
                ListState::InUse(list) if list.len() < 2 => return None,
                ListState::InUse(list) => list.worked()?,
            };
            Some(format!("{purpose} {hash} {index}\n"))
        });
        let text: String = lines.collect();
        if text != kept.saved {
            files::replace(&self.file, text.as_bytes(), 0o600)?;
            kept.saved = text;
        }
        Ok(())
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn locked(&self) -> MutexGuard<'_, KeptLists> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::proxy::parse_proxies;

    const LIST: &str = "socks5://joe:s3cr3t@a:1 socks5://joe:s3cr3t@b:2 http://c:3";

    fn proxies(text: &str) -> Vec<UpstreamProxy> {
        parse_proxies(text).unwrap()
    }

    fn current(list: &ProxyList) -> String {
        list.current().unwrap().to_string()
    }

    #[test]
    fn the_proxy_that_worked_is_kept_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptProxies::in_dir(dir.path());
        let (telegram, ingest) = (kept.list("telegram", proxies(LIST)), kept.list("ingest", proxies(LIST)));
        kept.save().unwrap();
        assert!(!kept.file().exists(), "nothing has worked yet");
        // The same list again, with the one in use.
        telegram.keep(1);
        assert_eq!(current(&kept.list("telegram", proxies(LIST))), "socks5://b:2");
        ingest.keep(2);
        kept.save().unwrap();
        let text = fs::read_to_string(kept.file()).unwrap();
        assert!(text.lines().count() == 2 && !text.contains("s3cr3t") && !text.contains("joe"), "{text}");
        // A failure is not kept: the next start tries the one that worked.
        telegram.pass_over(1);
        kept.save().unwrap();
        assert_eq!(fs::read_to_string(kept.file()).unwrap(), text);

        let kept = KeptProxies::in_dir(dir.path());
        assert_eq!(current(&kept.list("telegram", proxies(LIST))), "socks5://b:2");
        // A list that is not in use yet stays in the file.
        kept.save().unwrap();
        assert_eq!(fs::read_to_string(kept.file()).unwrap(), text);
        assert_eq!(current(&kept.list("ingest", proxies(LIST))), "http://c:3");
        assert_eq!(current(&kept.list("output:vk", proxies(LIST))), "socks5://a:1");
        let changed = LIST.replace("a:1", "a:9");
        assert_eq!(current(&kept.list("telegram", proxies(&changed))), "socks5://a:9");
        // With another password it is another list, which begins anew.
        let changed = LIST.replace("s3cr3t", "0ther");
        assert_eq!(current(&kept.list("ingest", proxies(&changed))), "socks5://a:1");
    }

    #[test]
    fn a_file_of_anything_else_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let hash = digest::key(proxies(LIST).iter().map(ToString::to_string));
        for text in ["telegram", "a b\n\n", &format!("telegram {hash} 99\n"), &format!("telegram {hash} -1")]
        {
            fs::write(dir.path().join(FILE), text).unwrap();
            let kept = KeptProxies::in_dir(dir.path());
            assert_eq!(current(&kept.list("telegram", proxies(LIST))), "socks5://a:1", "{text}");
        }
        let kept = KeptProxies::in_dir(Path::new("/nowhere/at/all"));
        let list = kept.list("telegram", proxies(LIST));
        list.keep(1);
        assert!(kept.save().is_err() && current(&list) == "socks5://b:2");
    }
}
