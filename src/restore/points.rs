//! The named points of a replica.

use futures::TryStreamExt;
use replica_backends::{Backend, ByteRange, ErrorKind, Result, read};

use crate::history::keys::POINTS;
use crate::history::point::Point;

/// Reads all named points, by name. What is no point, or of a later version, is passed by.
///
/// # Errors
/// Those of the store.
pub async fn read_points(backend: &dyn Backend) -> Result<Vec<Point>> {
    let listed: Vec<_> = backend.list(POINTS, None).await?.try_collect().await?;
    let mut points = Vec::new();
    for object in listed {
        let body = match read(backend, &object.key, ByteRange::All).await {
            Ok(body) => body,
            // Deleted since it was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match Point::from_json(&body) {
            Some(point) => points.push(point),
            None => tracing::warn!(key = %object.key, "this is no named point that this version can read"),
        }
    }
    Ok(points)
}
