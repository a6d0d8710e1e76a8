//! The text of `asrun`.

use std::time::Duration;

use tgs_control::{AsRunEntry, AsRunListing, write_csv};
use tgs_core::{error::CliError, time::clock};

use crate::{
    output::{self, OutputReader},
    text::{plain, table},
};

/// Writes the entries as CSV.
pub(crate) fn csv(listing: &AsRunListing) -> Result<OutputReader, CliError> {
    output::reader(write_csv(&listing.entries, std::io::stdout().lock()))
}

/// The lines of the entries: start, length, kind, title, how it ended.
pub(crate) fn lines(listing: &AsRunListing, columns: Option<usize>) -> Vec<String> {
    let mut rows = vec![["START (UTC)", "LENGTH", "KIND", "ENDED", "TITLE"].map(str::to_owned)];
    rows.extend(listing.entries.iter().map(row));
    table(&rows, columns)
}

fn row(entry: &AsRunEntry) -> [String; 5] {
    let start = entry.start.to_string();
    let start = start.trim_end_matches('Z').replacen('T', " ", 1);
    let length = entry.end.map(|end| clock(Duration::from_millis(end.millis_since(entry.start))));
    let length = length.map(|length| if entry.estimated { format!("~{length}") } else { length });
    let by = entry.by.as_deref().map(|by| format!(" by {}", plain(by))).unwrap_or_default();
    let ended = entry.ended.as_deref().map(plain).unwrap_or_default();
    let title = entry.title.as_deref().map(plain).unwrap_or_default();
    let reason = entry.reason.as_deref().map(plain);
    let what = match reason {
        Some(reason) if title.is_empty() => reason,
        Some(reason) => format!("{title} ({reason})"),
        None => title,
    };
    [
        start,
        length.unwrap_or_else(|| "on air".to_owned()),
        entry.kind.name().replace('_', " "),
        format!("{ended}{by}"),
        what,
    ]
}

#[cfg(test)]
mod tests {
    use tgs_control::{AsRunKind, Timestamp};

    use super::*;

    #[test]
    fn each_entry_is_a_line() {
        let at = Timestamp(1_772_323_200_120);
        let film = AsRunEntry {
            kind: AsRunKind::Item,
            title: Some("A\tfilm".into()),
            start: at,
            end: Some(Timestamp(at.0 + 723_000)),
            ended: Some("skipped".into()),
            by: Some("root".into()),
            ..AsRunEntry::default()
        };
        let filler = AsRunEntry {
            kind: AsRunKind::OffAir,
            start: Timestamp(at.0 + 723_000),
            end: Some(Timestamp(at.0 + 725_000)),
            estimated: true,
            reason: Some("restart".into()),
            ..AsRunEntry::default()
        };
        let now = AsRunEntry { start: Timestamp(at.0 + 725_000), title: Some("b".into()), ..film.clone() };
        let now = AsRunEntry { end: None, ended: None, by: None, ..now };
        let listing = AsRunListing { entries: vec![film, filler, now] };
        insta::assert_snapshot!(lines(&listing, None).join("\n"));
    }
}
