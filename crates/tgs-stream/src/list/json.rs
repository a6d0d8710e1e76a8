//! Reads the day programmes of ffplayout: a JSON object whose `program` is an array of items with
//! `source`, `in`, `out` and `duration` in seconds, and optional `title`, `category` and `audio`.

use std::{borrow::Cow, fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Map, Value, error::Category, value::RawValue};

use super::{
    encoding::Charset,
    lines::{ListLine, ListLines, NotAList},
    options::{self, note, quoted},
    time,
};

/// An out-point this near to the stated length is the end of the source.
const AT_END: Duration = Duration::from_millis(10);

/// The longest item, in bytes.
const MAX_ITEM: usize = 64 << 10;

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    program: Option<&'a RawValue>,
}

/// Reads `bytes`. `None` if they are no JSON, but a list that happens to begin with a bracket.
pub(super) fn read(bytes: &[u8], max: usize) -> Option<Result<ListLines, NotAList>> {
    let text = Charset::of_list(bytes).text(bytes);
    let text = without_trailing_commas(&text);
    let refused = |what: String| Some(Err(NotAList::Other(what.into())));
    if text.trim_start().starts_with('[') {
        let json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        return if json { refused("JSON, not a list".to_owned()) } else { None };
    }
    let program = match serde_json::from_str::<Document>(&text) {
        Ok(Document { program: Some(program) }) => program,
        Ok(_) => return refused("JSON, not a list".to_owned()),
        Err(error) if error.classify() == Category::Data => return refused("JSON, not a list".to_owned()),
        Err(error) if text.contains("\"program\"") => {
            return refused(format!("JSON with a mistake: {error}"));
        }
        Err(_) => return None,
    };
    match (MaxItems { max }).deserialize(&mut serde_json::Deserializer::from_str(program.get())) {
        Ok((items, more)) => Some(Ok(lines(&text, &items, more))),
        Err(_) => refused(
            "JSON, but its \"program\" is no array: write \"program\": [{\"source\": \"/path\"}]".to_owned(),
        ),
    }
}

/// Takes the first items of an array, in their own text, and says whether there are more.
struct MaxItems {
    max: usize,
}

impl<'de> DeserializeSeed<'de> for MaxItems {
    type Value = (Vec<&'de RawValue>, bool);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for MaxItems {
    type Value = (Vec<&'de RawValue>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut more) = (Vec::new(), false);
        while found.len() < self.max {
            match items.next_element()? {
                Some(item) => found.push(item),
                None => return Ok((found, false)),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok((found, more))
    }
}

/// The lines of `items`, which are parts of `text`.
fn lines(text: &str, items: &[&RawValue], more: bool) -> ListLines {
    let mut list = ListLines { more, ..ListLines::default() };
    let (mut number, mut counted) = (1, 0);
    for item in items {
        // The items borrow from the text.
        let at = item.get().as_ptr().addr().saturating_sub(text.as_ptr().addr()).min(text.len());
        number += text.get(counted..at).unwrap_or_default().matches('\n').count();
        counted = at;
        if item.get().len() > MAX_ITEM {
            note::<()>(&mut list.faults, number, Err(format!("the item has over {MAX_ITEM} bytes")));
            continue;
        }
        let Ok(fields) = serde_json::from_str::<Map<String, Value>>(item.get()) else {
            let what = format!("{} is no item: write {{\"source\": \"/path\"}}", quoted(item.get()));
            note::<()>(&mut list.faults, number, Err(what));
            continue;
        };
        let mut line = ListLine { number, ..ListLine::default() };
        for (name, value) in &fields {
            note(&mut list.faults, number, set_field(&mut line, name, value));
        }
        set_times(&mut line);
        note(&mut list.faults, number, line.options.check());
        if line.text.is_empty() {
            let what = "the item has no source: write \"source\": \"/path/film.mp4\"".to_owned();
            note::<()>(&mut list.faults, number, Err(what));
            continue;
        }
        list.written.push(line);
    }
    list
}

fn set_field(line: &mut ListLine, name: &str, value: &Value) -> Result<(), String> {
    let options = &mut line.options;
    match name {
        "source" => line.text = text(name, value)?.unwrap_or_default().into_bytes(),
        "title" => line.title = text(name, value)?,
        "in" => options.in_point = seconds(name, value)?.unwrap_or_default(),
        "out" => options.out_point = seconds(name, value)?,
        "duration" => options.length = seconds(name, value)?,
        "category" => {
            options.category = text(name, value)?;
            // As ffplayout does it.
            options.no_logo = options.category.as_deref() == Some("advertisement");
        }
        "artist" => options.artist = text(name, value)?,
        "audio" => options.sound = text(name, value)?,
        "custom_filter" if text(name, value)?.is_some() => {
            return Err("\"custom_filter\" is ignored: FFMPEG_ARGS sets filters for all items".to_owned());
        }
        _ => {}
    }
    Ok(())
}

/// Drops an out-point at the stated end of the source; a still picture is shown up to it.
fn set_times(line: &mut ListLine) {
    let options = &mut line.options;
    let Some(out) = options.out_point.filter(|out| *out > options.in_point) else { return };
    let at_end = options.length.is_some_and(|whole| !whole.is_zero() && out.saturating_add(AT_END) >= whole);
    options.length = Some(out.saturating_sub(options.in_point));
    options.out_point = options.out_point.filter(|_| !at_end);
}

/// A text; `None` if it is empty or null.
fn text(name: &str, value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(value) => Ok(options::text(value)),
        other => Err(format!("\"{name}\" {} must be a text in quotes", quoted(&other.to_string()))),
    }
}

/// A time in seconds; `None` if it is 0 or null.
fn seconds(name: &str, value: &Value) -> Result<Option<Duration>, String> {
    let found = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64().and_then(time::of_seconds),
        Value::String(clock) => time::seconds(clock),
        _ => None,
    };
    let found = found.ok_or_else(|| {
        let value = quoted(&value.to_string());
        format!("\"{name}\" {value} is not a time: write seconds, such as \"{name}\": 90.5")
    })?;
    Ok(Some(found).filter(|time| !time.is_zero()))
}

/// `text` with a blank instead of each comma before a closing bracket, which ffplayout's own
/// example has.
fn without_trailing_commas(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let (mut in_string, mut escaped, mut comma) = (false, false, None);
    let mut found = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => (in_string, comma) = (!in_string, None),
            _ if in_string => {}
            b',' => comma = Some(at),
            b'}' | b']' => found.extend(comma.take()),
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
    }
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut clean = bytes.to_vec();
    for at in found {
        clean[at] = b' ';
    }
    // An ASCII byte was replaced by another.
    String::from_utf8(clean).map_or(Cow::Borrowed(text), Cow::Owned)
}
