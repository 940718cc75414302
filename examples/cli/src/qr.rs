//! QR codes on a terminal.

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use crate::failure::{Failure, Kind};

/// Draws a QR code with two rows of its modules to a line, dark on light whatever the terminal's colours.
pub(crate) fn code(text: &str) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).map_err(|error| {
        let what = format!("there is no QR code for this: {error}");
        Failure::new(Kind::Other, "NoQrCode", what, "send the text instead")
    })?;
    // Unicode's blocks are of the text's colour, which is light on most terminals.
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_uri_fits_a_terminal() {
        let uri = format!("kez:ed25519:{}?h=somebody@kez.example&sig=https://sig.kez.example", "0a".repeat(32));
        let drawn = code(&uri).unwrap();
        let widths: Vec<usize> = drawn.lines().map(|line| line.chars().count()).collect();
        assert!(widths.len() <= 40 && widths.iter().all(|&width| width == widths[0] && width <= 80), "{drawn}");
    }
}
