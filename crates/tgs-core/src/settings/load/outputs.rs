//! Reads the further outputs, and checks them against the main one.

use super::Reader;
use crate::settings::outputs::{NamedOutput, outputs};

impl Reader<'_> {
    /// Reads `ALSO_OUTPUT_URLS`; empty if it is unset or has a problem. `main` is OUTPUT_URL with
    /// its label.
    pub(super) fn also_outputs(&mut self, main: Option<&(String, String)>) -> Vec<NamedOutput> {
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
}
