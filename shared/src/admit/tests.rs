use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use proto::v1::{RegisterUnitsRequest, Unit};
use tokio_stream::StreamExt;
use tower::{ServiceBuilder, ServiceExt};

use super::*;
use crate::{
    limits::{MESSAGE_BYTES_MAX, MESSAGE_PARTS_MAX, PART_BYTES},
    status::reason_name,
};

const READ: &str = "/tonghop.v1.QueryService/GetShare";
const WRITE: &str = "/tonghop.v1.RegistryService/RegisterUnits";

fn admission() -> Admission {
    let load =
        LoadConfig { work_max: 1, queue_max: 1, reads_max: 3, writes_max: 1, streams_max: 1, ..Default::default() };
    Admission::new(&load)
}

fn request(path: &str, body: Body) -> Request<Body> {
    Request::builder().uri(path).body(body).unwrap()
}

/// The answer of a handler behind that admission.
async fn answer<F>(
    admission: &Admission,
    request: Request<Body>,
    handler: impl Fn(Request<Body>) -> F + Clone + Send + 'static,
) -> Response<Body>
where
    F: Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send + 'static,
{
    let service = ServiceBuilder::new().layer(AdmitLayer(admission.clone())).service_fn(handler);
    match service.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

async fn empty(_: Request<Body>) -> Result<Response<Body>, std::convert::Infallible> {
    Ok(Response::new(Body::empty()))
}

fn reason(answer: &Response<Body>) -> Option<String> {
    tonic::Status::from_header_map(answer.headers()).and_then(|status| reason_name(&status))
}

#[tokio::test]
async fn a_full_budget_refuses_its_own_class_at_once_and_no_other() {
    let admission = admission();
    let untaken =
        |_| async { Ok(Response::new(Body::new(Pieces(vec![Ok(http_body::Frame::data(Bytes::new()))].into_iter())))) };
    let held = answer(&admission, request(WRITE, Body::empty()), untaken).await;
    let refused =
        answer(&admission, request(WRITE, Body::empty()), |_| async { panic!("a handler was reached") }).await;
    assert_eq!(reason(&refused).as_deref(), Some("OVERLOADED"));
    assert!(refused.headers().contains_key("grpc-retry-pushback-ms"));
    for path in [READ, "/tonghop.v1.FeedService/Follow", "/grpc.health.v1.Health/Check"] {
        assert_eq!(reason(&answer(&admission, request(path, Body::empty()), empty).await), None, "{path}");
    }
    // The place is free when the answer has been taken, or nobody wants it any more.
    drop(held);
    assert_eq!(reason(&answer(&admission, request(WRITE, Body::empty()), empty).await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_keeps_the_place_of_its_call_when_the_caller_has_left_and_what_has_not_begun_never_does() {
    let admission = admission();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (begun, released) = (Arc::new(Mutex::new(begun)), Arc::new(Mutex::new(released)));
    let blocking = move |_: Request<Body>| {
        let (begun, released) = (begun.clone(), released.clone());
        async move {
            let work = move || {
                begun.lock().unwrap().send(()).unwrap();
                let _ = released.lock().unwrap().recv();
                Ok(())
            };
            off_thread(work).await.unwrap();
            Ok(Response::new(Body::empty()))
        }
    };
    let spawn = |handler| {
        let admission = admission.clone();
        tokio::spawn(async move { answer(&admission, request(READ, Body::empty()), handler).await })
    };
    let first = spawn(blocking);
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();

    let ran = Arc::new(AtomicBool::new(false));
    let second = tokio::spawn({
        let (admission, ran) = (admission.clone(), ran.clone());
        let waiting = move |_: Request<Body>| {
            let ran = ran.clone();
            async move {
                let work = move || {
                    ran.store(true, Ordering::SeqCst);
                    Ok(())
                };
                off_thread(work).await.unwrap();
                Ok(Response::new(Body::empty()))
            }
        };
        async move { answer(&admission, request(READ, Body::empty()), waiting).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    for caller in [first, second] {
        caller.abort();
        let _ = caller.await;
    }
    let reads = || admission.shared.reads.available_permits();
    assert_eq!(reads(), 2, "the work of the first goes on");
    release.send(()).unwrap();
    while reads() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(admission.shared.work.turn().await.unwrap());
    assert!(!ran.load(Ordering::SeqCst), "nobody wanted it any more");
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// What comes through of a body that arrives in these pieces, or the reason why it does not.
async fn through(admission: &Admission, pieces: Vec<Vec<u8>>) -> Result<Vec<Bytes>, String> {
    let pieces = pieces.into_iter().map(|piece| Ok::<_, tonic::Status>(http_body::Frame::data(Bytes::from(piece))));
    let body = Body::new(Pieces(pieces.collect::<Vec<_>>().into_iter()));
    let place = admission.enter(Class::Write).unwrap();
    let input = admission.shared.methods.of(WRITE).input.unwrap();
    let counted = Counted::new(body, Some((admission.shared.methods.shapes(), input)), place);
    let mut frames = std::pin::pin!(Frames(counted));
    let mut whole = Vec::new();
    while let Some(frame) = frames.next().await {
        whole.push(frame.map_err(|status| reason_name(&status).unwrap_or_default())?.into_data().unwrap());
    }
    Ok(whole)
}

struct Pieces(std::vec::IntoIter<Result<http_body::Frame<Bytes>, tonic::Status>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, tonic::Status>>> {
        Poll::Ready(self.0.next())
    }
}

struct Frames(Counted);

impl tokio_stream::Stream for Frames {
    type Item = Result<http_body::Frame<Bytes>, tonic::Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        http_body::Body::poll_frame(Pin::new(&mut self.0), context)
    }
}

#[tokio::test]
async fn messages_come_through_whole_however_they_arrive() {
    let admission = admission();
    let one =
        framed(&RegisterUnitsRequest { complete_from: "2025-06-30".into(), ..Default::default() }.encode_to_vec());
    let two = [one.clone(), one.clone()].concat();
    for size in 1..=two.len() {
        let pieces = two.chunks(size).map(<[u8]>::to_vec).collect();
        let whole = through(&admission, pieces).await.unwrap();
        assert_eq!(whole.concat(), two, "in pieces of {size}");
        assert!(whole.iter().all(|whole| whole.len() % one.len() == 0), "in pieces of {size}");
    }
    let half = one[..one.len() - 1].to_vec();
    assert_eq!(through(&admission, vec![half.clone()]).await.unwrap().concat(), half, "whoever decodes it says so");
}

#[tokio::test]
async fn what_would_be_too_large_is_refused_before_it_is_read() {
    let admission = admission();
    let mut announced = framed(b"");
    announced[1..].copy_from_slice(&u32::try_from(MESSAGE_BYTES_MAX + 1).unwrap().to_be_bytes());
    assert_eq!(through(&admission, vec![announced]).await.unwrap_err(), "TOO_LARGE");
    let units = RegisterUnitsRequest { units: vec![Unit::default(); MESSAGE_PARTS_MAX + 1], ..Default::default() };
    assert_eq!(through(&admission, vec![framed(&units.encode_to_vec())]).await.unwrap_err(), "TOO_MANY");
}

#[tokio::test]
async fn the_room_of_a_message_is_kept_however_it_arrives() {
    let admission = admission();
    let units = RegisterUnitsRequest { units: vec![Unit::default(); 10_000], ..Default::default() };
    let message = framed(&units.encode_to_vec());
    assert!(message.len() < LARGE_MESSAGE_BYTES_MIN, "it is small on the wire");
    for size in [message.len(), 1_000] {
        let pieces = message.chunks(size).map(|piece| Ok(http_body::Frame::data(Bytes::copy_from_slice(piece))));
        let body = Body::new(Pieces(pieces.collect::<Vec<_>>().into_iter()));
        let input = admission.shared.methods.of(WRITE).input.unwrap();
        let place = admission.enter(Class::Write).unwrap();
        let counted = Counted::new(body, Some((admission.shared.methods.shapes(), input)), place.clone());
        let mut frames = std::pin::pin!(Frames(counted));
        while let Some(frame) = frames.next().await {
            frame.unwrap();
        }
        let taken = LARGE_MESSAGES_BYTES_MAX / 1024 - admission.shared.large.available_permits();
        assert!(taken >= 10_000 * PART_BYTES / 1024, "{taken} KiB, in pieces of {size}");
    }
}

#[tokio::test]
async fn large_messages_share_one_room() {
    let admission = admission();
    let parts = MESSAGE_PARTS_MAX;
    let units =
        framed(&RegisterUnitsRequest { units: vec![Unit::default(); parts], ..Default::default() }.encode_to_vec());
    let mut places = Vec::new();
    let refused = loop {
        let place = admission.enter(Class::Vital).unwrap();
        let bytes = units.len() + parts * PART_BYTES;
        match place.make_room(bytes) {
            Ok(()) => places.push(place),
            Err(fault) => break fault,
        }
    };
    assert_eq!(refused.reason, Reason::Overloaded);
    assert_eq!(places.len(), LARGE_MESSAGES_BYTES_MAX / (units.len() + parts * PART_BYTES));
    places.pop();
    admission.enter(Class::Vital).unwrap().make_room(parts * PART_BYTES).unwrap();
}

async fn assert_done_and_panics_answered() {
    assert_eq!(off_thread(|| Ok(1)).await, Ok(1));
    let panicked = off_thread::<()>(|| panic!("as if there were a fault")).await;
    assert_eq!(panicked.unwrap_err().reason, Reason::Internal);
    let fault = Fault::new(Reason::CatchingUp, "as if something were damaged");
    let unwound = fault.clone();
    assert_eq!(off_thread::<()>(move || std::panic::resume_unwind(Box::new(unwound))).await, Err(fault));
}

#[tokio::test]
async fn work_is_done_in_place_on_one_thread() {
    assert_done_and_panics_answered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_done_beside_many_threads() {
    assert_done_and_panics_answered().await;
}
