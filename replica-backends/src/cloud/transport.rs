//! How requests reach a store: with a limit on every wait, and with every refusal read at the border.

use std::future::Future;
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use reqwest::header::{CONTENT_LENGTH, HeaderValue, IF_NONE_MATCH, RANGE};
use reqwest::{Method, StatusCode};
use tokio::time::Sleep;

use super::Service;
use super::answer::{self, Refusal};

/// Until a connection stands.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Until a store begins to answer, beside the time that it takes to send the request.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Until the next piece of an answer that has begun. A store that works on an upload for longer sends blanks meanwhile.
const PAUSE_LIMIT: Duration = Duration::from_secs(60);
/// The slowest uplink that is still worth waiting for, in bytes a second.
const SLOWEST_RATE: u64 = 32 << 10;

tokio::task_local! {
    /// The upload that is completed in this scope must not replace an object.
    static CREATE_ONLY: ();
}

/// Runs `completing` such that a store which knows how to refuses to replace an object by a completed upload.
pub(super) async fn create_only<F: Future>(completing: F) -> F::Output {
    CREATE_ONLY.scope((), completing).await
}

/// A request was not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct NoAnswer(Duration);

/// An answer began, and did not go on.
#[derive(Debug, thiserror::Error)]
#[error("the answer stopped for {0:?}")]
struct Stopped(Duration);

/// The body of an answer, with a limit on the wait for each piece.
struct Watched {
    inner: HttpResponseBody,
    /// Since a piece was first waited for.
    pause: Option<Pin<Box<Sleep>>>,
}

/// Makes [`Transport`]s to a service.
#[derive(Debug)]
pub(crate) struct Connector(pub(crate) Service);

/// An HTTP client that gives up in time.
#[derive(Debug)]
struct Transport {
    service: Service,
    inner: HttpClient,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        choose_tls();
        Ok(HttpClient::new(Transport { service: self.0, inner: ReqwestConnector::default().connect(options)? }))
    }
}

/// Options that every client shares.
pub(crate) fn client_options(skip_verify: bool) -> ClientOptions {
    let agent = HeaderValue::from_static(concat!("lightship/", env!("CARGO_PKG_VERSION")));
    ClientOptions::new()
        .with_user_agent(agent)
        .with_allow_http(true)
        .with_allow_invalid_certificates(skip_verify)
        .with_connect_timeout(CONNECT_LIMIT)
        // The transport limits each wait; how long a whole request takes depends on its size.
        .with_timeout_disabled()
}

/// rustls asks which cryptography it shall use when more than one could be meant; ours is the only one.
pub(crate) fn choose_tls() {
    static ONCE: Once = Once::new();
    // An error means that the program has chosen already, which is as good.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

fn completes_an_upload(request: &HttpRequest) -> bool {
    request.method() == Method::POST && request.uri().query().is_some_and(|query| query.contains("uploadId="))
}

fn watched(response: HttpResponse) -> HttpResponse {
    response.map(|inner| HttpResponseBody::new(Watched { inner, pause: None }))
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, HttpError>>) -> Result<T, HttpError> {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Timeout, NoAnswer(limit))))
}

impl Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(piece) = Pin::new(&mut self.inner).poll_frame(context) {
            self.pause = None;
            return Poll::Ready(piece);
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE_LIMIT)));
        ready!(pause.as_mut().poll(context));
        Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, Stopped(PAUSE_LIMIT)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if self.service.large_put_takes_condition()
            && completes_an_upload(&request)
            && CREATE_ONLY.try_with(|()| ()).is_ok()
        {
            request.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let is_part = request.headers().contains_key(RANGE);
        let sending = Duration::from_secs(request.body().content_length() as u64 / SLOWEST_RATE);
        let response = watched(within(ANSWER_LIMIT + sending, self.inner.execute(request)).await?);
        let status = response.status();
        // Some stores answer so for every part of an empty object, others say that there is none.
        if is_part && status == StatusCode::OK && response.headers().get(CONTENT_LENGTH).is_some_and(|len| len == "0") {
            let headers = response.headers();
            return Err(Refusal::read(StatusCode::RANGE_NOT_SATISFIABLE, headers, &Bytes::new()).into_http_error());
        }
        if status.is_success() || status == StatusCode::NOT_MODIFIED || status == StatusCode::PRECONDITION_FAILED {
            return Ok(response);
        }
        match answer::read(response).await? {
            Ok(response) => Ok(response),
            Err(refusal) => {
                if let Some(pause) = refusal.pause {
                    tokio::time::sleep(pause).await;
                }
                Err(refusal.into_http_error())
            }
        }
    }
}
