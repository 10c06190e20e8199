//! Answers as they went out, for whoever asks the same again before anything new is known: of a question about figures the
//! bytes of the request and the newest revision say everything that its answer depends on.
//!
//! What is remembered is given up by itself: it is used at its revision only, and the least useful makes room for others.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use prost::Message;
use proto::v1::RankRequest;
use quick_cache::{Weighter, sync::Cache};
use shared::model::{access::Caller, log::Revision};
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

use crate::view::View;

/// Questions whose answer depends on nothing but themselves and what is known: not on the time of day, and on no page.
const METHODS: [&str; 6] = ["GetShare", "Aggregate", "GetSeries", "Rank", "GetDistribution", "Compare"];
/// In front of a message: whether it is compressed, and its length.
const FRAME_LEN: usize = 5;
/// Longer questions are not remembered.
const QUESTION_BYTES_MAX: usize = 4 * 1024;
/// Longer answers are not remembered.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// What an answer takes beside its bytes, roughly.
const ANSWER_BYTES_MIN: usize = 512;

/// What was asked: the method and the bytes of the request.
type Question = (&'static str, Bytes);

#[derive(Clone)]
struct Answer {
    revision: Revision,
    headers: HeaderMap,
    message: Bytes,
    trailers: HeaderMap,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Question, Answer> for ByBytes {
    fn weight(&self, (_, question): &Question, answer: &Answer) -> u64 {
        (question.len() + answer.message.len() + ANSWER_BYTES_MIN) as u64
    }
}

/// A service whose answers are remembered.
#[derive(Clone)]
pub struct Remember<S> {
    inner: S,
    view: View,
    answers: Arc<Cache<Question, Answer, ByBytes>>,
}

impl<S> Remember<S> {
    /// Remembers answers of `inner`, which answers from `view`, in so many bytes.
    pub fn new(inner: S, view: View, bytes_max: usize) -> Self {
        let answers = Cache::with_weighter(bytes_max / (4 * ANSWER_BYTES_MIN), bytes_max as u64, ByBytes);
        Self { inner, view, answers: Arc::new(answers) }
    }
}

impl<S: NamedService> NamedService for Remember<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Remember<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asked = request.uri().path().rsplit('/').next().unwrap_or_default();
        let sees_everything =
            request.extensions().get::<Arc<Caller>>().is_some_and(|caller| caller.scope.is_everything());
        // Who does not see everything gets other answers to the same question.
        let Some(method) = METHODS.into_iter().find(|method| sees_everything && *method == asked) else {
            return Box::pin(self.inner.call(request));
        };
        let mut inner = self.inner.clone();
        // The one that was asked whether it is ready is the one to be called.
        std::mem::swap(&mut inner, &mut self.inner);
        let (view, answers) = (self.view.clone(), self.answers.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let taken = Taken::of(body, QUESTION_BYTES_MAX).await;
            let question = taken.whole().filter(|message| !depends_on_the_day(method, message));
            let question = question.map(|message| (method, message));
            let revision = view.following();
            if let (Some(question), Some(revision)) = (&question, revision)
                && let Some(answer) = answers.get(question).filter(|answer| answer.revision == revision)
            {
                return Ok(answer.into_response());
            }
            let response = inner.call(Request::from_parts(parts, taken.into_body())).await?;
            let (Some(question), Some(revision)) = (question, revision) else { return Ok(response) };
            // An error without a message has its status there.
            if response.headers().contains_key(Status::GRPC_STATUS) {
                return Ok(response);
            }
            let (parts, body) = response.into_parts();
            let taken = Taken::of(body, ANSWER_BYTES_MAX).await;
            if let Some((message, trailers)) = taken.whole_with_trailers()
                && trailers.get(Status::GRPC_STATUS).is_some_and(|code| code == "0")
                && view.following() == Some(revision)
            {
                answers.insert(question, Answer { revision, headers: parts.headers.clone(), message, trailers });
            }
            Ok(Response::from_parts(parts, taken.into_body()))
        })
    }
}

/// Whether the answer to a question is another one on another day: duties are judged by the day on which it is asked.
fn depends_on_the_day(method: &str, framed: &[u8]) -> bool {
    let message = framed.get(FRAME_LEN..).unwrap_or_default();
    method == "Rank" && RankRequest::decode(message).is_ok_and(|request| !request.form.is_empty())
}

impl Answer {
    fn into_response(self) -> Response<Body> {
        let frames = [Frame::data(self.message), Frame::trailers(self.trailers)];
        let mut response = Response::new(Body::new(Taken { frames: frames.map(Ok).into(), rest: None }));
        *response.headers_mut() = self.headers;
        response
    }
}

/// A body of which as much has been taken as was there, up to a bound.
struct Taken {
    frames: VecDeque<Result<Frame<Bytes>, Status>>,
    /// What has not been taken.
    rest: Option<Body>,
}

