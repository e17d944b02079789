//! The layer gives back what was put, range by range, and refuses everything else.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use ::age::secrecy::ExposeSecret;
use ::age::x25519::Identity;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use tempfile::TempDir;

use super::*;
use crate::conformance;
use crate::file::FileBackend;
use crate::layers::Meter;

fn keys(identities: &[&Identity], recipients: &[&Identity]) -> AgeKeys {
    let identities: Vec<_> = identities.iter().map(|i| i.to_string().expose_secret().to_owned()).collect();
    let recipients: Vec<_> = recipients.iter().map(|i| i.to_public().to_string()).collect();
    AgeKeys::parse(identities.iter().map(String::as_str), recipients.iter().map(String::as_str)).unwrap()
}

/// A folder, and ways to look at it.
struct Place {
    folder: TempDir,
    file: Arc<Meter>,
}

impl Place {
    fn new() -> Self {
        let shm = Path::new("/dev/shm");
        let parent = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(parent).unwrap();
        let file = Arc::new(Meter::new(Arc::new(FileBackend::new(folder.path()))));
        Self { folder, file }
    }

    fn with(&self, keys: AgeKeys) -> Age {
        self.remembering(keys, None)
    }

    fn remembering(&self, keys: AgeKeys, memory: Option<Arc<dyn Memory>>) -> Age {
        Age::new(Arc::clone(&self.file) as Arc<dyn Backend>, keys, |key| key == "plain", memory)
    }

    fn stored(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(key)).unwrap()
    }

    fn damage(&self, key: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(key), bytes).unwrap();
    }
}

async fn read(age: &Age, key: &str, range: ByteRange) -> Result<Vec<u8>> {
    age.get(key, range).await?.map_ok(|chunk| chunk.to_vec()).try_concat().await
}

fn content(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len as u64);
    (0..len).map(|_| random.u8(..)).collect()
}

/// As one chunk, or as a stream of chunks of this length.
fn body(content: &[u8], chunk_len: Option<usize>) -> Body {
    let Some(len) = chunk_len else { return Bytes::copy_from_slice(content).into() };
    let chunks: Vec<Bytes> = content.chunks(len).map(Bytes::copy_from_slice).collect();
    Body::stream(move || stream::iter(chunks.clone().into_iter().map(Ok)).boxed())
}

fn expected(content: &[u8], range: ByteRange) -> &[u8] {
    let len = content.len() as u64;
    let (start, end) = match range {
        ByteRange::All => (0, len),
        ByteRange::Slice { start, len: wanted } => (start.min(len), start.saturating_add(wanted).min(len)),
        ByteRange::Suffix(wanted) => (len.saturating_sub(wanted), len),
    };
    &content[start as usize..end as usize]
}

/// Lengths at which something may go wrong: around the borders of chunks, and of what is asked for at once.
const LENGTHS: [usize; 14] =
    [0, 1, 4095, 32_000, 32_768, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 196_608, 196_609, 300_000];

#[tokio::test]
async fn every_range_of_every_length_comes_back() {
    let (place, identity) = (Place::new(), Identity::generate());
    let age = place.with(keys(&[&identity], &[&identity]));
    for (number, len) in LENGTHS.into_iter().enumerate() {
        let (key, content) = (format!("x/{number}"), content(len));
        let chunk_len = [None, Some(1000), Some(65_536), Some(100_003)][number % 4];
        let stored = age.put_new(&key, body(&content, chunk_len)).await.unwrap();
        assert_eq!(stored, place.stored(&key).len() as u64, "the size that is returned is the stored one");
        assert_eq!(age.head(&key).await.unwrap().size, stored);
        assert_eq!(read(&age, &key, ByteRange::All).await.unwrap(), content, "{len}");
        let borders = [0, 1, 4096, 32_768, 65_535, 65_536, 65_537, 131_071, 131_072, 196_607, 196_608, 400_000];
        for start in borders.into_iter().chain([u64::MAX - 1, u64::MAX]) {
            for wanted in [0, 1, 65_535, 65_536, 65_537, 131_072, u64::MAX] {
                // With a head that was kept, and without one.
                for fresh in [true, false] {
                    let range = ByteRange::Slice { start, len: wanted };
                    let other = place.with(keys(&[&identity], &[]));
                    let got = read(if fresh { &other } else { &age }, &key, range).await.unwrap();
                    assert!(got == expected(&content, range), "{range:?} of {len}: {} bytes", got.len());
                }
            }
            let range = ByteRange::Suffix(start);
            let got = read(&age, &key, range).await.unwrap();
            assert!(got == expected(&content, range), "{range:?} of {len}: {} bytes", got.len());
        }
    }
}

