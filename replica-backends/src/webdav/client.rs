//! Requests to a server, with a limit on every wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, Request, Response, StatusCode, Url};
use tokio::sync::OnceCell;

use super::WebdavOptions;
use super::failure::Failure;
use crate::cloud::choose_tls;

/// Until a connection stands.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long nothing may happen: no byte sent, none received.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// How much of an explanation is read.
const REFUSAL_LEN_MAX: usize = 4 << 10;

/// What is sent with a request.
pub(super) enum Payload {
    None,
    Whole(Bytes),
    /// Of a length that is not known.
    Stream(BoxStream<'static, std::io::Result<Bytes>>),
}

/// A client of one server.
pub(super) struct Client {
    options: WebdavOptions,
    http: OnceCell<(reqwest::Client, Url)>,
}

impl Client {
    pub(super) fn new(options: WebdavOptions) -> Self {
        Self { options, http: OnceCell::new() }
    }

    /// The URL, without anything secret.
    pub(super) fn location(&self) -> &str {
        self.options.url.trim_end_matches('/')
    }

    async fn http(&self) -> Result<&(reqwest::Client, Url), Failure> {
        self.http.get_or_try_init(|| std::future::ready(self.connect())).await
    }

    fn connect(&self) -> Result<(reqwest::Client, Url), Failure> {
        choose_tls();
        let url = Url::parse(self.location()).map_err(|error| Failure::Url(error.to_string()))?;
        let http = reqwest::Client::builder()
            .user_agent(concat!("lightship/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_LIMIT)
            .pool_idle_timeout(Duration::from_secs(30))
            .danger_accept_invalid_certs(self.options.skip_verify)
            .redirect(Policy::none())
            .build();
        Ok((http.map_err(|error| Failure::unreachable(&error))?, url))
    }

    /// The URL of `path`, which ends with a slash if it is a folder.
    fn url(base: &Url, path: &str) -> Url {
        let mut url = base.clone();
        let whole = format!("{}/{}", base.path().trim_end_matches('/'), encode(path));
        url.set_path(&whole);
        url
    }

    /// Sends a request for `path`; an answer that is no success is a failure.
    pub(super) async fn send(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&'static str, String)],
        payload: Payload,
    ) -> Result<Response, Failure> {
        let (http, base) = self.http().await?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|error| Failure::Url(error.to_string()))?;
        let mut request = Request::new(method, Self::url(base, path));
        for (name, value) in headers {
            // A destination is a path, which is sent as a URL.
            let value = if *name == "destination" { Self::url(base, value).to_string() } else { value.clone() };
            let value = HeaderValue::from_str(&value).map_err(|error| Failure::Url(error.to_string()))?;
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        let progress = Arc::new(AtomicU64::new(0));
        match payload {
            Payload::None => {}
            Payload::Whole(bytes) => {
                request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                *request.body_mut() = Some(reqwest::Body::wrap_stream(watched(pieces(bytes), &progress)));
            }
            Payload::Stream(stream) => {
                *request.body_mut() = Some(reqwest::Body::wrap_stream(watched(stream, &progress)));
            }
        }
        let mut builder = reqwest::RequestBuilder::from_parts(http.clone(), request);
        if let Some(user) = &self.options.user {
            builder = builder.basic_auth(user, self.options.password.as_ref());
        }
        let response = while_it_moves(builder.send(), &progress).await?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }
}

/// Gives up when nothing happens any more.
async fn while_it_moves(
    work: impl Future<Output = reqwest::Result<Response>>,
    progress: &AtomicU64,
) -> Result<Response, Failure> {
    let mut work = std::pin::pin!(work);
    loop {
        let before = progress.load(Ordering::Relaxed);
        match tokio::time::timeout(SILENCE_LIMIT, work.as_mut()).await {
            Ok(done) => return done.map_err(|error| Failure::unreachable(&error)),
            Err(_) if progress.load(Ordering::Relaxed) == before => return Err(Failure::Silent(SILENCE_LIMIT)),
            Err(_) => {}
        }
    }
}

/// In pieces, so that it is seen how far it has come.
fn pieces(bytes: Bytes) -> BoxStream<'static, std::io::Result<Bytes>> {
    const PIECE_LEN: usize = 64 << 10;
    let starts = (0..bytes.len()).step_by(PIECE_LEN);
    futures::stream::iter(starts.map(move |at| Ok(bytes.slice(at..bytes.len().min(at + PIECE_LEN))))).boxed()
}

fn watched(
    stream: BoxStream<'static, std::io::Result<Bytes>>,
    progress: &Arc<AtomicU64>,
) -> BoxStream<'static, std::io::Result<Bytes>> {
    let progress = Arc::clone(progress);
    let count = move |_: &std::io::Result<Bytes>| {
        progress.fetch_add(1, Ordering::Relaxed);
    };
    stream.inspect(count).boxed()
}

/// The next bytes of an answer; `None` at its end.
pub(super) async fn next_chunk(response: &mut Response) -> Result<Option<Bytes>, Failure> {
    match tokio::time::timeout(SILENCE_LIMIT, response.chunk()).await {
        Ok(chunk) => chunk.map_err(|error| Failure::unreachable(&error)),
        Err(_) => Err(Failure::Silent(SILENCE_LIMIT)),
    }
}

async fn refused(mut response: Response) -> Failure {
    let status: StatusCode = response.status();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (location, authenticate) = (header("location"), header("www-authenticate"));
    // What is read of it lets the connection be used again.
    let mut len = 0;
    while let Ok(Some(chunk)) = next_chunk(&mut response).await {
        len += chunk.len();
        if len > REFUSAL_LEN_MAX {
            break;
        }
    }
    Failure::Refused { status: status.as_u16(), location, authenticate }
}

/// A path as it stands in a URL.
fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}
