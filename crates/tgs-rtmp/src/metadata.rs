//! The `onMetaData` object of FLV, with the fields, types and order of ffmpeg's muxer.

use crate::amf0::AmfWriter;

/// The `encoder` field of ffmpeg 5.1.
pub(crate) const MUXER: &str = "Lavf59.27.100";

/// Metadata of a stream of H.264 and AAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// Video bitrate in kbit/s.
    pub video_kbps: u32,
    /// Audio bitrate in kbit/s.
    pub audio_kbps: u32,
    /// Audio sample rate in Hz.
    pub audio_rate: u32,
    /// Audio channels.
    pub channels: u32,
}

impl Metadata {
    /// The body of an FLV script tag with this metadata.
    #[must_use]
    pub fn script_data(&self) -> Vec<u8> {
        // ffmpeg divides bit rates by 1024.
        let rate = |kbps: u32| f64::from(kbps) * 1000.0 / 1024.0;
        let mut body = Vec::new();
        let mut out = AmfWriter(&mut body);
        out.string("onMetaData").array(13);
        out.name("duration").number(0.0);
        out.name("width").number(self.width.into());
        out.name("height").number(self.height.into());
        out.name("videodatarate").number(rate(self.video_kbps));
        out.name("framerate").number(self.fps.into());
        out.name("videocodecid").number(7.0);
        out.name("audiodatarate").number(rate(self.audio_kbps));
        out.name("audiosamplerate").number(self.audio_rate.into());
        out.name("audiosamplesize").number(16.0);
        out.name("stereo").boolean(self.channels == 2);
        out.name("audiocodecid").number(10.0);
        out.name("encoder").string(MUXER);
        out.name("filesize").number(0.0).end();
        body
    }
}
