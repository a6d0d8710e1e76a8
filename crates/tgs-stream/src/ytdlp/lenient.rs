//! Reads almost-JSON: Python's `NaN` and `Infinity`, text around it, fields of unexpected types.
//!
//! A field of an unusable type counts as missing.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

/// How many positions are tried as the start of the answer: warnings may hold braces.
const MAX_STARTS: usize = 32;

/// The first object in `output` that `is_answer` accepts; starts of lines are tried first.
/// Otherwise the last parse error.
pub(super) fn object<T: DeserializeOwned>(
    output: &[u8],
    is_answer: impl Fn(&T) -> bool,
) -> Result<T, serde_json::Error> {
    let text = without_nan(output);
    let mut failed = None;
    for start in starts(&text) {
        // Text after the object is ignored.
        match serde_json::Deserializer::from_slice(&text[start..]).into_iter::<T>().next() {
            Some(Ok(found)) if is_answer(&found) => return Ok(found),
            Some(Err(error)) => failed = Some(error),
            _ => {}
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Err(serde::de::Error::custom("there is no JSON object in it")),
    }
}

/// Candidate positions: lines that start with a brace, then the first brace of the others.
fn starts(text: &[u8]) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut others = Vec::new();
    let mut begin = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let blank = line.strip_prefix(b"\xef\xbb\xbf").map_or(0, |_| 3);
        match line.iter().position(|byte| *byte == b'{') {
            Some(at) if line[blank..at].trim_ascii().is_empty() => lines.push(begin + at),
            Some(at) => others.push(begin + at),
            None => {}
        }
        begin += line.len() + 1;
        if lines.len() + others.len() >= MAX_STARTS {
            break;
        }
    }
    lines.extend(others);
    lines
}

/// Replaces `NaN`, `Infinity` and `-Infinity` outside strings by `null`.
fn without_nan(json: &[u8]) -> Cow<'_, [u8]> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out: Option<Vec<u8>> = None;
    let (mut quoted, mut at, mut copied) = (false, 0, 0);
    while at < json.len() {
        match json[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            // JSON strings end on their line: an odd quote in a warning must not affect the next
            // line.
            b'\n' => quoted = false,
            b'N' | b'I' | b'-' if !quoted => {
                if let Some(word) = WORDS.iter().find(|word| json[at..].starts_with(word)) {
                    let out = out.get_or_insert_with(Vec::new);
                    out.extend_from_slice(&json[copied..at]);
                    out.extend_from_slice(b"null");
                    at += word.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    match out {
        Some(mut out) => {
            out.extend_from_slice(&json[copied..]);
            Cow::Owned(out)
        }
        None => Cow::Borrowed(json),
    }
}

/// The text of a string or number.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(plain_text(Value::deserialize(from)?))
}

fn plain_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A finite number, also as a string.
pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let number = text(from)?.and_then(|text| text.trim().parse::<f64>().ok());
    Ok(number.filter(|number| number.is_finite()))
}

/// A boolean, also as a string or number.
pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Bool(flag) => Some(flag),
        Value::Number(number) => number.as_f64().map(|number| number != 0.0),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    })
}

/// The strings and numbers of an object.
pub(super) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    let Value::Object(fields) = Value::deserialize(from)? else { return Ok(Vec::new()) };
    Ok(fields.into_iter().filter_map(|(name, value)| Some((name, plain_text(value)?))).collect())
}

/// The objects of an array; other elements are skipped.
pub(super) fn objects<'de, D, T>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let found = Option::<Vec<Lenient<T>>>::deserialize(from)?;
    Ok(found.map(|all| all.into_iter().filter_map(|one| one.0).collect()))
}

/// An object; other values count as missing.
struct Lenient<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(LooseVisitor(PhantomData)).map(Self)
    }
}

struct LooseVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for LooseVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
