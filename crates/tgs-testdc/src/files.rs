//! Photos and documents: the parts of uploads, and the files that messages refer to. In memory,
//! bounded. Data only.
//!
//! Rules: <https://core.telegram.org/api/files>

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use grammers_tl_types::enums;

use crate::{crypt::random_id, message::now};

/// Largest part of an upload in bytes.
const LARGEST_PART: usize = 512 << 10;
/// Bytes of all files and parts together. The real server has no such limit.
const MOST_BYTES: usize = 256 << 20;
/// Most parts of an upload: those of an account without Premium.
const MOST_PARTS: i32 = 4000;

/// What a file is shown as.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FileKind {
    /// A photo with its width and height.
    Photo(i32, i32),
    /// A document.
    Document { mime_type: String, attributes: Vec<enums::DocumentAttribute> },
}

/// A file that a message can refer to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredFile {
    pub(crate) id: i64,
    pub(crate) access_hash: i64,
    /// The DC that has received it, and alone serves it.
    pub(crate) dc_id: i32,
    pub(crate) date: i32,
    pub(crate) kind: FileKind,
    pub(crate) bytes: Arc<[u8]>,
}

/// All files.
#[derive(Debug, Default)]
pub(crate) struct FileStore {
    /// The parts of uploads by user and the client's file id.
    uploads: HashMap<(i64, i64), BTreeMap<i32, Vec<u8>>>,
    files: HashMap<i64, Arc<StoredFile>>,
    bytes: usize,
    /// Grows when all references expire.
    generation: i32,
}

impl FileStore {
    /// Keeps a part of an upload; a repeated part replaces the earlier one.
    pub(crate) fn save_part(
        &mut self,
        user: i64,
        file: i64,
        part: i32,
        bytes: Vec<u8>,
    ) -> Result<(), &'static str> {
        match bytes.len() {
            0 => return Err("FILE_PART_EMPTY"),
            length if length > LARGEST_PART => return Err("FILE_PART_TOO_BIG"),
            _ => {}
        }
        if !(0..MOST_PARTS).contains(&part) {
            return Err("FILE_PART_INVALID");
        }
        let parts = self.uploads.entry((user, file)).or_default();
        self.bytes -= parts.remove(&part).map_or(0, |earlier| earlier.len());
        if self.bytes + bytes.len() > MOST_BYTES {
            return Err("STORAGE_FULL_HERE");
        }
        self.bytes += bytes.len();
        parts.insert(part, bytes);
        Ok(())
    }

    /// The bytes of an upload of `count` parts, which is used up.
    pub(crate) fn take_upload(&mut self, user: i64, file: i64, count: i32) -> Result<Vec<u8>, String> {
        let parts = self.uploads.remove(&(user, file)).unwrap_or_default();
        self.bytes -= parts.values().map(Vec::len).sum::<usize>();
        if count < 1 || parts.len() > count.unsigned_abs() as usize {
            return Err("FILE_PARTS_INVALID".to_owned());
        }
        if let Some(missing) = (0..count).find(|part| !parts.contains_key(part)) {
            return Err(format!("FILE_PART_{missing}_MISSING"));
        }
        let size = parts[&0].len();
        let last = count - 1;
        let fits = |(part, bytes): (&i32, &Vec<u8>)| {
            *part == last && bytes.len() <= size
                || bytes.len() == size && size.is_multiple_of(1024) && LARGEST_PART.is_multiple_of(size)
        };
        if !parts.iter().all(fits) {
            return Err("FILE_PART_SIZE_INVALID".to_owned());
        }
        Ok(parts.into_values().flatten().collect())
    }

    /// Adds a file.
    pub(crate) fn add(
        &mut self,
        dc_id: i32,
        kind: FileKind,
        bytes: Vec<u8>,
    ) -> Result<Arc<StoredFile>, &'static str> {
        if self.bytes + bytes.len() > MOST_BYTES {
            return Err("STORAGE_FULL_HERE");
        }
        self.bytes += bytes.len();
        let (id, access_hash) = (random_id(), random_id());
        let file = StoredFile { id, access_hash, dc_id, date: now(), kind, bytes: bytes.into() };
        let file = Arc::new(file);
        self.files.insert(id, Arc::clone(&file));
        Ok(file)
    }

    /// The reference that messages carry now.
    pub(crate) fn reference(&self) -> Vec<u8> {
        self.generation.to_le_bytes().to_vec()
    }

    /// Lets all references expire that clients have received so far.
    pub(crate) fn expire_references(&mut self) {
        self.generation += 1;
    }

    /// The file that a client refers to.
    pub(crate) fn find(
        &self,
        id: i64,
        access_hash: i64,
        reference: &[u8],
    ) -> Result<Arc<StoredFile>, &'static str> {
        let file = self.files.get(&id).filter(|file| file.access_hash == access_hash);
        let Some(file) = file else { return Err("FILE_ID_INVALID") };
        match reference.try_into().map(i32::from_le_bytes) {
            Ok(generation) if generation == self.generation => Ok(Arc::clone(file)),
            Ok(_) => Err("FILE_REFERENCE_EXPIRED"),
            Err(_) => Err("FILE_REFERENCE_INVALID"),
        }
    }
}

