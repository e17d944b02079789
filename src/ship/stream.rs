//! From a writer on a blocking thread to a stream on the async side, in bounded memory.

use std::io::{self, Write};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;

const CHUNK_BYTES: usize = 256 << 10;
/// Chunks between the two sides.
const CHUNKS: usize = 4;

/// The writing end.
pub struct ChunkWriter {
    chunk: Vec<u8>,
    out: mpsc::Sender<io::Result<Bytes>>,
}

impl ChunkWriter {
    fn send(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        self.out.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(data);
        if self.chunk.len() >= CHUNK_BYTES {
            self.send()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

/// Runs `produce` on a blocking thread; what it writes is the stream. If it fails, so does the stream.
pub fn produce<F>(produce: F) -> BoxStream<'static, io::Result<Bytes>>
where
    F: FnOnce(ChunkWriter) -> io::Result<ChunkWriter> + Send + 'static,
{
    let (out, chunks) = mpsc::channel(CHUNKS);
    let errors = out.clone();
    tokio::task::spawn_blocking(move || {
        let writer = ChunkWriter { chunk: Vec::with_capacity(CHUNK_BYTES), out };
        if let Err(error) = produce(writer).and_then(|mut writer| writer.flush()) {
            // If nobody reads any more there is nobody to tell.
            let _ = errors.blocking_send(Err(error));
        }
    });
    futures::stream::unfold(chunks, |mut chunks| async { chunks.recv().await.map(|item| (item, chunks)) }).boxed()
}
