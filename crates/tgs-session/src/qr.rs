//! Draws a QR code in the terminal. The code contains the login token, so `Drawn` erases it on
//! drop.

use std::io::{Write, stderr};

use anyhow::Context as _;
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use rustix::termios::tcgetwinsize;
use tgs_core::{error::CliError, secret::Secret};

/// Black on white in every colour scheme: many readers do not accept inverted codes.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const USUAL: &str = "\x1b[0m";

/// A QR code on the screen; dropping the value erases the code.
#[derive(Debug)]
pub(crate) struct Drawn {
    lines: usize,
}

impl Drawn {
    /// Draws `link` as a QR code.
    pub(crate) fn draw(link: &Secret<String>) -> Result<Self, CliError> {
        let lines = picture(link.expose())?;
        let mut screen = stderr();
        fits(&lines, tcgetwinsize(&screen).map_or((0, 0), |size| (size.ws_col, size.ws_row)))?;
        for line in &lines {
            let _ = writeln!(screen, "{BLACK_ON_WHITE}{line}{USUAL}");
        }
        Ok(Self { lines: lines.len() })
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        // Cursor to the first line of the code, then erase to the end of the screen.
        let _ = write!(stderr(), "\x1b[{}F\x1b[J", self.lines);
    }
}

/// Fails if the terminal is too small: wrapped lines can be neither scanned nor erased. A terminal
/// that reports size 0 is accepted.
fn fits(lines: &[String], (columns, rows): (u16, u16)) -> Result<(), CliError> {
    let width = lines.first().map_or(0, |line| line.chars().count());
    let small = |is: u16, needs: usize| is != 0 && usize::from(is) < needs;
    if small(columns, width) || small(rows, lines.len() + 1) {
        return Err(CliError::failure(format!(
            "draw the QR code: the terminal has {columns} columns and {rows} lines, and it needs {width} and {}; make \
             it larger, or use --phone",
            lines.len() + 1
        )));
    }
    Ok(())
}

/// Two module rows per text line, with the quiet zone that readers require.
fn picture(link: &str) -> Result<Vec<String>, CliError> {
    // Level L: a screen needs little error correction, and a smaller code scans from further away.
    let code = QrCode::with_error_correction_level(link, EcLevel::L)
        .context("draw the QR code (--phone signs in without one)")?;
    let picture = code.render::<Dense1x2>().module_dimensions(1, 1).build();
    Ok(picture.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_into_a_terminal() {
        // The length of Telegram's login tokens.
        let lines = picture(&format!("tg://login?token={}", "aB3_".repeat(12))).unwrap();
        assert!(lines.len() < 24, "{} lines", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() < 80), "{lines:#?}");
        assert_eq!(lines[0].trim(), "");
        assert!(fits(&lines, (80, 24)).is_ok() && fits(&lines, (0, 0)).is_ok());
        for size in [(30, 24), (80, 20)] {
            let words = fits(&lines, size).unwrap_err().to_string();
            assert!(words.ends_with("and it needs 41 and 22; make it larger, or use --phone"), "{words}");
        }
    }
}
