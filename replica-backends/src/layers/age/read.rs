//! Reading objects and parts of them.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{self, StreamExt};

use super::cipher::{Decoded, Decoder, Refusal};
use super::head::{Beginning, CHUNK_BYTES, HEAD_BYTES_MAX, Head, INTRO, STORED_CHUNK_BYTES, beginning};
use super::{Age, UNKNOWN_KEY, WRITE_ONLY};
use crate::{ByteRange, ByteStream, Error, ErrorKind, Operation, Result};

/// Heads are read with so many bytes, if these are enough.
const HEAD_BYTES: u64 = 4 << 10;
/// Objects that are shorter are read whole if their end is wanted.
const SMALL_BYTES: u64 = 32 << 10;
/// An object may be replaced while its parts are being read, which looks like damage.
const TRIES_MAX: u32 = 3;

/// The heads that were read last.
pub struct Heads {
    kept: Mutex<VecDeque<(String, Head)>>,
    max: NonZeroUsize,
}

impl Heads {
    pub fn new(max: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default(), max })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, Head)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, key: &str) -> Option<Head> {
        self.lock().iter().find(|(kept, _)| kept == key).map(|(_, head)| head.clone())
    }

    fn keep(&self, key: &str, head: &Head) {
        let mut kept = self.lock();
        kept.retain(|(other, _)| other != key);
        kept.push_back((key.to_owned(), head.clone()));
        if kept.len() > self.max.get() {
            kept.pop_front();
        }
    }

    fn forget(&self, key: &str) {
        self.lock().retain(|(kept, _)| kept != key);
    }
}

/// The stored bytes of an object on their way in.
struct Incoming {
    stream: ByteStream,
    /// Read, and not taken yet.
    read: BytesMut,
    /// Bytes that may still come if the object is long enough; `None`: all of it.
    left: Option<u64>,
    /// The stream has ended.
    done: bool,
}

impl Incoming {
    fn new(stream: ByteStream, asked: Option<u64>) -> Self {
        Self { stream, read: BytesMut::new(), left: asked, done: false }
    }

    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if !self.read.is_empty() {
            return Ok(Some(self.read.split().freeze()));
        }
        let piece = self.stream.next().await.transpose()?;
        self.done |= piece.is_none();
        if let (Some(piece), Some(left)) = (&piece, &mut self.left) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        Ok(piece)
    }

    /// Whether the object ends where the stream has ended.
    fn is_whole(&self) -> bool {
        self.done && self.left.is_none_or(|left| left > 0)
    }
}

/// The content of an object from some chunk on.
struct Content {
    decoder: Decoder,
    incoming: Incoming,
    /// Not to be returned, of what comes next.
    skip: u64,
    /// To be returned.
    left: u64,
}

impl Age {
    /// Passes through what is plain, and refuses what is encrypted.
    pub(super) async fn get_plain(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        let mut stream = self.inner.get(key, range).await?;
        if !matches!(range, ByteRange::All | ByteRange::Slice { start: 0, .. }) {
            return Ok(stream);
        }
        let mut read = Vec::new();
        let mut first = BytesMut::new();
        while first.len() < INTRO.len()
            && let Some(piece) = stream.next().await.transpose()?
        {
            first.extend_from_slice(&piece);
            read.push(Ok(piece));
        }
        if first.starts_with(INTRO) {
            return Err(self.estranged(ErrorKind::Encrypted, key));
        }
        Ok(stream::iter(read).chain(stream).boxed())
    }

    pub(super) async fn get_encrypted(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        let mut tries = 1;
        loop {
            let read = match range {
                ByteRange::All => self.all(key).await,
                ByteRange::Slice { start, len } => self.slice(key, start, len).await,
                ByteRange::Suffix(len) => self.suffix(key, len).await,
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Damaged && tries < TRIES_MAX => {
                    self.heads.forget(key);
                    tries += 1;
                }
                read => return read,
            }
        }
    }

    async fn all(&self, key: &str) -> Result<ByteStream> {
        let mut incoming = Incoming::new(self.inner.get(key, ByteRange::All).await?, None);
        let head = self.head_of(key, &mut incoming).await?;
        let decoder = self.decoder(key, &head, 0)?;
        self.content(key, Content { decoder, incoming, skip: 0, left: u64::MAX }).await
    }

