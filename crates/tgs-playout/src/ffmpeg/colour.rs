//! How a picture's samples mean colours, and the filters that make them BT.709, limited range.
//!
//! HDR is tone-mapped to SDR: 203 cd/m², diffuse white (ITU-R BT.2408), becomes a grey of 78 %, and
//! the brightest value that the transfer function can carry becomes white. All of it keeps its hue.

/// The matrix between RGB and the stored samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.709.
    #[default]
    Bt709,
    /// ITU-R BT.601, for 525 and 625 lines.
    Bt601,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
    /// ITU-R BT.2020, constant luminance.
    Bt2020Constant,
    /// SMPTE ST 240.
    Smpte240,
    /// FCC 73.682.
    Fcc,
    /// The samples are RGB or grey, or ffmpeg's decoder alone knows.
    Other,
}

/// The colours of the three primaries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Primaries {
    /// ITU-R BT.709, and what is close to it.
    #[default]
    Bt709,
    /// 525 lines (SMPTE 170M).
    Smpte170,
    /// 625 lines (EBU Tech. 3213).
    Bt470bg,
    /// ITU-R BT.2020.
    Bt2020,
    /// DCI-P3 with the white of a display.
    DisplayP3,
}

/// The transfer function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transfer {
    /// SDR, of any kind.
    #[default]
    Sdr,
    /// SMPTE ST 2084, PQ: HDR10.
    Pq,
    /// ARIB STD-B67: HLG.
    Hlg,
}

/// What a picture's samples mean. The default is what the encoder makes: BT.709, limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Colour {
    /// The matrix.
    pub matrix: Matrix,
    /// The primaries.
    pub primaries: Primaries,
    /// The transfer function.
    pub transfer: Transfer,
    /// Whether the samples use the full range.
    pub full: bool,
}

/// The pixel formats with 8 or 10 bits that zscale takes; others are converted to the nearest.
const FORMATS: &str =
    "format=yuv420p|yuvj420p|yuv422p|yuvj422p|yuv444p|yuvj444p|yuv420p10|yuv422p10|yuv444p10";

/// The limits of PQ and HLG in units of diffuse white: 10000 and 1000 cd/m² of 203.
const PEAK_OF_PQ: f64 = 10_000.0 / 203.0;
const PEAK_OF_HLG: f64 = 1000.0 / 203.0;

/// What diffuse white becomes, in linear light: 78 % after a gamma of 2.4.
const DIFFUSE_WHITE: f64 = 0.55;

impl Colour {
    /// The filters that scale a picture to this `size` (options of `scale`) and make it BT.709.
    pub(super) fn scaled(self, size: &str) -> String {
        if self.matrix == Matrix::Other {
            return format!("scale={size}:out_color_matrix=bt709:out_range=tv");
        }
        if self == Self::default() {
            // Equal matrices: no conversion, and a third of the time.
            return format!("scale={size}:in_color_matrix=bt709:out_color_matrix=bt709:out_range=tv");
        }
        let range = if self.full { "pc" } else { "tv" };
        // zscale converts in a third of swscale's time, and is the only one to know primaries.
        let scale = format!("scale={size}:in_range={range}:out_range={range}");
        match self.transfer {
            Transfer::Sdr => format!(
                "{scale},{FORMATS},zscale={}:tin=709:m=709:p=709:t=709:r=limited,format=yuv420p",
                self.input()
            ),
            Transfer::Pq => format!("{scale},{}", self.tone_map("smpte2084", PEAK_OF_PQ)),
            Transfer::Hlg => format!("{scale},{}", self.tone_map("arib-std-b67", PEAK_OF_HLG)),
        }
    }

    /// The same for a picture with transparency, over black.
    pub(super) fn over_black(self, size: &str) -> String {
        let matrix = match self.matrix {
            Matrix::Other => String::new(),
            matrix => format!("in_color_matrix={}:", matrix.for_scale()),
        };
        // Multiplied before it is scaled: the colour of what is transparent must not bleed.
        format!(
            "scale={matrix}out_range=pc,format=gbrap,premultiply=inplace=1,\
             scale={size}:out_color_matrix=bt709:out_range=tv,format=yuv420p"
        )
    }

    /// Reinhard's curve with its one parameter so chosen that it goes through [`DIFFUSE_WHITE`].
    fn tone_map(self, transfer: &str, peak: f64) -> String {
        let offset = (1.0 - DIFFUSE_WHITE) * peak / (DIFFUSE_WHITE * peak - 1.0);
        let param = 1.0 / (1.0 + offset);
        format!(
            "format=yuv420p10,zscale={}:tin={transfer}:p=709:t=linear:npl=203:m=gbr:r=full,format=gbrpf32,\
             tonemap=reinhard:param={param:.4}:peak={peak:.3}:desat=0,zscale=t=709:m=709:r=limited,format=yuv420p",
            self.input()
        )
    }

    fn input(self) -> String {
        let matrix = match self.matrix {
            Matrix::Bt709 | Matrix::Other => "709",
            Matrix::Bt601 => "170m",
            Matrix::Bt2020 => "2020_ncl",
            Matrix::Bt2020Constant => "2020_cl",
            Matrix::Smpte240 => "240m",
            Matrix::Fcc => "fcc",
        };
        let primaries = match self.primaries {
            Primaries::Bt709 => "709",
            Primaries::Smpte170 => "170m",
            Primaries::Bt470bg => "bt470bg",
            Primaries::Bt2020 => "2020",
            Primaries::DisplayP3 => "smpte432",
        };
        let range = if self.full { "full" } else { "limited" };
        format!("min={matrix}:pin={primaries}:rin={range}")
    }
}

impl Matrix {
    fn for_scale(self) -> &'static str {
        match self {
            Self::Bt709 | Self::Other => "bt709",
            Self::Bt601 => "bt601",
            Self::Bt2020 | Self::Bt2020Constant => "bt2020",
            Self::Smpte240 => "smpte240m",
            Self::Fcc => "fcc",
        }
    }
}
