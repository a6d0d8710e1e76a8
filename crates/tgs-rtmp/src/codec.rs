//! The sequence headers of H.264 and AAC.
//!
//! Reads only size, sampling and format (ISO/IEC 14496-15 §5.3.3.1, ISO/IEC 14496-10 §7.3.2.1.1,
//! ISO/IEC 14496-3 §1.6.2.1). Decodes neither pictures nor sound.

/// Parameters of an H.264 sequence header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvcConfig {
    /// Width in pixels after cropping.
    pub width: u32,
    /// Height in pixels after cropping.
    pub height: u32,
    /// `chroma_format_idc`; 1 is 4:2:0.
    pub chroma_format: u32,
    /// Bits per luma sample.
    pub bit_depth: u32,
}

/// Parameters of an AAC sequence header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AacConfig {
    /// MPEG-4 audio object type; 2 is AAC-LC.
    pub object_type: u8,
    /// Sample rate in Hz.
    pub rate: u32,
    /// Channels, from the channel configuration.
    pub channels: u32,
}

/// Sampling frequencies by index (ISO/IEC 14496-3, table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

impl AacConfig {
    /// Parses an FLV audio tag body that holds an AudioSpecificConfig; `None` for any other body.
    #[must_use]
    pub fn parse(tag_body: &[u8]) -> Option<Self> {
        let config = tag_body.get(2..)?;
        let (first, second) = (*config.first()?, *config.get(1)?);
        let index = usize::from((first & 7) << 1 | second >> 7);
        Some(Self {
            object_type: first >> 3,
            rate: *RATES.get(index)?,
            channels: u32::from(second >> 3 & 0x0f),
        })
    }
}

impl AvcConfig {
    /// Parses an FLV video tag body that holds an AVCDecoderConfigurationRecord; `None` for any
    /// other body.
    #[must_use]
    pub fn parse(tag_body: &[u8]) -> Option<Self> {
        let record = tag_body.get(5..)?;
        let count = record.get(5)? & 0x1f;
        let len = usize::from(u16::from_be_bytes([*record.get(6)?, *record.get(7)?]));
        if count == 0 {
            return None;
        }
        Self::parse_sps(record.get(8..8 + len)?)
    }

    fn parse_sps(nal: &[u8]) -> Option<Self> {
        let mut bits = Bits::without_emulation(nal.get(1..)?);
        let profile = bits.take(8)?;
        bits.take(16)?; // constraint flags, level
        bits.golomb()?; // seq_parameter_set_id
        let (mut chroma_format, mut bit_depth) = (1, 8);
        if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134].contains(&profile) {
            chroma_format = bits.golomb()?;
            if chroma_format == 3 {
                bits.take(1)?;
            }
            bit_depth = 8 + bits.golomb()?;
            bits.golomb()?; // chroma bit depth
            bits.take(1)?;
            if bits.take(1)? == 1 {
                return None; // scaling matrices: no encoder of ours writes them
            }
        }
        bits.golomb()?; // log2_max_frame_num
        match bits.golomb()? {
            0 => {
                bits.golomb()?;
            }
            1 => return None, // picture order by table: as above
            _ => {}
        }
        bits.golomb()?; // reference frames
        bits.take(1)?;
        let columns = bits.golomb()?.checked_add(1)?;
        let rows = bits.golomb()?.checked_add(1)?;
        let frames_only = bits.take(1)?;
        if frames_only == 0 {
            bits.take(1)?;
        }
        bits.take(1)?;
        let (mut crop_x, mut crop_y) = (0, 0);
        if bits.take(1)? == 1 {
            let (unit_x, unit_y) = match chroma_format {
                1 => (2, 2),
                2 => (2, 1),
                _ => (1, 1),
            };
            crop_x = bits.golomb()?.checked_add(bits.golomb()?)?.checked_mul(unit_x)?;
            crop_y = bits.golomb()?.checked_add(bits.golomb()?)?.checked_mul(unit_y * (2 - frames_only))?;
        }
        Some(Self {
            width: columns.checked_mul(16)?.checked_sub(crop_x)?,
            height: rows.checked_mul(16 * (2 - frames_only))?.checked_sub(crop_y)?,
            chroma_format,
            bit_depth,
        })
    }
}

/// A bit reader over a NAL unit's payload.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// Removes the emulation prevention bytes (00 00 03).
    fn without_emulation(nal: &[u8]) -> Self {
        let mut bytes: Vec<u8> = Vec::with_capacity(nal.len());
        let mut zeros = 0;
        for &byte in nal {
            if byte == 3 && zeros >= 2 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// Reads an unsigned Exp-Golomb code.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.take(zeros)?;
        (1_u32 << zeros).checked_sub(1)?.checked_add(rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The FFMPEG_ARGS trials cover headers of the real ffmpeg.

    #[test]
    fn an_audio_header_is_read() {
        let sound = AacConfig::parse(&[0xaf, 0, 0x12, 0x10]).unwrap();
        assert_eq!(sound, AacConfig { object_type: 2, rate: 44_100, channels: 2 });
        assert_eq!(AacConfig::parse(&[0xaf, 0, 0x12]), None);
    }

    #[test]
    fn escapes_are_taken_out() {
        assert_eq!(Bits::without_emulation(&[1, 0, 0, 3, 0, 0, 3, 4]).bytes, [1, 0, 0, 0, 0, 4]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (AvcConfig::parse(&bytes), AacConfig::parse(&bytes), AvcConfig::parse_sps(&bytes));
        }
    }
}
