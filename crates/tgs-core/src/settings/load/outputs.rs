//! Reads the further outputs, and checks them against the main one.

use super::Reader;
use crate::settings::outputs::{NamedOutput, add_proxies, outputs};

impl Reader<'_> {
    /// Reads `ALSO_OUTPUT_URLS` and `ALSO_OUTPUT_PROXIES`; empty if the first is unset or has a
    /// problem. `main` is OUTPUT_URL with its label.
    pub(super) fn also_outputs(&mut self, main: Option<&(String, String)>) -> Vec<NamedOutput> {
        let before = self.problems.len();
        let mut found = self.named_outputs(main);
        // Without the names, each proxy would be reported.
        if self.problems.len() == before
            && let Some((value, shown)) = self.find("ALSO_OUTPUT_PROXIES")
        {
            let problems = add_proxies(&mut found, &value);
            self.problems.extend(problems.into_iter().map(|problem| format!("{shown} {problem}")));
        }
        found
    }

    fn named_outputs(&mut self, main: Option<&(String, String)>) -> Vec<NamedOutput> {
        let Some((value, shown)) = self.find("ALSO_OUTPUT_URLS") else { return Vec::new() };
        let main = main.map(|(url, _)| &**url);
        match outputs(&value) {
            Ok(found) => {
                for output in found.iter().filter(|output| Some(output.url.expose().as_str()) == main) {
                    self.problems.push(format!(
                        "{shown} entry {}: its address is that of OUTPUT_URL, and a key carries one stream",
                        output.name
                    ));
                }
                found
            }
            Err(problems) => {
                self.problems.extend(problems.into_iter().map(|problem| format!("{shown} {problem}")));
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, ffi::OsString, path::Path};

    use crate::settings::Settings;

    #[test]
    fn further_outputs_are_read_and_their_problems_are_reported_together() {
        let load = |value: &str| {
            let main = ("OUTPUT_URL", "rtmp://h/app/main-s3cr3t");
            let env = BTreeMap::from([("HOME", "/home/me"), main, ("ALSO_OUTPUT_URLS", value)]);
            let env = |name: &str| env.get(name).map(OsString::from);
            Settings::load_in(Path::new("/nowhere"), None, &env, &[])
        };
        let read = load("youtube=rtmps://y/live2/k vk=rtmp://v/input/k").unwrap().also_outputs;
        assert_eq!(read.iter().map(|output| &*output.name).collect::<Vec<_>>(), ["youtube", "vk"]);
        let problems = load("a=rtmp://h/app/main-s3cr3t").unwrap_err().0;
        assert!(problems.len() == 1 && problems[0].contains("entry a: its address is that of OUTPUT_URL"));
        let problems = load("A=s3cr3t b=s3cr3t").unwrap_err().0;
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[1].starts_with("ALSO_OUTPUT_URLS (in the environment) entry b: its address"));
        assert!(!problems.concat().contains("s3cr3t"));
    }

    #[test]
    fn proxies_need_an_output() {
        let load = |outputs: &str| {
            let proxies = ("ALSO_OUTPUT_PROXIES", "vk=socks5://u:s3cr3t@h:1");
            let env = BTreeMap::from([("HOME", "/home/me"), ("ALSO_OUTPUT_URLS", outputs), proxies]);
            let env = |name: &str| env.get(name).map(OsString::from);
            Settings::load_in(Path::new("/nowhere"), None, &env, &[])
        };
        let read = load("youtube=rtmps://y/live2/k vk=rtmp://v/input/k").unwrap().also_outputs;
        assert!(read[0].proxies.is_empty() && read[1].proxies[0].to_string() == "socks5://h:1");
        for (outputs, says) in [
            (
                "youtube=rtmps://y/live2/k",
                "ALSO_OUTPUT_PROXIES (in the environment) entry vk: ALSO_OUTPUT_URLS",
            ),
            ("", "ALSO_OUTPUT_PROXIES (in the environment) entry vk: ALSO_OUTPUT_URLS"),
            ("vk=s3cr3t", "ALSO_OUTPUT_URLS (in the environment) entry vk: its address"),
        ] {
            let problems = load(outputs).unwrap_err().0;
            assert!(problems.len() == 1 && problems[0].starts_with(says), "{problems:?}");
            assert!(!problems[0].contains("s3cr3t"), "{problems:?}");
        }
    }
}
