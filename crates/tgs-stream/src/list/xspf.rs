//! Reads XSPF lists.

use quick_xml::{Reader, events::Event};

use super::{
    headers,
    lines::{ListLine, ListLines, NotAList},
};

/// Reads the first location of each track.
pub(super) fn read(text: &str, max: usize) -> Result<ListLines, NotAList> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = false;
    let mut list = ListLines::default();
    let (mut is_xspf, mut field, mut value) = (false, String::new(), String::new());
    let mut track: Option<ListLine> = None;
    let (mut number, mut counted) = (1, 0);
    // A syntax error ends the list.
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(tag) => {
                field = tag.local_name().as_ref().to_ascii_lowercase();
                value.clear();
                is_xspf |= field == "tracklist";
                if field == "track" && is_xspf {
                    let at = (reader.buffer_position() as usize).min(text.len());
                    number += text.as_bytes()[counted..at].split(|b| *b == b'\n').count() - 1;
                    counted = at;
                    track = Some(ListLine { number, title: None, text: Vec::new(), headers: Vec::new() });
                }
            }
            Event::Text(part) => value.push_str(&part),
            Event::CData(part) => value.push_str(&part),
            Event::GeneralRef(name) => value.extend(entity(&name)),
            Event::End(tag) => {
                let name = tag.local_name().as_ref().to_ascii_lowercase();
                if name == "track" {
                    if let Some(track) = track.take().filter(|track| !track.text.is_empty()) {
                        if list.written.len() >= max {
                            list.more = true;
                            return Ok(list);
                        }
                        list.written.push(track);
                    }
                } else if let Some(track) = track.as_mut().filter(|_| name == field) {
                    set_field(track, &name, value.trim());
                }
                field.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match (is_xspf, text.to_ascii_lowercase().contains("<html") || !text.contains("<?xml")) {
        (true, _) => Ok(list),
        (false, true) => Err(NotAList::Other("a web page, not a list")),
        (false, false) => Err(NotAList::Other("XML, but not an XSPF list")),
    }
}

fn set_field(track: &mut ListLine, name: &str, value: &str) {
    match name {
        "location" if track.text.is_empty() => track.text = value.as_bytes().to_vec(),
        "title" if track.title.is_none() && !value.is_empty() => track.title = Some(value.to_owned()),
        "option" => headers::add(&mut track.headers, headers::of_vlc_option(value)),
        _ => {}
    }
}

/// The character of `&name;`. Declared entities are ignored, because they may expand without limit.
fn entity(name: &str) -> Option<char> {
    let code = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix('#')?.strip_prefix(['x', 'X']) {
            Some(digits) => code(digits, 16),
            None => code(name.strip_prefix('#')?, 10),
        },
    }
}
