//! Reads XSPF lists.

use quick_xml::{Reader, events::Event};

use super::{
    headers,
    lines::{ListLine, ListLines, NotAList},
    options::note,
    time,
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
                    track = Some(ListLine { number, ..ListLine::default() });
                }
            }
            Event::Text(part) => value.push_str(&part),
            Event::CData(part) => value.push_str(&part),
            Event::GeneralRef(name) => value.extend(entity(&name)),
            Event::End(tag) => {
                let name = tag.local_name().as_ref().to_ascii_lowercase();
                if name == "track" {
                    if let Some(mut track) = track.take().filter(|track| !track.text.is_empty()) {
                        if list.written.len() >= max {
                            list.more = true;
                            return Ok(list);
                        }
                        note(&mut list.faults, track.number, track.options.check());
                        list.written.push(track);
                    }
                } else if let Some(track) = track.as_mut().filter(|_| name == field) {
                    note(&mut list.faults, track.number, set_field(track, &name, value.trim()));
                }
                field.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match (is_xspf, text.to_ascii_lowercase().contains("<html") || !text.contains("<?xml")) {
        (true, _) => Ok(list),
        (false, true) => Err(NotAList::Other("a web page, not a list".into())),
        (false, false) => Err(NotAList::Other("XML, but not an XSPF list".into())),
    }
}

fn set_field(track: &mut ListLine, name: &str, value: &str) -> Result<(), String> {
    match name {
        "location" if track.text.is_empty() => track.text = value.as_bytes().to_vec(),
        "title" if track.title.is_none() && !value.is_empty() => track.title = Some(value.to_owned()),
        "creator" => track.options.set_artist(value),
        "duration" => {
            let millis = value.parse::<u32>().ok().filter(|millis| *millis > 0);
            track.options.length = millis.and_then(|millis| time::of_seconds(f64::from(millis) / 1000.0));
        }
        "option" => {
            headers::add(&mut track.headers, headers::of_vlc_option(value));
            match value.strip_prefix("#TGS:") {
                Some(rules) => track.options.set_rules(rules)?,
                None => track.options.set_vlc(value)?,
            }
        }
        _ => {}
    }
    Ok(())
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
