//! Lightship.
fn main() {}
