//! AMF0, the part that RTMP commands use (Adobe's "Action Message Format -- AMF 0"). No AMF3.
//!
//! Objects keep the order of their fields: tests compare commands with ffmpeg's byte for byte.
//! The reader limits nesting.

const NUMBER: u8 = 0;
const BOOLEAN: u8 = 1;
const STRING: u8 = 2;
const OBJECT: u8 = 3;
const NULL: u8 = 5;
const UNDEFINED: u8 = 6;
const ECMA_ARRAY: u8 = 8;
const OBJECT_END: u8 = 9;
const STRICT_ARRAY: u8 = 10;
const DATE: u8 = 11;
const LONG_STRING: u8 = 12;

/// Nesting limit; `ex` in a reply's information object is at depth 2.
const MAX_DEPTH: u8 = 8;

/// A decoded value.
#[derive(Debug, Clone, PartialEq)]
pub enum AmfValue {
    /// A number.
    Number(f64),
    /// A boolean.
    Boolean(bool),
    /// A string; invalid UTF-8 is replaced.
    String(String),
    /// An object or ECMA array, in the order sent.
    Object(Vec<(String, AmfValue)>),
    /// A strict array.
    Array(Vec<AmfValue>),
    /// Null, undefined or a date.
    Null,
}

impl AmfValue {
    /// The string, if the value is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, if the value is one.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// The field `name`, if the value is an object that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&AmfValue> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// Appends values to a message body.
#[derive(Debug)]
pub(crate) struct AmfWriter<'a>(pub(crate) &'a mut Vec<u8>);

impl AmfWriter<'_> {
    pub(crate) fn number(&mut self, value: f64) -> &mut Self {
        self.0.push(NUMBER);
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn boolean(&mut self, value: bool) -> &mut Self {
        self.0.extend([BOOLEAN, u8::from(value)]);
        self
    }

    pub(crate) fn string(&mut self, value: &str) -> &mut Self {
        self.0.push(STRING);
        self.name(value)
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.0.push(NULL);
        self
    }

    /// Begins an object: [`AmfWriter::name`] and a value for each field, then [`AmfWriter::end`].
    pub(crate) fn object(&mut self) -> &mut Self {
        self.0.push(OBJECT);
        self
    }

    /// Begins an ECMA array that declares `count` fields.
    pub(crate) fn array(&mut self, count: u32) -> &mut Self {
        self.0.push(ECMA_ARRAY);
        self.0.extend(count.to_be_bytes());
        self
    }

    /// Writes a field's name. [`RtmpUrl`](crate::url::RtmpUrl) keeps names below 65535 bytes.
    pub(crate) fn name(&mut self, name: &str) -> &mut Self {
        let bytes = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
        self.0.extend((bytes.len() as u16).to_be_bytes());
        self.0.extend(bytes);
        self
    }

    pub(crate) fn end(&mut self) -> &mut Self {
        self.0.extend([0, 0, OBJECT_END]);
        self
    }
}

/// Decodes a message body up to the first invalid value.
#[must_use]
pub fn read(body: &[u8]) -> Vec<AmfValue> {
    let mut input = AmfReader(body);
    std::iter::from_fn(|| input.value(0)).collect()
}

struct AmfReader<'a>(&'a [u8]);

impl AmfReader<'_> {
    fn value(&mut self, depth: u8) -> Option<AmfValue> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.byte()? {
            NUMBER => Some(AmfValue::Number(f64::from_be_bytes(self.bytes()?))),
            BOOLEAN => Some(AmfValue::Boolean(self.byte()? != 0)),
            STRING => Some(AmfValue::String(self.name()?)),
            LONG_STRING => {
                let len = u32::from_be_bytes(self.bytes()?) as usize;
                Some(AmfValue::String(self.text(len)?))
            }
            OBJECT => self.object(depth),
            ECMA_ARRAY => {
                self.bytes::<4>()?;
                self.object(depth)
            }
            STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.bytes()?);
                (0..count).map(|_| self.value(depth + 1)).collect::<Option<_>>().map(AmfValue::Array)
            }
            DATE => self.bytes::<10>().map(|_| AmfValue::Null),
            NULL | UNDEFINED => Some(AmfValue::Null),
            _ => None,
        }
    }

    fn object(&mut self, depth: u8) -> Option<AmfValue> {
        let mut fields = Vec::new();
        loop {
            let name = self.name()?;
            if name.is_empty() && self.0.first() == Some(&OBJECT_END) {
                self.byte()?;
                return Some(AmfValue::Object(fields));
            }
            fields.push((name, self.value(depth + 1)?));
        }
    }

    fn name(&mut self) -> Option<String> {
        let len = u16::from_be_bytes(self.bytes()?);
        self.text(len.into())
    }

    fn text(&mut self, len: usize) -> Option<String> {
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_back_in_order() {
        let mut body = Vec::new();
        let mut out = AmfWriter(&mut body);
        out.string("connect").number(1.0).object();
        out.name("z").boolean(true).name("a").string("ü").name("o").object().name("n").null().end().end();
        out.array(1).name("k").number(-2.5).end();
        let field = |name: &str, value| (name.to_owned(), value);
        let text = |text: &str| AmfValue::String(text.to_owned());
        let expected = vec![
            text("connect"),
            AmfValue::Number(1.0),
            AmfValue::Object(vec![
                field("z", AmfValue::Boolean(true)),
                field("a", text("ü")),
                field("o", AmfValue::Object(vec![field("n", AmfValue::Null)])),
            ]),
            AmfValue::Object(vec![field("k", AmfValue::Number(-2.5))]),
        ];
        assert_eq!(read(&body), expected);
        // Values before a truncation are still decoded.
        assert_eq!(read(&body[..body.len() - 1]), expected[..3]);
        assert_eq!(expected[2].get("a").and_then(AmfValue::as_str), Some("ü"));
    }

    #[test]
    fn the_other_crate_reads_the_same() {
        let mut body = Vec::new();
        AmfWriter(&mut body).string("s").number(7.0).null().object().name("k").boolean(false).end();
        let read = rml_amf0::deserialize(&mut body.as_slice()).unwrap();
        assert_eq!(rml_amf0::serialize(&read).unwrap(), body);
    }

    #[test]
    fn deep_nesting_ends_the_reading() {
        let body = [OBJECT, 0, 1, b'a'].repeat(1_000_000);
        assert_eq!(read(&body), []);
        let arrays = [STRICT_ARRAY, 255, 255, 255, 255].repeat(1_000_000);
        assert_eq!(read(&arrays), []);
    }

    proptest! {
        #[test]
        fn garbage_is_read_without_panic(body in proptest::collection::vec(0_u8..14, 0..200)) {
            let _ = read(&body);
        }
    }
}