    async fn slice(&self, key: &str, start: u64, len: u64) -> Result<ByteStream> {
        let first = start / CHUNK_BYTES;
        let chunks = (start.saturating_add(len.max(1)) - 1) / CHUNK_BYTES - first + 1;
        let asked = chunks.saturating_mul(STORED_CHUNK_BYTES);
        let (head, incoming) = match self.heads.of(key) {
            None if first == 0 => {
                let (head, incoming) = self.begin(key, asked.saturating_add(HEAD_BYTES)).await?;
                if head.len() <= HEAD_BYTES { (head, incoming) } else { self.body(key, head, 0, asked).await? }
            }
            head => {
                let head = if let Some(head) = head { head } else { self.read_head(key).await? };
                self.body(key, head, first, asked).await?
            }
        };
        self.heads.keep(key, &head);
        let decoder = self.decoder(key, &head, first)?;
        let content = Content { decoder, incoming, skip: start % CHUNK_BYTES, left: len };
        self.content_from(key, &head, start, content).await
    }

    /// The stored bytes from a chunk on.
    async fn body(&self, key: &str, head: Head, first: u64, asked: u64) -> Result<(Head, Incoming)> {
        let incoming = self.ask(key, head.start_of(first), asked).await?;
        Ok((head, incoming))
    }

    async fn suffix(&self, key: &str, len: u64) -> Result<ByteStream> {
        let asked = if self.keys.can_read() { SMALL_BYTES } else { HEAD_BYTES };
        let (head, mut incoming) = self.begin(key, asked).await?;
        let decoder = match self.decoder(key, &head, 0) {
            Ok(decoder) => decoder,
            Err(error) => match self.memory.as_ref().and_then(|memory| memory.recall(key, &head.name())) {
                Some(end) => {
                    let end = Bytes::from(end);
                    let from = end.len() - usize::try_from(len).unwrap_or(usize::MAX).min(end.len());
                    return Ok(stream::iter([Ok(end.slice(from..))]).boxed());
                }
                None => return Err(error),
            },
        };
        let mut pieces = Vec::new();
        while let Some(piece) = incoming.next().await? {
            pieces.push(Ok(piece));
        }
        if !incoming.is_whole() {
            self.heads.keep(key, &head);
            let stored_bytes = self.inner.head(key).await.map_err(|error| error.during(Operation::Get))?.size;
            let start = head.content_bytes(stored_bytes).saturating_sub(len);
            // To the very end, which shows that it is one.
            return self.slice(key, start, u64::MAX - start).await;
        }
        let incoming = Incoming::new(stream::iter(pieces).boxed(), None);
        let mut whole = self.content(key, Content { decoder, incoming, skip: 0, left: u64::MAX }).await?;
        let mut content = BytesMut::new();
        while let Some(piece) = whole.next().await.transpose()? {
            content.extend_from_slice(&piece);
        }
        let from = content.len() - usize::try_from(len).unwrap_or(usize::MAX).min(content.len());
        Ok(stream::iter([Ok(content.freeze().slice(from..))]).boxed())
    }

    async fn ask(&self, key: &str, start: u64, len: u64) -> Result<Incoming> {
        Ok(Incoming::new(self.inner.get(key, ByteRange::Slice { start, len }).await?, Some(len)))
    }

    async fn read_head(&self, key: &str) -> Result<Head> {
        Ok(self.begin(key, HEAD_BYTES).await?.0)
    }

    /// The head, with one request for so many bytes if it is no longer; what comes behind it is what is left of them.
    async fn begin(&self, key: &str, mut asked: u64) -> Result<(Head, Incoming)> {
        loop {
            let mut incoming = self.ask(key, 0, asked).await?;
            match self.head_of(key, &mut incoming).await {
                Err(_) if incoming.done && !incoming.is_whole() && asked < HEAD_BYTES_MAX => asked *= 4,
                head => return Ok((head?, incoming)),
            }
        }
    }

