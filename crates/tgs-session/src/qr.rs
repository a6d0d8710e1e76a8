//! A QR code in the terminal. It is the login token, so it is taken off the screen once it is of no use.

use std::io::{Write, stderr};

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use tgs_core::secret::Secret;

use crate::failed::Failed;

/// Black on white, whatever colours the terminal has: many a camera reads nothing else.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const USUAL: &str = "\x1b[0m";

/// A code on the screen, until it is dropped.
#[derive(Debug)]
pub(crate) struct Drawn {
    lines: usize,
}

impl Drawn {
    /// Draws a code that says `link`.
    pub(crate) fn draw(link: &Secret<String>) -> Result<Self, Failed> {
        let lines = picture(link.expose())?;
        let mut screen = stderr();
        for line in &lines {
            let _ = writeln!(screen, "{BLACK_ON_WHITE}{line}{USUAL}");
        }
        Ok(Self { lines: lines.len() })
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        // Up to its first line, and from there everything away.
        let _ = write!(stderr(), "\x1b[{}F\x1b[J", self.lines);
    }
}

/// Two rows of the code in each line, with the blank border that readers need.
fn picture(link: &str) -> Result<Vec<String>, Failed> {
    // Nothing covers a code on a screen, and a smaller one is read from further away.
    let code = QrCode::with_error_correction_level(link, EcLevel::L)
        .map_err(|error| Failed::new(format!("draw the QR code: {error}; use --phone instead")))?;
    let picture = code.render::<Dense1x2>().module_dimensions(1, 1).build();
    Ok(picture.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_into_a_terminal() {
        // As long as Telegram's tokens are.
        let lines = picture(&format!("tg://login?token={}", "A".repeat(48))).unwrap();
        assert!(lines.len() < 24, "{} lines", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() < 80), "{lines:#?}");
        assert_eq!(lines[0].trim(), "");
    }
}
