//! Clients that mean harm, or are broken: what they do costs them their connection, and nobody else anything.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::Duration,
};

use http::Request;
use prost::Message;
use proto::v1::{GetUnitRequest, registry_service_client::RegistryServiceClient};
use rustix::process::{Resource, getrlimit};
use tests::harness::{FREE_PORT, Service, try_start_ingest_with};
use tonic::{Code, body::Body, transport::Channel};
use tower::ServiceExt;

use crate::{
    bad_input::{observations_of_nothing, send},
    raw::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RESET, Raw, SETTINGS,
        call_headers, frame,
    },
    support::{eventually, reason},
};

const GET_UNIT: &str = "/tonghop.v1.RegistryService/GetUnit";
const SUBMIT: &str = "/tonghop.v1.IngestService/SubmitReport";
/// What memory may grow by, whatever one client does on one connection: allocators keep some of what they were given.
const GROWTH_KIB_MAX: u64 = 40 * 1024;
/// Error codes of RFC 9113, section 7.
const PROTOCOL_ERROR: u32 = 0x1;
const ENHANCE_YOUR_CALM: u32 = 0xb;

fn start(directory: &Path, settings: &[&str]) -> Service {
    try_start_ingest_with(directory, FREE_PORT, settings).unwrap_or_else(|ended| panic!("{}", ended.log))
}

/// Asks for a unit that is not there.
async fn ask(channel: Channel) -> Result<(), tonic::Status> {
    let request = GetUnitRequest { id: "nowhere".into(), ..Default::default() };
    match RegistryServiceClient::new(channel).get_unit(request).await {
        Err(status) if reason(&status) == "UNIT_NOT_FOUND" => Ok(()),
        Err(status) => Err(status),
        Ok(_) => panic!("there are no units"),
    }
}