impl Taken {
    async fn of(mut body: Body, bytes_max: usize) -> Self {
        let (mut frames, mut bytes) = (VecDeque::new(), 0);
        while bytes <= bytes_max {
            match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(frame) => {
                    bytes += frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
                    let is_error = frame.is_err();
                    frames.push_back(frame);
                    if is_error {
                        return Self { frames, rest: None };
                    }
                }
                None => return Self { frames, rest: None },
            }
        }
        Self { frames, rest: Some(body) }
    }

    /// All its data, if all of it was taken.
    fn whole(&self) -> Option<Bytes> {
        if self.rest.is_some() || self.frames.iter().any(Result::is_err) {
            return None;
        }
        let mut data = self.frames.iter().flatten().filter_map(Frame::data_ref);
        let first = data.next().cloned().unwrap_or_default();
        match data.next() {
            None => Some(first),
            Some(second) => {
                let mut whole = BytesMut::from(first.as_ref());
                [second].into_iter().chain(data).for_each(|more| whole.extend_from_slice(more));
                Some(whole.freeze())
            }
        }
    }

    fn whole_with_trailers(&self) -> Option<(Bytes, HeaderMap)> {
        let trailers = self.frames.back()?.as_ref().ok()?.trailers_ref()?.clone();
        Some((self.whole()?, trailers))
    }

    fn into_body(self) -> Body {
        Body::new(self)
    }
}

impl http_body::Body for Taken {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match (self.frames.pop_front(), &mut self.rest) {
            (Some(frame), _) => Poll::Ready(Some(frame)),
            (None, Some(rest)) => Pin::new(rest).poll_frame(context),
            (None, None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use shared::model::log::StoreId;
    use tonic::codegen::http::HeaderValue;
    use tower::{ServiceExt, service_fn};
    use uuid::Uuid;

    use super::*;
    use crate::view::{Standing, tests::index};

    /// What a question is answered with by a service that counts how often it is asked; an empty question is an error.
    async fn ask(
        service: &mut impl Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        method: &str,
        question: &[u8],
    ) -> Vec<u8> {
        let frames = VecDeque::from([Ok(Frame::data(Bytes::copy_from_slice(question)))]);
        let request = Request::builder().uri(format!("/tonghop.v1.QueryService/{method}"));
        let request = request.extension(Arc::new(Caller::unasked()));
        let request = request.body(Body::new(Taken { frames, rest: None })).unwrap();
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        let taken = Taken::of(response.into_body(), usize::MAX / 2).await;
        let (message, trailers) = taken.whole_with_trailers().unwrap();
        [&message[..], b" ", trailers[Status::GRPC_STATUS].as_bytes()].concat()
    }

    #[tokio::test]
    async fn what_was_answered_is_answered_again_until_something_new_is_known() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let inner = service_fn(move |request: Request<Body>| {
            let (count, seen) = (counted.clone(), seen.clone());
            async move {
                let question = Taken::of(request.into_body(), 1 << 20).await.whole().unwrap();
                seen.lock().unwrap().push(question.clone());
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let code = if question.is_empty() { "3" } else { "0" };
                let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static(code))]);
                let message = Bytes::from(format!("{number}{}", " ".repeat(question.len() / 2)));
                let frames = VecDeque::from([Ok(Frame::data(message)), Ok(Frame::trailers(trailers))]);
                Ok::<_, Infallible>(Response::new(Body::new(Taken { frames, rest: None })))
            }
        });
        let view = View::default();
        let service = &mut Remember::new(inner, view.clone(), 1 << 20);
        let store = StoreId(Uuid::from_u128(1));
        // Nothing is remembered before the log was read.
        assert_eq!(ask(service, "GetShare", b"a").await, b"1 0");
        assert_eq!(ask(service, "GetShare", b"a").await, b"2 0");
        view.publish(store, index(1));
        view.set_standing(Standing::Following);
        for _ in 0..3 {
            assert_eq!(ask(service, "GetShare", b"a").await, b"3 0");
        }
        assert_eq!(ask(service, "GetShare", b"b").await, b"4 0", "another question");
        assert_eq!(ask(service, "Aggregate", b"a").await, b"5 0", "another method");
        assert_eq!(ask(service, "ListDuties", b"a").await, b"6 0");
        assert_eq!(ask(service, "ListDuties", b"a").await, b"7 0", "depends on the day");
        let duties = RankRequest { form: "f".into(), ..Default::default() }.encode_to_vec();
        let duties = [&[0, 0, 0, 0, u8::try_from(duties.len()).unwrap()][..], &duties].concat();
        for number in [b"8", b"9"] {
            assert!(ask(service, "Rank", &duties).await.starts_with(number), "depends on the day, too");
        }
        view.publish(store, index(2));
        assert_eq!(ask(service, "GetShare", b"a").await, b"10 0", "something new is known");
        assert_eq!(ask(service, "GetShare", b"").await, b"11 3");
        assert_eq!(ask(service, "GetShare", b"").await, b"12 3", "errors are not remembered");
        let long = vec![7; QUESTION_BYTES_MAX + 1];
        assert!(ask(service, "GetShare", &long).await.starts_with(b"13"));
        assert!(ask(service, "GetShare", &long).await.starts_with(b"14"));
    }
}
