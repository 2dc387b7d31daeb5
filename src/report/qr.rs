//! QR codes of what a wallet is to open.

use anyhow::Context;
use qrcode::{Color, EcLevel, QrCode, render::svg, render::unicode::Dense1x2};

/// White modules around a code; the standard asks for four.
const QUIET_ZONE: usize = 4;
/// Pixels a module has in a picture.
const MODULE_PIXELS: usize = 8;

/// For a terminal: two modules a character, light ones drawn, which is right where letters are bright on a dark ground.
///
/// # Errors
/// When the text is too long for a QR code, 2,331 bytes.
pub fn qr_text(text: &str) -> anyhow::Result<String> {
    let code = code(text)?;
    let mut renderer = code.render::<Dense1x2>();
    renderer
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark);
    Ok(renderer.build())
}

/// A picture that scales.
///
/// # Errors
/// When the text is too long for a QR code.
pub fn qr_svg(text: &str) -> anyhow::Result<String> {
    let code = code(text)?;
    Ok(code.render::<svg::Color<'_>>().build())
}

/// A picture of pixels, black on white.
///
/// # Errors
/// When the text is too long for a QR code.
pub fn qr_png(text: &str) -> anyhow::Result<Vec<u8>> {
    let code = code(text)?;
    let (modules, colors) = (code.width(), code.to_colors());
    let size = (modules + 2 * QUIET_ZONE) * MODULE_PIXELS;
    let shade = |x: usize, y: usize| {
        let module = |pixel: usize| {
            let module = (pixel / MODULE_PIXELS).checked_sub(QUIET_ZONE)?;
            (module < modules).then_some(module)
        };
        let at = module(x).zip(module(y));
        let color = at.and_then(|(x, y)| colors.get(y * modules + x));
        if color == Some(&Color::Dark) { 0 } else { 255 }
    };
    let pixels: Vec<u8> = (0..size * size)
        .map(|at| shade(at % size, at / size))
        .collect();
    let width = u32::try_from(size).context("a picture of bearable size")?;
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, width, width);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().context("write the picture")?;
    writer
        .write_image_data(&pixels)
        .context("write the picture")?;
    writer.finish().context("write the picture")?;
    Ok(picture)
}

/// Survives 15 % of it being hidden.
fn code(text: &str) -> anyhow::Result<QrCode> {
    QrCode::with_error_correction_level(text, EcLevel::M).context("make a QR code")
}
