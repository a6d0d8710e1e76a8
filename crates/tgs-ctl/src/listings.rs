//! The text of `queue list` and `playlist list`.

use tgs_control::{EntryState, PlaylistPage, QueueListing};

use crate::text::{plain, table};

/// The lines of `queue list`: position, ID, title.
pub(crate) fn queue(listing: &QueueListing, columns: Option<usize>) -> Vec<String> {
    if listing.entries.is_empty() {
        return vec!["The queue is empty.".to_owned()];
    }
    let mut rows = vec![["POSITION", "ID", "TITLE"].map(str::to_owned)];
    rows.extend(listing.entries.iter().enumerate().map(|(position, entry)| {
        let mark = if entry.on_air { " (on air)" } else { "" };
        let title = named(&entry.title, &entry.source);
        [position.to_string(), entry.id.to_string(), format!("{title}{mark}")]
    }));
    table(&rows, columns)
}

/// The lines of `playlist list`: index, state, title.
pub(crate) fn playlist(page: &PlaylistPage, columns: Option<usize>) -> Vec<String> {
    let mut rows = vec![["INDEX", "STATE", "TITLE"].map(str::to_owned)];
    rows.extend(page.entries.iter().map(|entry| {
        let state = match entry.state {
            EntryState::Passed => "passed",
            EntryState::Current => "on air",
            EntryState::Next => "next",
            EntryState::Later => "",
        };
        [entry.index.to_string(), state.to_owned(), named(&entry.title, &entry.source)]
    }));
    let mut lines = table(&rows, columns);
    let shown = page.entries.len();
    if shown < page.total {
        lines.push(format!("{shown} of {} entries", page.total));
    }
    lines
}

/// The title, or the source of an entry without one.
fn named(title: &str, source: &str) -> String {
    plain(if title.is_empty() { source } else { title })
}

#[cfg(test)]
mod tests {
    use tgs_control::QueueEntry;

    use super::*;

    #[test]
    fn the_queue_and_the_playlist_in_columns() {
        let entry = |id, title: &str, on_air| QueueEntry {
            id,
            title: title.into(),
            source: "http://h/a".into(),
            on_air,
        };
        let listing = QueueListing { entries: vec![entry(7, "a\nb", true), entry(12, "", false)] };
        assert_eq!(
            queue(&listing, None),
            ["POSITION  ID  TITLE", "0         7   a\\nb (on air)", "1         12  http://h/a"]
        );
        assert_eq!(queue(&QueueListing::default(), None), ["The queue is empty."]);

        let page = r#"{"total":9,"offset":3,"entries":[{"index":3,"title":"t3","state":"current"},
            {"index":4,"title":"t4","state":"later"}]}"#;
        let page: PlaylistPage = serde_json::from_str(page).unwrap();
        assert_eq!(
            playlist(&page, None),
            ["INDEX  STATE   TITLE", "3      on air  t3", "4              t4", "2 of 9 entries"]
        );
    }
}