#[tokio::test]
async fn random_ranges_of_random_contents_come_back() {
    let (place, identity) = (Place::new(), Identity::generate());
    let age = place.with(keys(&[&identity], &[&identity]));
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..60 {
        let content = content(random.usize(0..200_000));
        let chunk_len = random.bool().then(|| random.usize(1..100_000));
        age.put_over("x", body(&content, chunk_len)).await.unwrap();
        for _ in 0..10 {
            let (start, len) = (random.u64(0..220_000), random.u64(0..150_000));
            let range = [ByteRange::All, ByteRange::Slice { start, len }, ByteRange::Suffix(len)][random.usize(0..3)];
            let got = read(&age, "x", range).await.unwrap();
            assert!(got == expected(&content, range), "round {round}, {range:?} of {}", content.len());
        }
    }
}

#[tokio::test]
async fn the_end_is_read_with_few_requests_and_few_bytes() {
    let (place, identity) = (Place::new(), Identity::generate());
    let age = place.with(keys(&[&identity], &[&identity]));
    age.put_new("small", body(&content(20_000), None)).await.unwrap();
    age.put_new("large", body(&content(5 << 20), None)).await.unwrap();
    for (key, requests, bytes_max) in [("small", (1, 0), 21_000), ("large", (2, 1), 200_000)] {
        let before = place.file.counters();
        read(&age, key, ByteRange::Suffix(4096)).await.unwrap();
        let after = place.file.counters();
        let made = (after.get.requests - before.get.requests, after.head.requests - before.head.requests);
        assert_eq!(made, requests, "{key}");
        assert!(after.get.bytes - before.get.bytes <= bytes_max, "{key}: {}", after.get.bytes - before.get.bytes);
    }
}

#[tokio::test]
async fn each_recipient_reads_and_nobody_else() {
    let (place, [one, two, other]) = (Place::new(), std::array::from_fn(|_| Identity::generate()));
    let many: Vec<Identity> = (0..60).map(|_| Identity::generate()).collect();
    let plain = content(70_000);
    place.with(keys(&[], &[&one, &two])).put_new("x", body(&plain, None)).await.unwrap();
    let crowd = place.with(keys(&[], &many.iter().chain([&two]).collect::<Vec<_>>()));
    crowd.put_new("crowd", body(&plain, None)).await.unwrap();
    let ranges = [ByteRange::All, ByteRange::Suffix(10), ByteRange::Slice { start: 66_000, len: 9 }];
    for range in ranges {
        for reader in [keys(&[&one], &[]), keys(&[&two], &[]), keys(&[&other, &one], &[&other])] {
            assert!(read(&place.with(reader), "x", range).await.unwrap() == expected(&plain, range));
        }
        assert!(read(&place.with(keys(&[&two], &[])), "crowd", range).await.unwrap() == expected(&plain, range));
        for key in ["x", "crowd"] {
            let kind = async |keys| read(&place.with(keys), key, range).await.unwrap_err();
            let refused = kind(keys(&[&other], &[&one])).await;
            assert_eq!(refused.kind(), ErrorKind::NoKey);
            assert!(refused.to_string().contains("none of the configured identities opens it"), "{refused}");
            assert_eq!(kind(keys(&[], &[&one])).await.kind(), ErrorKind::WriteOnly);
        }
        let missing = read(&place.with(keys(&[], &[&one])), "none", range).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }
    let stored = place.stored("x");
    assert!(!stored.windows(16).any(|window| window == &plain[1000..1016]));
    let refused = place.with(keys(&[&one], &[])).put_new("y", body(b"y", None)).await.unwrap_err();
    assert!(refused.to_string().contains("no `age: recipients`"), "{refused}");
}

