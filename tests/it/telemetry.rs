//! What the services tell of themselves on their side ports.

mod alerts;
mod logs;
mod metrics;
mod traces;

use std::{
    net::{SocketAddr, TcpListener},
    process::Output,
};

use tests::harness::{
    FREE_PORT, Pair, Service, run_in, start_ingest, start_query_with, try_start_ingest_with, try_start_query_over,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::eventually;

const SIDE: [&str; 2] = ["--side-listen", FREE_PORT];

/// One request to a side port: the code of the answer and its words.
async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, words) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
    Ok((code, words.trim_end().to_owned()))
}

async fn get(service: &Service, path: &str) -> (u16, String) {
    ask(service.side_address().unwrap(), "GET", path, "").await.unwrap()
}

fn healthcheck(service: &str, address: &str) -> Output {
    run_in(service, &["healthcheck"], &[("TONGHOP_SIDE_LISTEN", address)])
}

fn why(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap().trim_end()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_service_lives_before_it_is_ready_and_is_ready_once_it_follows() {
    let directory = tempfile::tempdir().unwrap();
    let ingest = try_start_ingest_with(directory.path(), FREE_PORT, &SIDE).unwrap();
    assert_eq!(get(&ingest, "/ready").await, (200, "ready".into()));
    let (address, side) = (ingest.address().to_string(), ingest.side_address().unwrap().to_string());
    assert!(healthcheck("ingest-service", &side).status.success());
    let uri = ingest.uri();
    ingest.kill();
    assert_eq!(healthcheck("ingest-service", &side).status.code(), Some(1));

    let query = start_query_with(&uri, FREE_PORT, &SIDE);
    let side = query.side_address().unwrap().to_string();
    assert_eq!(get(&query, "/live").await, (200, "live".into()));
    assert_eq!(get(&query, "/ready").await, (503, "not serving".into()));
    let checked = healthcheck("query-service", &side);
    assert_eq!((checked.status.code(), why(&checked)), (Some(1), "not serving"));

    let _ingest = start_ingest(directory.path(), &address);
    eventually(async || (get(&query, "/ready").await.0 == 200).then_some(())).await;
    // The port stands for all addresses; the check asks on this machine.
    let everywhere = side.replace("127.0.0.1", "0.0.0.0");
    let checked = healthcheck("query-service", &everywhere);
    assert_eq!((checked.status.code(), checked.stdout.as_slice()), (Some(0), &b"ready\n"[..]));
}

#[test]
fn a_health_check_says_in_one_line_why_it_fails() {
    for service in ["ingest-service", "query-service"] {
        let checked = run_in(service, &["healthcheck"], &[]);
        assert_eq!(checked.status.code(), Some(1));
        assert_eq!(why(&checked), "there is no side port: set --side-listen or TONGHOP_SIDE_LISTEN");
    }
    // It takes connections and says nothing.
    let silent = TcpListener::bind(FREE_PORT).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let checked = healthcheck("query-service", &address);
    assert_eq!((checked.status.code(), why(&checked)), (Some(1), &*format!("{address}: no answer within 3 s")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_ends_the_process_before_it_touches_its_data() {
    let taken = TcpListener::bind(FREE_PORT).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    for settings in [["--side-listen", &taken], ["--listen", &taken]] {
        let ended = try_start_ingest_with(&data, FREE_PORT, &settings).unwrap_err();
        assert_eq!(ended.status.code(), Some(69), "{}", ended.log);
        let ended = try_start_query_over(&data, "http://127.0.0.1:1", FREE_PORT, &settings).unwrap_err();
        assert_eq!(ended.status.code(), Some(69), "{}", ended.log);
        assert!(!data.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_and_wrong_requests_do_not_keep_the_side_port_busy() {
    let pair = Pair::start_with(&SIDE, &[]);
    let address = pair.ingest.side_address().unwrap();
    assert_eq!(pair.query.side_address(), None);
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    eventually(async || ask(address, "GET", "/live", "").await.ok().filter(|(code, _)| *code == 200)).await;
    drop(silent);
    for (method, path, code) in [("GET", "/", 404), ("POST", "/ready", 405), ("DELETE", "/live", 405)] {
        eventually(async || ask(address, method, path, "").await.ok().filter(|(now, _)| *now == code)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_side_port_ends_with_the_service() {
    let pair = Pair::start_with(&SIDE, &SIDE);
    let Pair { query, ingest, .. } = pair;
    for service in [query, ingest] {
        let address = service.side_address().unwrap();
        service.tell_to_end();
        assert!(service.wait().status.success());
        assert!(TcpStream::connect(address).await.is_err());
    }
}
