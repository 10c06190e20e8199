//! Asks the side port of a process of this machine, for those who have no shell and no HTTP client: a container's health
//! check.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use clap::Subcommand;
use http::{Method, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// An answer that is not there by then does not come.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// What an answer is read of.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What can be asked of a running service.
#[derive(Clone, Debug, Subcommand)]
pub enum Ask {
    /// Ask the side port of the running service whether it is ready: exit code 0 if it is, else 1
    Healthcheck,
    /// Ask the side port of the running service what is logged, or change it
    Log {
        /// What is to be logged from now on, such as "info,shared=debug"
        filter: Option<String>,
    },
}

/// Asks, and says what it heard.
///
/// # Errors
/// One line why the answer is not the one hoped for.
pub fn run(ask: &Ask, side_listen: Option<SocketAddr>) -> Result<String, String> {
    let address = side_listen.ok_or("there is no side port: set --side-listen or TONGHOP_SIDE_LISTEN")?;
    let address = reachable(address);
    let (method, path, body) = match ask {
        Ask::Healthcheck => (Method::GET, "/ready", String::new()),
        Ask::Log { filter: None } => (Method::GET, "/log", String::new()),
        Ask::Log { filter: Some(filter) } => (Method::PUT, "/log", filter.clone()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let answer = runtime.block_on(async {
        let answer = tokio::time::timeout(ANSWER_MAX, exchange(address, method, path, body));
        answer.await.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER_MAX.as_secs())))
    });
    match answer.map_err(|why| format!("{address}: {why}"))? {
        (StatusCode::OK, words) => Ok(words),
        (_, words) => Err(words),
    }
}

/// Where a service of this machine can be reached that listens there.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn exchange(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: String,
) -> Result<(StatusCode, String), String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::builder().method(method).uri(path).header(HOST, address.to_string());
    let request = request.body(body).map_err(|error| error.to_string())?;
    let (head, body) = sender.send_request(request).await.map_err(|error| error.to_string())?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
    let words = String::from_utf8_lossy(&body.to_bytes()).trim_end().to_owned();
    Ok((head.status, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_stands_for_all_is_asked_on_this_machine() {
        for (listen, asked) in [
            ("0.0.0.0:9051", "127.0.0.1:9051"),
            ("[::]:9051", "[::1]:9051"),
            ("127.0.0.2:9051", "127.0.0.2:9051"),
            ("10.1.2.3:9051", "10.1.2.3:9051"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }

    #[test]
    fn without_a_side_port_there_is_nobody_to_ask() {
        assert!(run(&Ask::Healthcheck, None).unwrap_err().contains("TONGHOP_SIDE_LISTEN"));
    }
}
