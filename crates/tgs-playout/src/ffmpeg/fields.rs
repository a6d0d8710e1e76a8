//! How a picture is made of fields, and the filters that make it progressive.

use crate::profile::Profile;

/// Which field of a frame is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldOrder {
    /// The field with the topmost line.
    Top,
    /// The other field.
    Bottom,
}

/// How a picture is made of fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fields {
    /// It is not.
    #[default]
    Progressive,
    /// Each frame holds two fields of different times.
    Interlaced {
        /// The order that was measured; `None` for that of each frame's own flags.
        order: Option<FieldOrder>,
    },
    /// Film of 24 frames per second, spread over 60 fields by 3:2 pulldown.
    Telecined(FieldOrder),
}

impl Fields {
    /// Whether the profile's rate has room for each field.
    pub(super) fn keeps_fields(profile: &Profile) -> bool {
        profile.fps >= 50
    }

    /// The rate in frames per second that [`Self::filters`] makes of `fps`.
    pub(super) fn rate(self, profile: &Profile, fps: f64) -> f64 {
        match self {
            Self::Interlaced { .. } if Self::keeps_fields(profile) => fps * 2.0,
            Self::Telecined(_) => fps * 0.8,
            _ => fps,
        }
    }

    /// The filters that make the picture progressive; `None` if it is.
    pub(super) fn filters(self, profile: &Profile) -> Option<String> {
        let mode = if Self::keeps_fields(profile) { "send_field" } else { "send_frame" };
        match self {
            Self::Progressive => None,
            Self::Interlaced { order: None } => Some(format!("bwdif=mode={mode}:deint=interlaced")),
            Self::Interlaced { order: Some(order) } => {
                Some(format!("bwdif=mode={mode}:parity={}:deint=all", order.option()))
            }
            // Frames that no other field matches, at cuts, are deinterlaced.
            Self::Telecined(order) => Some(format!(
                "format=yuv420p|yuv422p|yuv444p|yuv411p,fieldmatch=order={}:combmatch=full,\
                 bwdif=mode=send_frame:deint=interlaced,decimate",
                order.option()
            )),
        }
    }
}

impl FieldOrder {
    fn option(self) -> &'static str {
        match self {
            Self::Top => "tff",
            Self::Bottom => "bff",
        }
    }
}