#[tokio::test]
async fn what_was_cut_or_changed_anywhere_is_refused() {
    let (place, identity) = (Place::new(), Identity::generate());
    let age = || place.with(keys(&[&identity], &[&identity]));
    for len in [0, 5, 65_536, 65_537, 131_072, 140_000] {
        let key = format!("x{len}");
        let plain = content(len);
        age().put_new(&key, body(&plain, None)).await.unwrap();
        let stored = place.stored(&key);
        let head = (stored.len() as u64 - len as u64 - 16 * (len as u64).div_ceil(65_536).max(1)) as usize;
        let chunk = 65_552;
        let places = [0, 10, 25, head - 60, head - 20, head - 1, head, head + 1, head + chunk - 1, head + chunk];
        let places: Vec<_> = places.into_iter().chain([stored.len() - 1]).filter(|at| *at < stored.len()).collect();
        let ranges = [ByteRange::All, ByteRange::Suffix(70), ByteRange::Suffix(u64::MAX)];
        for at in places {
            let mut flipped = stored.clone();
            flipped[at] ^= 4;
            for (what, damaged) in [("cut", &stored[..at]), ("flipped", &flipped)] {
                place.damage(&key, damaged);
                for range in ranges {
                    // Of a range only the chunks that it touches are read, and the head.
                    let got = read(&age(), &key, range).await;
                    let untouched = matches!(range, ByteRange::Suffix(70)) && what == "flipped" && at >= head;
                    match got {
                        Ok(got) => assert!(untouched && got == expected(&plain, range), "{what} {at} {len} {range:?}"),
                        Err(error) => {
                            let kinds = [ErrorKind::Damaged, ErrorKind::NoKey, ErrorKind::NotEncrypted];
                            assert!(kinds.contains(&error.kind()), "{what} at {at} of {len}: {error}");
                            assert!(
                                error.kind() == ErrorKind::Damaged || at < head,
                                "{what} at {at} of {len}: {error}"
                            );
                        }
                    }
                }
                // Beyond the end of what is shorter; also then it is not taken for the object.
                let range = ByteRange::Slice { start: 70_000, len: 10 };
                if what == "cut"
                    && let Ok(got) = read(&age(), &key, range).await
                {
                    assert!(at >= head + 2 * chunk && got == expected(&plain, range), "cut at {at} of {len}");
                }
            }
        }
        place.damage(&key, &[stored.as_slice(), b"x"].concat());
        assert_eq!(read(&age(), &key, ByteRange::All).await.unwrap_err().kind(), ErrorKind::Damaged);
    }
}

#[tokio::test]
async fn whatever_stands_in_the_store_gives_the_right_bytes_or_an_error() {
    let (place, identity) = (Place::new(), Identity::generate());
    let age = || place.with(keys(&[&identity], &[&identity]));
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..400 {
        let plain = content(random.usize(0..150_000));
        age().put_over("x", body(&plain, None)).await.unwrap();
        let mut bytes = place.stored("x");
        for _ in 0..random.usize(1..3) {
            let at = random.usize(0..=bytes.len());
            match random.u32(0..5) {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] ^= 1 << random.u32(0..8),
                2 => bytes.insert(at, random.u8(..)),
                3 => drop(bytes.drain(..at.min(300))),
                _ => bytes.extend_from_within(at..),
            }
        }
        place.damage("x", &bytes);
        let (start, len) = (random.u64(0..160_000), random.u64(1..80_000));
        for range in [ByteRange::All, ByteRange::Slice { start, len }, ByteRange::Suffix(len)] {
            if let Ok(got) = read(&age(), "x", range).await {
                assert!(got == expected(&plain, range), "round {round}, {range:?} of {}", plain.len());
            }
        }
    }
}

#[tokio::test]
async fn an_object_that_is_replaced_between_two_reads_is_read_anew() {
    let (place, identity) = (Place::new(), Identity::generate());
    let age = place.with(keys(&[&identity], &[&identity]));
    let (first, second) = (content(200_000), content(150_000));
    age.put_new("x", body(&first, None)).await.unwrap();
    let range = ByteRange::Slice { start: 100_000, len: 40_000 };
    assert!(read(&age, "x", range).await.unwrap() == expected(&first, range));
    place.with(keys(&[], &[&identity])).put_over("x", body(&second, None)).await.unwrap();
    assert!(read(&age, "x", range).await.unwrap() == expected(&second, range), "the head that was kept is the old one");
}

#[tokio::test]
async fn plain_and_encrypted_objects_do_not_mix() {
    let (place, identity) = (Place::new(), Identity::generate());
    let (sealed, plain) = (|| place.with(keys(&[&identity], &[&identity])), || place.with(AgeKeys::default()));
    plain().put_new("a", body(b"lies open", None)).await.unwrap();
    sealed().put_new("b", body(b"does not", None)).await.unwrap();
    for range in [ByteRange::All, BEGINNING] {
        assert_eq!(read(&plain(), "a", range).await.unwrap(), expected(b"lies open", range));
        for (age, key, kind) in [(sealed(), "a", ErrorKind::NotEncrypted), (plain(), "b", ErrorKind::Encrypted)] {
            age.put_new("c", body(b"before it is seen", None)).await.unwrap();
            assert_eq!(read(&age, key, range).await.unwrap_err().kind(), kind);
            let refused = age.put_over("c", body(b"afterwards", None)).await.unwrap_err();
            assert_eq!(refused.kind(), kind);
            assert!(refused.to_string().contains(&format!("nothing is written beside {key}")), "{refused}");
            age.delete(&["c".to_owned()]).await.pop().unwrap().unwrap();
        }
    }
    // Some names are plain in every replica.
    sealed().put_new("plain", body(b"for everybody", None)).await.unwrap();
    assert_eq!(place.stored("plain"), b"for everybody");
    assert_eq!(read(&sealed(), "plain", ByteRange::Suffix(4)).await.unwrap(), b"body");
}

