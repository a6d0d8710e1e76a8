//! Elements of EBML (RFC 8794): writes them into memory, reads their heads. Knows no Matroska.

/// The bytes of elements, one after another.
#[derive(Debug, Default)]
pub(crate) struct ElementBytes(pub(crate) Vec<u8>);

impl ElementBytes {
    /// An element with this body.
    pub(crate) fn bytes(&mut self, id: u32, body: &[u8]) -> &mut Self {
        self.head(id, body.len() as u64);
        self.0.extend_from_slice(body);
        self
    }

    /// An unsigned number in the fewest bytes.
    pub(crate) fn uint(&mut self, id: u32, value: u64) -> &mut Self {
        let bytes = value.to_be_bytes();
        let skip = (value.leading_zeros() as usize / 8).min(7);
        self.bytes(id, &bytes[skip..])
    }

    pub(crate) fn float(&mut self, id: u32, value: f64) -> &mut Self {
        self.bytes(id, &value.to_be_bytes())
    }

    pub(crate) fn text(&mut self, id: u32, text: &str) -> &mut Self {
        self.bytes(id, text.as_bytes())
    }

    /// An element that contains the elements that `fill` adds.
    pub(crate) fn master(&mut self, id: u32, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(id, &inner.0)
    }

    /// An element without meaning, of so many bytes in all (at least 2).
    pub(crate) fn void(&mut self, id: u32, all: usize) -> &mut Self {
        if all <= 128 {
            return self.bytes(id, &vec![0; all - 2]);
        }
        put_id(&mut self.0, id);
        self.0.extend(long_size(all as u64 - 9));
        self.0.resize(self.0.len() + all - 9, 0);
        self
    }

    /// The head of an element whose body of `len` bytes follows.
    pub(crate) fn head(&mut self, id: u32, len: u64) {
        put_id(&mut self.0, id);
        match len {
            0..0x7f => self.0.push(0x80 | len as u8),
            0x7f..0x3fff => self.0.extend((0x4000 | len as u16).to_be_bytes()),
            0x3fff..0x0fff_ffff => self.0.extend((0x1000_0000 | len as u32).to_be_bytes()),
            _ => self.0.extend(long_size(len)),
        }
    }
}

/// A size in 8 bytes.
pub(crate) fn long_size(len: u64) -> [u8; 8] {
    (1 << 56 | len).to_be_bytes()
}

/// The size of an element that ends with its file.
pub(crate) const UNKNOWN_SIZE: [u8; 8] = [1, 255, 255, 255, 255, 255, 255, 255];

fn put_id(out: &mut Vec<u8>, id: u32) {
    let skip = (id.leading_zeros() as usize / 8).min(3);
    out.extend_from_slice(&id.to_be_bytes()[skip..]);
}

/// The head of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ElementHead {
    pub(crate) id: u32,
    /// Bytes of the body; `None` if the element ends with its file.
    pub(crate) size: Option<u64>,
    /// Bytes of the head itself.
    pub(crate) len: usize,
}

/// The largest head.
pub(crate) const LONGEST_HEAD: usize = 12;

/// Reads the head at the beginning of `bytes`.
pub(crate) fn head(bytes: &[u8]) -> Option<ElementHead> {
    let id_len = bytes.first()?.leading_zeros() as usize + 1;
    if id_len > 4 {
        return None;
    }
    let id = number(bytes.get(..id_len)?);
    let size_len = bytes.get(id_len)?.leading_zeros() as usize + 1;
    if size_len > 8 {
        return None;
    }
    let marked = number(bytes.get(id_len..id_len + size_len)?);
    let most = (1_u64 << (7 * size_len)) - 1;
    let size = Some(marked & most).filter(|size| *size != most);
    Some(ElementHead { id: id as u32, size, len: id_len + size_len })
}

/// Splits off the element at the beginning of `bytes`: its ID and its body.
pub(crate) fn split(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let head = head(bytes)?;
    let size = usize::try_from(head.size?).ok()?;
    let (body, rest) = bytes.get(head.len..)?.split_at_checked(size)?;
    Some((head.id, body, rest))
}

/// The whole elements in `bytes`: IDs and bodies. Ends before the first that is damaged.
pub(crate) fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (id, body, rest) = split(bytes)?;
        bytes = rest;
        Some((id, body))
    })
}

/// The body of the first element `id` in `bytes`.
pub(crate) fn find(bytes: &[u8], id: u32) -> Option<&[u8]> {
    elements(bytes).find_map(|(found, body)| (found == id).then_some(body))
}

/// An unsigned number of at most 8 bytes.
pub(crate) fn number(body: &[u8]) -> u64 {
    body.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_are_written_as_the_specification_has_them() {
        let mut out = ElementBytes::default();
        out.uint(0x42f7, 1).text(0x4282, "webm").master(0xa3, |inner| {
            inner.uint(0xd7, 300);
        });
        assert_eq!(out.0, b"\x42\xf7\x81\x01\x42\x82\x84webm\xa3\x84\xd7\x82\x01\x2c");
        for all in [2, 100, 128, 129, 5000] {
            let mut out = ElementBytes::default();
            out.void(0xec, all);
            let head = head(&out.0).unwrap();
            assert_eq!((out.0.len(), head.len + head.size.unwrap() as usize), (all, all));
        }
    }

    #[test]
    fn an_unknown_size_is_none() {
        let bytes = [&[0x18, 0x53, 0x80, 0x67][..], &UNKNOWN_SIZE].concat();
        assert_eq!(head(&bytes), Some(ElementHead { id: 0x1853_8067, size: None, len: 12 }));
        assert_eq!(head(&[0xa3, 0xff]).unwrap().size, None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id in prop_oneof![Just(0xa3), Just(0x4282), Just(0x002a_d7b1), Just(0x1f43_b675)],
                                   len in prop_oneof![0..300_usize, Just(0x3fff), Just(0x3ffe), Just(70_000)]) {
            let mut out = ElementBytes::default();
            out.bytes(id, &vec![7; len]).uint(0x85, len as u64);
            let found: Vec<_> = elements(&out.0).map(|(id, body)| (id, body.len())).collect();
            prop_assert_eq!(found[0], (id, len));
            prop_assert_eq!(find(&out.0, 0x85).map(number), Some(len as u64));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (head(&bytes), elements(&bytes).count());
        }
    }
}
