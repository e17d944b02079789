//! Bodies on their way into the store.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::cipher::Encoder;
use super::head::{HEAD_BYTES_MAX, stored_bytes_max};
use super::keys::AgeKeys;
use super::memory::{End, Memory};
use crate::Body;

/// Content up to this size is encrypted in passing: that takes less than handing it to another thread.
const LIGHT_BYTES: usize = 64 << 10;
/// Long pieces are encrypted in several steps.
const STEP_BYTES: usize = 256 << 10;

/// What encrypts a body: for whom, and who remembers it.
#[derive(Clone)]
pub struct Sealer {
    pub keys: AgeKeys,
    pub memory: Option<Arc<dyn Memory>>,
    pub key: Arc<str>,
}

impl Sealer {
    /// The encrypted form of `body`. One that is in memory is encrypted once; a stream anew each time it is opened, so
    /// that two attempts to put it put different bytes.
    ///
    /// # Errors
    /// If encryption fails, for which no reason is known.
    pub async fn encrypt(self, body: Body) -> io::Result<Body> {
        match body.as_bytes().cloned() {
            Some(bytes) if bytes.len() <= LIGHT_BYTES => Ok(self.whole(&bytes)?.into()),
            Some(bytes) => {
                let whole = tokio::task::spawn_blocking(move || self.whole(&bytes)).await;
                Ok(whole.map_err(io::Error::other)??.into())
            }
            None => {
                let len_max = body.len_max();
                let encrypted = Body::stream(move || self.clone().stream(body.open()));
                Ok(match len_max {
                    Some(len) => encrypted.with_len_max(stored_bytes_max(len, HEAD_BYTES_MAX)),
                    None => encrypted,
                })
            }
        }
    }

    fn whole(&self, content: &[u8]) -> io::Result<Bytes> {
        let (mut encoder, head) = Encoder::new(&self.keys)?;
        let room = stored_bytes_max(content.len() as u64, head.len());
        let mut object = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
        object.extend_from_slice(head.bytes());
        for step in content.chunks(STEP_BYTES) {
            object.extend_from_slice(&encoder.push(step)?);
        }
        object.extend_from_slice(&encoder.finish()?);
        let mut end = End::default();
        end.push(content);
        self.note(&head.name(), &end);
        Ok(object.into())
    }

    fn stream(self, content: BoxStream<'static, io::Result<Bytes>>) -> BoxStream<'static, io::Result<Bytes>> {
        let (encoder, head) = match Encoder::new(&self.keys) {
            Ok(begun) => begun,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let name = head.name();
        let first = stream::iter([Ok(head.bytes().clone())]);
        let rest = stream::try_unfold(Some((content, encoder, End::default())), move |state| {
            let (sealer, name) = (self.clone(), name.clone());
            async move {
                let Some((mut content, mut encoder, mut end)) = state else { return Ok(None) };
                loop {
                    let Some(piece) = content.next().await.transpose()? else {
                        // Before the last bytes: if the object is ever whole in the store, it is remembered.
                        sealer.note(&name, &end);
                        return Ok(Some((encoder.finish()?, None)));
                    };
                    end.push(&piece);
                    let stored = encoder.push(&piece)?;
                    if !stored.is_empty() {
                        return Ok(Some((stored, Some((content, encoder, end)))));
                    }
                }
            }
        });
        first.chain(rest).boxed()
    }

    fn note(&self, name: &str, end: &End) {
        if let Some(memory) = &self.memory {
            memory.note(&self.key, name, end.bytes());
        }
    }
}
