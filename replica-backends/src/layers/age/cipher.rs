//! Encrypting and decrypting as the bytes come: no input or output happens here.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::age::stream::{StreamReader, StreamWriter};
use ::age::{DecryptError, Decryptor, Encryptor, Identity, Recipient};
use bytes::{Buf, Bytes};

use super::head::{CHUNK_BYTES, Head, STORED_CHUNK_BYTES};
use super::keys::AgeKeys;

/// No object has so many chunks.
const CHUNKS_MAX: u64 = 1 << 46;

/// Why an object cannot be decrypted.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// None of the identities opens it.
    NoKey,
    /// It is not what was encrypted.
    Damaged(String),
}

/// Takes an encrypted object chunk by chunk.
pub struct Decoder {
    reader: StreamReader<Source>,
    feed: Feed,
    /// Where to begin, if it is not the first chunk and has not begun.
    skip: u64,
}

/// What came of asking for content.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The next bytes of the content.
    Chunk(Bytes),
    /// More of the object is needed.
    NeedsMore,
    /// The object has ended, as it was meant to.
    End,
}

impl Decoder {
    /// For the object with this head, from its chunk number `first` on.
    ///
    /// # Errors
    /// If no identity opens it, or the head is damaged.
    pub fn open(keys: &AgeKeys, head: &Head, first: u64) -> Result<Self, Refusal> {
        let feed = Feed::default();
        let source = Source { head: io::Cursor::new(head.bytes().clone()), feed: feed.clone() };
        let decryptor = Decryptor::new_buffered(source).map_err(|error| refusal(&error))?;
        let identities = keys.identities.iter().map(|identity| identity as &dyn Identity);
        let reader = decryptor.decrypt(identities).map_err(|error| refusal(&error))?;
        // Further out there is nothing, and places in the store could not be counted.
        Ok(Self { reader, feed, skip: first.min(CHUNKS_MAX) })
    }

    /// Takes more of the object, which continues what was taken before.
    pub fn push(&mut self, bytes: Bytes) {
        let mut feed = self.feed.lock();
        feed.len += bytes.len() as u64;
        feed.pieces.push_back(bytes);
    }

    /// The next chunk of the content. `ended`: no more of the object will come.
    ///
    /// # Errors
    /// If it is not what was encrypted, or the object ends before its end.
    pub fn next(&mut self, ended: bool) -> Result<Decoded, Refusal> {
        let have = self.feed.lock().len;
        if !ended && have < STORED_CHUNK_BYTES {
            return Ok(Decoded::NeedsMore);
        }
        self.decode().map_err(|error| {
            let cut = error.kind() == io::ErrorKind::UnexpectedEof;
            Refusal::Damaged(if cut { "it is cut short".into() } else { "its content does not fit its key".into() })
        })
    }

    fn decode(&mut self) -> io::Result<Decoded> {
        if self.skip > 0 {
            let start = std::mem::take(&mut self.skip) * CHUNK_BYTES;
            // To seek into the chunk reads it; then to its beginning is within it. At once, its length would be asked
            // for, which costs reading the last chunk.
            self.reader.seek(SeekFrom::Start(start + 1))?;
            self.reader.seek(SeekFrom::Start(start))?;
        }
        let mut chunk = vec![0; CHUNK_BYTES as usize];
        let len = self.reader.read(&mut chunk)?;
        chunk.truncate(len);
        Ok(if len == 0 { Decoded::End } else { Decoded::Chunk(chunk.into()) })
    }
}

fn refusal(error: &DecryptError) -> Refusal {
    match error {
        DecryptError::NoMatchingKeys => Refusal::NoKey,
        DecryptError::UnknownFormat => Refusal::Damaged("its format is a later one of age's, or it is damaged".into()),
        _ => Refusal::Damaged("its header is damaged".into()),
    }
}

/// What has come of the object and was not taken yet; shared with the reader that takes it.
#[derive(Clone, Default)]
struct Feed(Arc<Mutex<Pieces>>);

#[derive(Default)]
struct Pieces {
    pieces: VecDeque<Bytes>,
    len: u64,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut feed = self.lock();
        let mut done = 0;
        while done < out.len() {
            let Some(piece) = feed.pieces.front_mut() else { break };
            let n = piece.len().min(out.len() - done);
            piece.split_to(n).copy_to_slice(&mut out[done..done + n]);
            done += n;
            if piece.is_empty() {
                feed.pieces.pop_front();
            }
        }
        feed.len -= done as u64;
        Ok(done)
    }
}

/// The head, and behind it what is fed, wherever in the object that lies.
struct Source {
    head: io::Cursor<Bytes>,
    feed: Feed,
}

impl Source {
    fn is_in_head(&self) -> bool {
        self.head.position() < self.head.get_ref().len() as u64
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.is_in_head() { self.head.read(out) } else { self.feed.read(out) }
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.head.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.head.consume(amount);
    }
}

impl Seek for Source {
    /// What is fed is always what is wanted next, so a position is only a number.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(position) => Ok(position),
            SeekFrom::Current(0) => Ok(self.head.position()),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Encrypts content as it comes.
pub struct Encoder {
    writer: StreamWriter<Sink>,
    out: Sink,
}

/// Where an encoder writes; taken by the one who sends it on.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Encoder {
    /// For the recipients among `keys`, of whom there must be one. Also returns the head, which comes first.
    ///
    /// # Errors
    /// If there is no recipient.
    pub fn new(keys: &AgeKeys) -> io::Result<(Self, Head)> {
        let recipients = keys.recipients.iter().map(|recipient| recipient as &dyn Recipient);
        let encryptor = Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
        let out = Sink::default();
        let writer = encryptor.wrap_output(out.clone())?;
        let head = Head::new(out.take());
        Ok((Self { writer, out }, head))
    }

    /// Takes more of the content, and returns what can be stored of it.
    ///
    /// # Errors
    /// None that are known of.
    pub fn push(&mut self, content: &[u8]) -> io::Result<Bytes> {
        self.writer.write_all(content)?;
        Ok(self.out.take())
    }

    /// Ends the object, and returns its last bytes.
    ///
    /// # Errors
    /// None that are known of.
    pub fn finish(self) -> io::Result<Bytes> {
        self.writer.finish()?;
        Ok(self.out.take())
    }
}
