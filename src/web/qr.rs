//! A URL as a QR code, for the player of a telephone.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use qrcode::render::svg::Color;
use qrcode::{EcLevel, QrCode};

use super::answer::Refusal;

/// The code as a picture, dark on light whatever the page around it: cameras of telephones read no other way reliably.
///
/// # Errors
/// The URL is longer than a QR code takes, about 2,300 characters.
pub(super) fn svg(url: &str) -> Result<Response, Refusal> {
    let code = QrCode::with_error_correction_level(url, EcLevel::M)
        .map_err(|_| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "the URL is too long for a QR code"))?;
    let picture = code
        .render()
        .min_dimensions(SIZE, SIZE)
        .quiet_zone(true)
        .dark_color(Color("#181818"))
        .light_color(Color("#ffffff"))
        .build();
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], picture).into_response())
}

/// Pixels where nobody says otherwise; the picture scales.
const SIZE: u32 = 256;
