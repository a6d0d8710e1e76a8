//! The documents as they lie on a server, beside each other: their links lead to what is there.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

/// What is given to operators beside `docs/*.md`: its place in the repository, and where it lies
/// beside the documents.
const BESIDE: [(&str, &str); 8] = [
    ("README.md", "README.md"),
    ("CONTRIBUTING.md", "CONTRIBUTING.md"),
    ("SECURITY.md", "SECURITY.md"),
    ("CODE_OF_CONDUCT.md", "CODE_OF_CONDUCT.md"),
    ("CHANGELOG.md", "NEWS.md"),
    (".env.template", "examples/env.template"),
    ("deploy/prometheus/alerts.yml", "examples/alerts.yml"),
    ("deploy/grafana/tgs.json", "examples/tgs.json"),
];

/// Lays the documents of the repository `top` out in the directory `to`. An error is a link to what
/// is not given out.
pub(super) fn write(top: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.join("examples"))?;
    let mut files: Vec<(String, String)> =
        BESIDE.iter().map(|(from, place)| ((*from).to_owned(), (*place).to_owned())).collect();
    for entry in fs::read_dir(top.join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            files.push((format!("docs/{name}"), name));
        }
    }
    for (from, place) in &files {
        let text = fs::read_to_string(top.join(from)).with_context(|| format!("read {from}"))?;
        let is_page = Path::new(place).extension().is_some_and(|extension| extension == "md");
        let text = if is_page { with_links(&text, from, &files)? } else { text };
        fs::write(to.join(place), text)?;
    }
    Ok(())
}

/// The text of the document `from` with each link to a file of the repository led to that file's
/// place.
fn with_links(text: &str, from: &str, files: &[(String, String)]) -> Result<String> {
    let mut parts = text.split("](");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(')').with_context(|| format!("{from} has a link without an end"))?;
        let (link, rest) = part.split_at(end);
        let (file, place) = link.find('#').map_or((link, ""), |at| link.split_at(at));
        whole.push_str("](");
        if file.is_empty() || file.contains("://") {
            whole.push_str(link);
        } else {
            let target = target(from, file);
            let Some((_, there)) = files.iter().find(|(known, _)| *known == target) else {
                bail!("{from} links to {file}, which operators are not given");
            };
            whole.extend([there, place]);
        }
        whole.push_str(rest);
    }
    Ok(whole)
}

/// The path in the repository that the link `file` of the document `from` leads to.
fn target(from: &str, file: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use tgs_e2e::bin_path::workspace;

    use super::*;

    #[test]
    fn every_link_leads_to_a_file_that_lies_there() {
        let dir = tempfile::tempdir().unwrap();
        write(workspace(), dir.path()).unwrap();
        let mut links = 0;
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = link.split('#').next().unwrap();
                if !file.is_empty() && !file.contains("://") {
                    links += 1;
                    assert!(dir.path().join(file).exists(), "{}: {link}", path.display());
                }
            }
        }
        assert!(links > 20, "only {links} links");
    }

    #[test]
    fn a_link_to_what_operators_are_not_given_is_refused() {
        let files =
            [("docs/a.md".to_owned(), "a.md".to_owned()), (".env.template".to_owned(), "e".to_owned())];
        let led = |text| with_links(text, "docs/b.md", &files);
        assert_eq!(
            led("[a](a.md#x) [b](../.env.template) [c](#d) [e](https://f/g.md)").unwrap(),
            "[a](a.md#x) [b](e) [c](#d) [e](https://f/g.md)"
        );
        assert!(led("[a](../crates/x.rs)").is_err());
        assert_eq!(with_links("[a](docs/a.md)", "README.md", &files).unwrap(), "[a](a.md)");
    }
}
