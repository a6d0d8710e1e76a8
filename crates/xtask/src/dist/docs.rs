//! Lays out the documents for a server: `docs/` without that folder's name, other files beside it,
//! and every link changed to the file's new place. Does not render or check the text.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// Files outside `docs/` for operators: the path in the repository and the path in the package.
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

/// Writes the documents of the repository `top` to `to`. Fails on a link to an unpackaged file.
pub(super) fn write(top: &Path, to: &Path) -> Result<()> {
    let mut files: Vec<(String, String)> =
        BESIDE.iter().map(|(from, place)| ((*from).to_owned(), (*place).to_owned())).collect();
    for path in files_below(&top.join("docs"))? {
        let from = path.strip_prefix(top)?.to_string_lossy().into_owned();
        let place = from.trim_start_matches("docs/").to_owned();
        files.push((from, place));
    }
    for (from, place) in &files {
        let bytes = fs::read(top.join(from)).with_context(|| format!("read {from}"))?;
        let bytes = if is_page(place) {
            let text = String::from_utf8(bytes).with_context(|| format!("{from} is not UTF-8"))?;
            with_links(&text, from, place, &files)?.into_bytes()
        } else {
            bytes
        };
        let path = to.join(place);
        fs::create_dir_all(path.parent().unwrap_or(to))?;
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn is_page(place: &str) -> bool {
    Path::new(place).extension().is_some_and(|extension| extension == "md")
}

/// All files below `dir`, in folders too.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The document `from`, packaged as `place`, with each link changed to its target's place.
fn with_links(text: &str, from: &str, place: &str, files: &[(String, String)]) -> Result<String> {
    let mut parts = text.split("](");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(')').with_context(|| format!("{from}: a link has no closing bracket"))?;
        let (link, rest) = part.split_at(end);
        let (file, anchor) = link.find('#').map_or((link, ""), |at| link.split_at(at));
        whole.push_str("](");
        if file.is_empty() || file.contains("://") {
            whole.push_str(link);
        } else {
            let target = target(from, file);
            let Some((_, there)) = files.iter().find(|(known, _)| *known == target) else {
                bail!("{from} links to {file}, which is not packaged");
            };
            whole.push_str(&relative(place, there));
            whole.push_str(anchor);
        }
        whole.push_str(rest);
    }
    Ok(whole)
}

/// The path in the repository to which the link `file` of the document `from` leads.
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

/// The link from the file `from` to the file `to`, both relative to the same folder.
fn relative(from: &str, to: &str) -> String {
    let (mut from, mut to): (Vec<_>, Vec<_>) = (from.split('/').collect(), to.split('/').collect());
    while from.len() > 1 && to.len() > 1 && from[0] == to[0] {
        from.remove(0);
        to.remove(0);
    }
    "../".repeat(from.len() - 1) + &to.join("/")
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
        for path in files_below(dir.path()).unwrap() {
            if !is_page(&path.to_string_lossy()) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = link.split('#').next().unwrap();
                if !file.is_empty() && !file.contains("://") {
                    links += 1;
                    assert!(path.with_file_name(file).exists(), "{}: {link}", path.display());
                }
            }
        }
        assert!(links > 20, "only {links} links");
    }

    #[test]
    fn a_link_to_what_operators_are_not_given_is_refused() {
        let files =
            [("docs/guide/a.md", "guide/a.md"), (".env.template", "examples/e"), ("docs/b.md", "b.md")];
        let files = files.map(|(from, place)| (from.to_owned(), place.to_owned()));
        let led = |text| with_links(text, "docs/guide/b.md", "guide/b.md", &files);
        assert_eq!(
            led("[a](a.md#x) [b](../../.env.template) [c](#d) [e](https://f/g.md) [h](../b.md)").unwrap(),
            "[a](a.md#x) [b](../examples/e) [c](#d) [e](https://f/g.md) [h](../b.md)"
        );
        assert!(led("[a](../crates/x.rs)").is_err());
        let of_readme = |text| with_links(text, "README.md", "README.md", &files);
        assert_eq!(of_readme("[a](docs/guide/a.md)").unwrap(), "[a](guide/a.md)");
    }
}
