//! Files: uploaded in parts, sent as photos or documents, and downloaded in parts.

use std::sync::Arc;

use grammers_tl_types::{enums, functions, types};

use super::{Answer, Caller, Method, calls, error};
use crate::{
    error::RpcError,
    files::{FileKind, StoredFile, picture_size},
    message::now,
    objects::PHOTO_SIZE,
};

/// Largest photo in bytes.
const LARGEST_PHOTO: usize = 10 << 20;
/// Largest part of a download in bytes.
const LARGEST_PIECE: i64 = 1 << 20;

fn named<T>(result: Result<T, &'static str>) -> Answer<T> {
    result.map_err(RpcError::named)
}

impl Method for functions::upload::SaveFilePart {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<bool> {
        let me = caller.me()?.user_id;
        named(caller.state.files.save_part(me, self.file_id, self.file_part, self.bytes))?;
        Ok(true)
    }
}

impl Method for functions::upload::SaveBigFilePart {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<bool> {
        let me = caller.me()?.user_id;
        // -1 while the client does not know the number yet.
        if self.file_total_parts != -1 && self.file_part >= self.file_total_parts {
            return error("FILE_PARTS_INVALID");
        }
        named(caller.state.files.save_part(me, self.file_id, self.file_part, self.bytes))?;
        Ok(true)
    }
}

/// The bytes of an upload.
fn uploaded(caller: &mut Caller<'_>, me: i64, file: &enums::InputFile) -> Answer<Vec<u8>> {
    let (id, parts) = match file {
        enums::InputFile::File(file) => (file.id, file.parts),
        enums::InputFile::Big(file) => (file.id, file.parts),
        enums::InputFile::StoryDocument(_) => return error("MEDIA_INVALID"),
    };
    caller.state.files.take_upload(me, id, parts).map_err(RpcError::named)
}

/// The file that a message is sent with.
pub(super) fn input_media(
    caller: &mut Caller<'_>,
    me: i64,
    media: &enums::InputMedia,
) -> Answer<Arc<StoredFile>> {
    let dc_id = caller.dc_id;
    match media {
        enums::InputMedia::UploadedPhoto(photo) => {
            let bytes = uploaded(caller, me, &photo.file)?;
            if bytes.len() > LARGEST_PHOTO {
                return error("PHOTO_FILE_TOO_BIG");
            }
            let Some((width, height)) = picture_size(&bytes) else { return error("IMAGE_PROCESS_FAILED") };
            if width < 1 || height < 1 || width + height > 10_000 {
                return error("PHOTO_INVALID_DIMENSIONS");
            }
            named(caller.state.files.add(dc_id, FileKind::Photo(width, height), bytes))
        }
        enums::InputMedia::UploadedDocument(document) => {
            let bytes = uploaded(caller, me, &document.file)?;
            let (mime_type, attributes) = (document.mime_type.clone(), document.attributes.clone());
            named(caller.state.files.add(dc_id, FileKind::Document { mime_type, attributes }, bytes))
        }
        enums::InputMedia::Photo(types::InputMediaPhoto { id: enums::InputPhoto::Photo(id), .. }) => {
            named(caller.state.files.find(id.id, id.access_hash, &id.file_reference))
        }
        enums::InputMedia::Document(types::InputMediaDocument {
            id: enums::InputDocument::Document(id),
            ..
        }) => named(caller.state.files.find(id.id, id.access_hash, &id.file_reference)),
        _ => error("MEDIA_INVALID"),
    }
}

/// Offset and limit by the rules of <https://core.telegram.org/api/files#downloading-files>.
fn check_range(precise: bool, offset: i64, limit: i64) -> Answer<()> {
    let unit = if precise { 1024 } else { 4096 };
    if offset < 0 || offset % unit != 0 {
        return error("OFFSET_INVALID");
    }
    let fits = limit > 0 && limit <= LARGEST_PIECE && limit % unit == 0;
    let is_divisor = precise || LARGEST_PIECE % limit.max(1) == 0;
    if !fits || !is_divisor || offset / LARGEST_PIECE != (offset + limit - 1) / LARGEST_PIECE {
        return error("LIMIT_INVALID");
    }
    Ok(())
}

impl Method for functions::upload::GetFile {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::upload::File> {
        caller.me()?;
        let (id, access_hash, reference, size) = match &self.location {
            enums::InputFileLocation::InputGroupCallStream(wanted) => {
                return calls::stream_part(caller, wanted, self.offset, self.limit);
            }
            enums::InputFileLocation::InputDocumentFileLocation(it) => {
                (it.id, it.access_hash, &it.file_reference, &it.thumb_size)
            }
            enums::InputFileLocation::InputPhotoFileLocation(it) => {
                (it.id, it.access_hash, &it.file_reference, &it.thumb_size)
            }
            _ => return error("LOCATION_INVALID"),
        };
        check_range(self.precise, self.offset, self.limit.into())?;
        let file = named(caller.state.files.find(id, access_hash, reference))?;
        if file.dc_id != caller.dc_id {
            return error(&format!("FILE_MIGRATE_{}", file.dc_id));
        }
        let (r#type, wanted) = match file.kind {
            FileKind::Photo(..) => (enums::storage::FileType::FileJpeg, PHOTO_SIZE),
            FileKind::Document { .. } => (enums::storage::FileType::FilePartial, ""),
        };
        if size != wanted {
            return error("LOCATION_INVALID");
        }
        let from = usize::try_from(self.offset).unwrap_or(usize::MAX).min(file.bytes.len());
        let to = from.saturating_add(self.limit.unsigned_abs() as usize).min(file.bytes.len());
        Ok(types::upload::File { r#type, mtime: now(), bytes: file.bytes[from..to].to_vec() }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_real_server() {
        const MIB: i64 = 1 << 20;
        for (precise, offset, limit, good) in [
            (false, 0, MIB, true),
            (false, MIB / 2, MIB / 2, true),
            (false, MIB / 2, MIB, false),
            (false, 1024, 4096, false),
            (false, 4096, 12288, false),
            (true, 4096, 12288, true),
            (true, 1024, 1024, true),
            (true, 1000, 1024, false),
            (true, 0, 1000, false),
            (false, 0, 0, false),
            (false, -4096, 4096, false),
            (false, 0, 2 * MIB, false),
        ] {
            assert_eq!(check_range(precise, offset, limit).is_ok(), good, "{precise} {offset} {limit}");
        }
    }
}
