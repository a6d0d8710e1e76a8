//! Checks whether an item is stored in a format that passthrough can send.

use super::{
    ffprobe::FfprobeOutput, found::EncodedFormat, measure::SAME_END, pick::StreamChoice, times::ratio,
};

/// The stored format of the chosen streams.
pub(super) fn stored(answer: &FfprobeOutput, choice: &StreamChoice) -> Option<EncodedFormat> {
    let (picture, sound) = (choice.picture?, choice.sound?);
    let fps = picture.avg_frame_rate.as_deref().and_then(ratio)?;
    let even = picture.r_frame_rate.as_deref().and_then(ratio).is_some_and(|rate| (rate - fps).abs() < 0.01);
    let plain = picture.codec_name.as_deref() == Some("h264")
        && picture.pix_fmt.as_deref() == Some("yuv420p")
        && matches!(picture.sample_aspect_ratio.as_deref(), None | Some("1:1" | "N/A"))
        && matches!(picture.field_order.as_deref(), Some("progressive"))
        && picture.side_data_list.iter().all(|data| data.get("rotation").is_none())
        && (sound.codec_name.as_deref(), sound.profile.as_deref()) == (Some("aac"), Some("LC"))
        && !answer.hides();
    // A copy would lose the surplus of the longer stream, and a stream without an end of its own
    // may have one.
    let ends = [picture.own_end(&answer.format)?, sound.own_end(&answer.format)?];
    if ends[0].abs_diff(ends[1]) > SAME_END || answer.is_estimated() {
        return None;
    }
    Some(EncodedFormat {
        fps,
        rate: sound.sample_rate.as_deref()?.parse().ok()?,
        channels: sound.channels?,
        kbps: answer.format.bit_rate.as_deref()?.parse::<u32>().ok()? / 1000,
    })
    .filter(|_| plain && even)
}
