//! The publisher's media as the bytes of an FLV file.

use tgs_rtmp::flv::{FILE_HEADER, Tag, write_tag};

use super::buffer::Headers;

/// Writes tags, after the file's header and the codec headers where the reader begins.
pub(super) fn write_flv(out: &mut Vec<u8>, file_header: bool, headers: Option<&Headers>, tags: &[Tag]) {
    let begin = tags.first().map_or(0, |tag| tag.timestamp);
    if let Some(Headers { video, audio, sound }) = headers {
        if file_header {
            let mut header = FILE_HEADER;
            header[4] = u8::from(video.is_some()) | u8::from(*sound) << 2;
            out.extend(header);
        }
        for tag in [video, audio].into_iter().flatten() {
            // Writing to memory does not fail.
            let _ = write_tag(out, &Tag { timestamp: begin, ..tag.clone() });
        }
    }
    for tag in tags {
        let _ = write_tag(out, tag);
    }
}