    /// Takes the head from the first bytes of an object.
    async fn head_of(&self, key: &str, incoming: &mut Incoming) -> Result<Head> {
        let mut read = BytesMut::new();
        loop {
            match beginning(&read) {
                Beginning::Head(len) => {
                    let head = Head::new(read.split_to(len).freeze());
                    incoming.read = read;
                    return Ok(head);
                }
                Beginning::Plain => return Err(self.estranged(ErrorKind::NotEncrypted, key)),
                Beginning::Open if read.len() as u64 > HEAD_BYTES_MAX => {
                    return Err(self.refused(key, Refusal::Damaged("its header has no end".into())));
                }
                Beginning::Open => match incoming.next().await? {
                    Some(piece) => read.extend_from_slice(&piece),
                    None => return Err(self.refused(key, Refusal::Damaged("it ends within its header".into()))),
                },
            }
        }
    }

    fn decoder(&self, key: &str, head: &Head, first: u64) -> Result<Decoder> {
        if !self.keys.can_read() {
            return Err(self.error(ErrorKind::WriteOnly, Operation::Get, key, WRITE_ONLY));
        }
        Decoder::open(&self.keys, head, first).map_err(|refusal| self.refused(key, refusal))
    }

    fn refused(&self, key: &str, refusal: Refusal) -> Error {
        match refusal {
            Refusal::NoKey => self.error(ErrorKind::NoKey, Operation::Get, key, UNKNOWN_KEY),
            Refusal::Damaged(what) => {
                let text = format!("its encryption is damaged: {what}");
                self.error(ErrorKind::Damaged, Operation::Get, key, text)
            }
        }
    }

    /// The content from `start` on. If there is nothing, the object must end before that.
    async fn content_from(&self, key: &str, head: &Head, start: u64, mut content: Content) -> Result<ByteStream> {
        if start < CHUNK_BYTES {
            return self.content(key, content).await;
        }
        if let Some(piece) = content.incoming.next().await? {
            content.decoder.push(piece);
            return self.content(key, content).await;
        }
        let stored_bytes = self.inner.head(key).await.map_err(|error| error.during(Operation::Get))?.size;
        let end = head.content_bytes(stored_bytes);
        let last = end.saturating_sub(1) / CHUNK_BYTES;
        let incoming = self.ask(key, head.start_of(last), u64::MAX).await?;
        let decoder = self.decoder(key, head, last)?;
        let mut rest = self.content(key, Content { decoder, incoming, skip: 0, left: u64::MAX }).await?;
        while rest.next().await.transpose()?.is_some() {}
        if end > start {
            return Err(self.refused(key, Refusal::Damaged("it is cut short".into())));
        }
        Ok(stream::empty().boxed())
    }

    /// Decrypts the first chunk, so that what is wrong with the object is known early; the rest is a stream.
    async fn content(&self, key: &str, mut content: Content) -> Result<ByteStream> {
        let Some(first) = self.next(key, &mut content).await? else { return Ok(stream::empty().boxed()) };
        let (age, key): (Self, Arc<str>) = (self.clone(), key.into());
        let rest = stream::try_unfold(content, move |mut content| {
            let (age, key) = (age.clone(), Arc::clone(&key));
            async move { Ok(age.next(&key, &mut content).await?.map(|piece| (piece, content))) }
        });
        Ok(stream::iter([Ok(first)]).chain(rest).boxed())
    }

    async fn next(&self, key: &str, content: &mut Content) -> Result<Option<Bytes>> {
        while content.left > 0 {
            let ended = content.incoming.done;
            match content.decoder.next(ended).map_err(|refusal| self.refused(key, refusal))? {
                Decoded::End => return Ok(None),
                Decoded::NeedsMore => {
                    if let Some(piece) = content.incoming.next().await? {
                        content.decoder.push(piece);
                    }
                }
                Decoded::Chunk(mut chunk) => {
                    chunk.advance(usize::try_from(content.skip).unwrap_or(usize::MAX).min(chunk.len()));
                    content.skip = 0;
                    chunk.truncate(usize::try_from(content.left).unwrap_or(usize::MAX));
                    content.left -= chunk.len() as u64;
                    if !chunk.is_empty() {
                        return Ok(Some(chunk));
                    }
                }
            }
        }
        Ok(None)
    }
}
