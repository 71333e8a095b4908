//! Numbers over time, thinned and drawn. Nothing here asks the time: whoever wants a picture says from when until when.
//!
//! ```text
//! a value ─▶ curve (kept by the engine, written down once a minute) ─▶ plot ─▶ picture ─▶ canvas ─▶ png: for a phone
//!                                                                       └─▶ frame: where the page draws the same
//! ```

/// The last values of one alert's number.
pub mod curve;
/// What is to be seen in a drawing.
pub mod plot;
/// Scales, and what stands beside them.
pub mod frame;
/// The drawing that an alert carries.
pub mod picture;
/// Lines and digits as pixels.
mod canvas;
/// Pixels as a file.
mod png;
