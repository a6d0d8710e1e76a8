//! Checks whether groups of pictures from another encoder can be broadcast unchanged. Pure.
//!
//! The timeline counts pictures, and splices happen between two keyframes. So a group must be
//! short, begin with an IDR picture, and hold as many pictures as its time requires.

use tgs_rtmp::flv::{FlvError, Kind, Tag};

use crate::profile::MAX_KEYFRAME_DISTANCE;

/// Why an item cannot be passed through to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassthroughError {
    #[error("its pictures do not come one after another in equal steps")]
    UnevenPictures,
    #[error("its keyframes are more than 2.1 s apart")]
    LongGroup,
    #[error("a viewer cannot begin at its keyframes (they are no IDR pictures)")]
    NoIdr,
    #[error("it does not begin with a keyframe")]
    NoKeyframe,
    #[error("ffmpeg’s copy of it {0}")]
    Read(FlvError),
    #[error("the copy ends before its end")]
    Short,
}

/// Splits tags into groups of pictures and checks each group.
#[derive(Debug)]
pub(crate) struct GroupSplitter {
    fps: u64,
    open: Vec<Tag>,
    /// The time of the open group's keyframe, and the number of its pictures so far.
    begun: Option<u64>,
    pictures: u64,
}

impl GroupSplitter {
    /// A splitter that expects `fps` pictures per second.
    pub(crate) fn new(fps: u32) -> Self {
        Self { fps: u64::from(fps), open: Vec::new(), begun: None, pictures: 0 }
    }

    /// Takes the next tag. Returns the group that this tag ends, or why the open group cannot be
    /// broadcast.
    pub(crate) fn push(&mut self, tag: Tag) -> Result<Option<Vec<Tag>>, PassthroughError> {
        let picture = tag.kind == Kind::Video && tag.is_frame();
        let mut ended = None;
        if picture && let Some(begun) = self.begun {
            let length = tag.timestamp.saturating_sub(begun);
            // The time must equal the counted pictures to within one picture.
            if (length * self.fps).abs_diff(self.pictures * 1000) > 1000 {
                return Err(PassthroughError::UnevenPictures);
            }
            if tag.is_keyframe() {
                ended = Some(std::mem::take(&mut self.open));
                self.pictures = 0;
            } else if u128::from(length) > MAX_KEYFRAME_DISTANCE.as_millis() {
                return Err(PassthroughError::LongGroup);
            }
        }
        if tag.is_keyframe() {
            if !holds_idr(&tag.body) {
                // The group before this keyframe is valid.
                self.open = ended.unwrap_or_default();
                return Err(PassthroughError::NoIdr);
            }
            self.begun = Some(tag.timestamp);
        } else if picture && self.begun.is_none() {
            return Err(PassthroughError::NoKeyframe);
        }
        self.pictures += u64::from(picture);
        self.open.push(tag);
        Ok(ended)
    }

    /// The last group, at the end of the input.
    pub(crate) fn rest(&mut self) -> Vec<Tag> {
        std::mem::take(&mut self.open)
    }

    /// Time of the open group's keyframe in milliseconds: all groups before were returned.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.unwrap_or(0)
    }
}

/// Whether an H.264 tag holds an IDR slice: a NAL unit of type 5 after its length field of four
/// bytes.
pub(crate) fn holds_idr(body: &[u8]) -> bool {
    let mut rest = body.get(5..).unwrap_or_default();
    while let Some((len, nal)) = rest.split_first_chunk::<4>() {
        if nal.first().is_some_and(|first| first & 0x1f == 5) {
            return true;
        }
        rest = nal.get(u32::from_be_bytes(*len) as usize..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keyframe (an IDR slice or not), another picture, a sound.
    fn tag(kind: char, timestamp: u64) -> Tag {
        let body: Vec<u8> = match kind {
            'K' => vec![0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65],
            'I' => vec![0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x61],
            'p' => vec![0x27, 1, 0, 0, 0, 0, 0, 0, 1, 0x41],
            _ => vec![0xaf, 1, 0],
        };
        let kind = if kind == 's' { Kind::Audio } else { Kind::Video };
        Tag { kind, timestamp, body: body.into() }
    }

    /// Sizes of the groups given out, and how it ended.
    fn groups(tags: &[(char, u64)]) -> (Vec<usize>, Result<(), PassthroughError>) {
        let mut groups = GroupSplitter::new(2);
        let mut sizes = Vec::new();
        for &(kind, time) in tags {
            match groups.push(tag(kind, time)) {
                Ok(Some(group)) => sizes.push(group.len()),
                Ok(None) => {}
                Err(why) => return (sizes, Err(why)),
            }
        }
        sizes.push(groups.rest().len());
        (sizes, Ok(()))
    }

    #[test]
    fn what_comes_evenly_goes_out_group_by_group() {
        let good = [('s', 0), ('K', 0), ('p', 500), ('s', 600), ('K', 1000), ('p', 1500), ('p', 2000)];
        let (sizes, ended) = groups(&good);
        assert!(ended.is_ok());
        assert_eq!(sizes, [4, 3]);
    }

    #[test]
    fn what_cannot_go_on_air_is_reported_before_it_is_given_out() {
        for (tags, given, part) in [
            (&[('p', 0)][..], 0, "begin with a keyframe"),
            (&[('I', 0)], 0, "no IDR"),
            (&[('K', 0), ('p', 500), ('I', 1000)], 0, "no IDR"),
            (&[('K', 0), ('p', 1100)], 0, "equal steps"),
            (&[('K', 0), ('K', 500), ('p', 1000), ('p', 2500)], 1, "equal steps"),
            (&[('K', 0), ('p', 500), ('p', 1000), ('p', 1500), ('p', 2000), ('p', 2500)], 0, "2.1 s apart"),
        ] {
            let (sizes, ended) = groups(tags);
            assert_eq!(sizes.len(), given, "{tags:?}");
            assert!(ended.unwrap_err().to_string().contains(part), "{tags:?}");
        }
    }
}