/// Width and height of a JPEG or PNG picture.
pub(crate) fn picture_size(bytes: &[u8]) -> Option<(i32, i32)> {
    if let Some(header) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") {
        let number = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
        return Some((i32::try_from(number(8)?).ok()?, i32::try_from(number(12)?).ok()?));
    }
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, high, low, ..] = *rest else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // Start of frame, of any coding.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let number =
                |at: usize| Some(i32::from(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?])));
            return Some((number(7)?, number(5)?));
        }
        rest = rest.get(2 + length..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_has_all_its_parts_of_one_size() {
        let mut store = FileStore::default();
        let part = vec![1; 1024];
        for (n, bytes) in [(0, part.clone()), (1, part.clone()), (2, vec![2; 10])] {
            store.save_part(5, 7, n, bytes).unwrap();
        }
        assert_eq!(store.take_upload(6, 7, 3), Err("FILE_PART_0_MISSING".to_owned()));
        assert_eq!(store.take_upload(5, 7, 3).unwrap().len(), 2058);
        assert_eq!(store.take_upload(5, 7, 3), Err("FILE_PART_0_MISSING".to_owned()));
        assert_eq!(store.bytes, 0);
        for (sizes, error) in [
            (&[1024, 2048][..], "FILE_PART_SIZE_INVALID"),
            (&[3072, 3072, 1], "FILE_PART_SIZE_INVALID"),
            (&[1024, 0], "FILE_PART_1_MISSING"),
        ] {
            for (n, size) in sizes.iter().enumerate() {
                let _ = store.save_part(5, 7, n as i32, vec![0; *size]);
            }
            assert_eq!(store.take_upload(5, 7, sizes.len() as i32), Err(error.to_owned()), "{sizes:?}");
        }
        assert_eq!(store.save_part(5, 7, 0, vec![0; LARGEST_PART + 1]), Err("FILE_PART_TOO_BIG"));
        assert_eq!(store.save_part(5, 7, MOST_PARTS, part), Err("FILE_PART_INVALID"));
    }

    #[test]
    fn all_files_together_are_bounded() {
        let mut store = FileStore::default();
        let full = (0..10_000).find(|n| store.save_part(5, *n, 0, vec![0; LARGEST_PART]).is_err()).unwrap();
        assert_eq!(full as usize * LARGEST_PART, MOST_BYTES);
        assert!(store.add(1, FileKind::Photo(1, 1), vec![0]).is_err());
    }

    #[test]
    fn references_expire() {
        let mut store = FileStore::default();
        let file = store.add(2, FileKind::Photo(1, 1), vec![7]).unwrap();
        let old = store.reference();
        assert_eq!(store.find(file.id, file.access_hash, &old), Ok(Arc::clone(&file)));
        assert_eq!(store.find(file.id, file.access_hash, b""), Err("FILE_REFERENCE_INVALID"));
        assert_eq!(store.find(file.id, 0, &old), Err("FILE_ID_INVALID"));
        store.expire_references();
        assert_eq!(store.find(file.id, file.access_hash, &old), Err("FILE_REFERENCE_EXPIRED"));
    }

    #[test]
    fn the_size_of_a_picture_is_in_its_header() {
        let jpeg =
            [&[0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xc0, 0, 11, 8][..], &[0, 90, 0, 160]].concat();
        assert_eq!(picture_size(&jpeg), Some((160, 90)));
        let png = [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &[0, 0, 0, 3, 0, 0, 0, 4]].concat();
        assert_eq!(picture_size(&png), Some((3, 4)));
        for length in 0..jpeg.len() {
            assert_eq!(picture_size(&jpeg[..length]), None, "{length}");
        }
    }
}