/// Remembers everything.
#[derive(Debug, Default)]
struct Notes(Mutex<HashMap<(String, String), Vec<u8>>>);

impl Memory for Notes {
    fn note(&self, key: &str, head: &str, end: &[u8]) {
        self.0.lock().unwrap().insert((key.to_owned(), head.to_owned()), end.to_owned());
    }

    fn recall(&self, key: &str, head: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(&(key.to_owned(), head.to_owned())).cloned()
    }

    fn forget(&self, keys: &[String]) {
        self.0.lock().unwrap().retain(|(key, _), _| !keys.contains(key));
    }
}

#[tokio::test]
async fn who_cannot_read_knows_the_ends_of_what_it_has_written() {
    let (place, identity, notes) = (Place::new(), Identity::generate(), Arc::new(Notes::default()));
    let age = place.remembering(keys(&[], &[&identity]), Some(Arc::clone(&notes) as Arc<dyn Memory>));
    let end = ByteRange::Suffix(100);
    for (number, (len, chunk_len)) in [(50, None), (300_000, None), (300_000, Some(70_000))].into_iter().enumerate() {
        let (key, plain) = (number.to_string(), content(len));
        age.put_new(&key, body(&plain, chunk_len)).await.unwrap();
        assert!(read(&age, &key, end).await.unwrap() == expected(&plain, end), "{number}");
        // An attempt that found the name taken is not mistaken for the one that has got through.
        age.put_new(&key, body(b"later", chunk_len)).await.unwrap_err();
        assert!(read(&age, &key, end).await.unwrap() == expected(&plain, end), "{number}");
        // Another writer's object is not ours.
        place.with(keys(&[], &[&identity])).put_over(&key, body(&plain, None)).await.unwrap();
        assert_eq!(read(&age, &key, end).await.unwrap_err().kind(), ErrorKind::WriteOnly);
    }
    age.delete(&["0".to_owned(), "1".to_owned(), "2".to_owned()]).await;
    assert!(notes.0.lock().unwrap().is_empty());
    let reader = place.remembering(keys(&[&identity], &[&identity]), Some(Arc::clone(&notes) as Arc<dyn Memory>));
    reader.put_new("3", body(b"3", None)).await.unwrap();
    assert!(notes.0.lock().unwrap().is_empty(), "who can read needs no memory");
}

/// Sizes as the suite expects them: those of the contents.
#[derive(Debug)]
struct Unsealed(Age);

#[async_trait]
impl Backend for Unsealed {
    fn location(&self) -> String {
        self.0.location()
    }

    async fn put_new(&self, key: &str, body: Body) -> Result<u64> {
        self.0.put_new(key, body).await?;
        Ok(self.head(key).await?.size)
    }

    async fn put_over(&self, key: &str, body: Body) -> Result<u64> {
        self.0.put_over(key, body.clone()).await?;
        Ok(body.open().map_ok(|chunk| chunk.len() as u64).try_fold(0, async |a, b| Ok(a + b)).await.unwrap())
    }

    async fn get(&self, key: &str, range: ByteRange) -> Result<ByteStream> {
        self.0.get(key, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        let meta = self.0.head(key).await?;
        let stream = self.0.get(key, ByteRange::All).await?;
        let size = stream.map_ok(|chunk| chunk.len() as u64).try_fold(0, async |a, b| Ok(a + b)).await?;
        Ok(ObjectMeta { size, ..meta })
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let age = Self(self.0.clone());
        let listed: Vec<_> = self.0.list(prefix, after).await?.try_collect().await?;
        let sized = stream::iter(listed).then(move |meta| {
            let age = Self(age.0.clone());
            async move { Ok(ObjectMeta { size: age.head(&meta.key).await?.size, ..meta }) }
        });
        Ok(sized.boxed())
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.0.list_folders(prefix).await
    }

    async fn creates_atomically(&self) -> Result<bool> {
        self.0.creates_atomically().await
    }

    async fn delete(&self, keys: &[String]) -> Vec<Result<()>> {
        self.0.delete(keys).await
    }
}

#[tokio::test]
async fn encryption_passes_the_suite() {
    let identity = Identity::generate();
    let places = Mutex::new(Vec::new());
    conformance::run(async || {
        let place = Place::new();
        let age = place.with(keys(&[&identity], &[&identity]));
        places.lock().unwrap().push(place);
        Arc::new(Unsealed(age)) as Arc<dyn Backend>
    })
    .await;
}