/// A client's stream numbers are odd.
fn stream(number: u32) -> u32 {
    2 * number + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_cost_the_connection_and_not_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path(), &[]);
    let friend = service.channel();
    ask(friend.clone()).await.unwrap();
    let before = service.resident_kib_max();
    let headers = &call_headers(GET_UNIT);
    // A header that a request over HTTP/2 must not have.
    let malformed = [&headers[..], b"\x00\x0aconnection\x01x"].concat();
    type Flood<'a> = (&'a str, &'a [u32], u32, Box<dyn FnMut(u32) -> Vec<u8> + Send + 'a>);
    let floods: Vec<Flood<'_>> = vec![
        ("streams opened and reset", &[ENHANCE_YOUR_CALM], 2_000, {
            let open = |n| frame(HEADERS, END_HEADERS, stream(n), headers);
            let reset = |n| frame(RESET, 0, stream(n), &8_u32.to_be_bytes());
            Box::new(move |n| (50 * n..50 * n + 50).flat_map(|n| [open(n), reset(n)].concat()).collect())
        }),
        (
            "malformed headers",
            &[ENHANCE_YOUR_CALM],
            20_000,
            Box::new(|n| frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &malformed)),
        ),
        ("headers that never end", &[PROTOCOL_ERROR, ENHANCE_YOUR_CALM], 100_000, {
            let more = b"\x00\x01a\x7f".iter().copied().chain([b'b'; 127]).collect::<Vec<u8>>().repeat(100);
            Box::new(move |n| match n {
                0 => frame(HEADERS, 0, 1, headers),
                _ => frame(CONTINUATION, 0, 1, &more),
            })
        }),
        ("data without data", &[], 50_000, {
            let headers = call_headers(SUBMIT);
            Box::new(move |n| match n {
                0 => frame(HEADERS, END_HEADERS, 1, &headers),
                _ => frame(DATA, 0, 1, &[]).repeat(10),
            })
        }),
        ("pings", &[], 50_000, Box::new(|_| frame(PING, 0, 0, &[7; 8]).repeat(10))),
        ("settings", &[], 50_000, Box::new(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(10))),
        ("frames of no kind", &[], 50_000, Box::new(|_| frame(0xbb, 0, 0, &[7; 100]).repeat(10))),
    ];
    for (what, ends_with, times, flood) in floods {
        let hostile = Raw::begun(service.address()).await;
        let (goodbyes, friendly) = tokio::join!(hostile.flood(times, flood), ask(friend.clone()));
        friendly.unwrap_or_else(|status| panic!("{what}: {status}"));
        let is_ended = goodbyes.iter().any(|code| ends_with.contains(code));
        assert!(ends_with.is_empty() || is_ended, "{what}: {goodbyes:?}");
        ask(friend.clone()).await.unwrap();
        let grown = service.resident_kib_max().saturating_sub(before);
        println!("{what}: {grown} KiB more, ended with {goodbyes:?}");
        assert!(grown < GROWTH_KIB_MAX, "{what}: {grown} KiB more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_bring_no_request_are_closed_and_those_that_did_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path(), &["--first-request-ms-max", "500"]);
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &call_headers(GET_UNIT));

    let mut silent = Raw::silent(service.address()).await;
    let mut half_a_request = Raw::silent(service.address()).await;
    half_a_request.send(&[&begin[..], &head[..head.len() / 2]].concat()).await.unwrap();
    let mut only_begun = Raw::begun(service.address()).await;
    let mut good = Raw::begun(service.address()).await;
    good.send(&head).await.unwrap();
    assert!(good.next(HEADERS).await.is_some());

    // A byte now and then.
    let mut slow = Raw::silent(service.address()).await;
    let dripping = async {
        for byte in begin.iter().cycle() {
            if slow.send(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::join!(silent.closed(), half_a_request.closed(), only_begun.closed(), dripping);
    ask(service.channel()).await.unwrap();
    good.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &call_headers(GET_UNIT))).await.unwrap();
    assert!(good.next(HEADERS).await.is_some(), "a connection that was used stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_renewed_after_its_time_and_its_calls_may_end() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path(), &["--connection-ms-max", "300", "--connection-grace-ms-max", "200"]);
    let mut raw = Raw::begun(service.address()).await;
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &call_headers(GET_UNIT))).await.unwrap();
    assert!(raw.next(HEADERS).await.is_some());
    assert!(raw.next(GOAWAY).await.is_some(), "it is told so");
    // It does not answer, so it is closed when the time for that is over.
    raw.closed().await;
    let channel = service.channel();
    // Others connect again by themselves; a call that was on its way when its connection went is made again.
    for _ in 0..40 {
        eventually(async || ask(channel.clone()).await.ok()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_arrive_in_time_is_answered_and_let_go() {
    let directory = tempfile::tempdir().unwrap();
    let limits = ["--deadline-ms-max", "500", "--writes-max", "1"];
    let service = start(directory.path(), &limits);
    let channel = service.channel();
    let mut raw = Raw::begun(service.address()).await;
    let mut stream = 1;
    eventually(async || {
        raw.send(&frame(HEADERS, END_HEADERS, stream, &call_headers(SUBMIT))).await.unwrap();
        raw.send(&frame(DATA, 0, stream, &[0, 0, 0, 1, 0])).await.unwrap();
        let refused = send(&channel, SUBMIT, vec![]).await.err().filter(|s| reason(s) == "OVERLOADED");
        assert!(raw.next(HEADERS).await.is_some(), "it is told that it took too long");
        // On a busy machine the half request is sometimes not there yet, or let go already.
        stream += 2;
        refused
    })
    .await;
    // The one place for writes is free again.
    eventually(async || send(&channel, SUBMIT, vec![]).await.err().filter(|s| reason(s) != "OVERLOADED")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_silent_connections_keep_nobody_out_and_are_dropped() {
    let wanted: u64 =
        std::env::var("TONGHOP_TEST_CONNECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    let possible = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(200);
    let count = wanted.min(possible);
    println!("{count} connections, of {wanted} wanted and {possible} that the limit of open files allows");
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path(), &["--first-request-ms-max", "10000"]);
    ask(service.channel()).await.unwrap();
    let before = service.resident_kib_max();
    let mut silent = Vec::new();
    for number in 0..count {
        // As if from many machines: one address may have only so many.
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 1, u8::try_from(number / 1_000).unwrap() + 1));
        silent.push(Raw::silent_from(service.address(), from).await.unwrap());
        if number % 500 == 0 {
            ask(service.channel()).await.unwrap();
        }
    }
    ask(service.channel()).await.unwrap();
    let grown = service.resident_kib_max().saturating_sub(before);
    println!("{} KiB for each", grown / count);
    assert!(grown < 32 * count, "{grown} KiB for {count} connections");
    for connection in &mut silent {
        connection.closed().await;
    }
    ask(service.channel()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_take_all_connections() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path(), &["--address-connections-max", "3"]);
    let greedy = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(Raw::silent_from(service.address(), greedy).await.unwrap());
    }
    for _ in 0..5 {
        Raw::silent_from(service.address(), greedy).await.unwrap().closed().await;
    }
    ask(service.channel()).await.unwrap();
    drop(taken);
    let open = eventually(async || {
        let mut again = Raw::silent_from(service.address(), greedy).await.unwrap();
        again.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.ok()?;
        again.next(SETTINGS).await
    });
    open.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_file_descriptors_accepting_pauses_and_what_is_open_lives() {
    const TICKS_A_SECOND: u64 = 100;
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path(), &[]);
    let friend = service.channel();
    let mut feed = proto::v1::feed_service_client::FeedServiceClient::new(friend.clone())
        .follow(proto::v1::FollowRequest::default())
        .await
        .unwrap()
        .into_inner();
    service.limit_further_files(5);
    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting.push(Raw::silent(service.address()).await);
    }
    eventually(async || service.log().iter().any(|line| line.contains("no connection can be accepted")).then_some(()))
        .await;
    let (ticks, window) = (service.cpu_ticks(), std::time::Instant::now());
    for _ in 0..20 {
        ask(friend.clone()).await.unwrap();
        assert!(feed.message().await.unwrap().is_some(), "progress marks go on");
    }
    // A loop that tries again and again takes a whole core.
    let (used, whole) = (service.cpu_ticks() - ticks, window.elapsed().as_millis() as u64 * TICKS_A_SECOND / 1_000);
    assert!(used * 2 < whole.max(2), "{used} of {whole} ticks");
    drop(waiting);
    eventually(async || ask(service.channel()).await.ok()).await;
    let complaints = service.log().iter().filter(|line| line.contains("no connection can be accepted")).count();
    assert!(complaints < 50, "{complaints} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_small_on_the_wire_and_large_in_memory_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path(), &["--deadline-ms-max", "600000"]);
    let channel = service.channel();
    ask(channel.clone()).await.unwrap();
    let before = service.resident_kib_max();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..30 {
        let channel = channel.clone();
        // What is decoded at all is some ten MiB in memory; all of them at once would be some GiB.
        let count = if number % 3 == 0 { 1_900_000 } else { 90_000 };
        calls.spawn(async move { reason(&send(&channel, SUBMIT, observations_of_nothing(count)).await.unwrap_err()) });
    }
    while let Some(answer) = calls.join_next().await {
        let answer = answer.unwrap();
        assert!(["SEVERAL_VIOLATIONS", "TOO_MANY", "OVERLOADED"].contains(&answer.as_str()), "{answer}");
    }
    let grown = service.resident_kib_max().saturating_sub(before);
    println!("{grown} KiB more");
    assert!(grown < 256 * 1024, "{grown} KiB");
    ask(channel).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_messages_are_refused_unread() {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path(), &[]);
    let request = Request::post(format!("{}{GET_UNIT}", service.uri()))
        .header("content-type", "application/grpc")
        .header("grpc-encoding", "gzip")
        .body(Body::empty())
        .unwrap();
    let answer = service.channel().oneshot(request).await.unwrap();
    let refused = tonic::Status::from_header_map(answer.headers()).unwrap();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unimplemented, "UNSUPPORTED_ENCODING"));
    let get = GetUnitRequest { id: "nowhere".into(), ..Default::default() };
    let refused = send(&service.channel(), GET_UNIT, get.encode_to_vec()).await.unwrap_err();
    assert_eq!(reason(&refused), "UNIT_NOT_FOUND");
}
