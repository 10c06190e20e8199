//! The canned RPC: a plain tonic server, in a process of its own, that answers questions with bytes computed beforehand.
//! It also answers the empty RPC, a health check.

use std::{
    collections::HashMap,
    convert::Infallible,
    error::Error,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use prost::bytes::Bytes;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Context, Poll, Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};

use super::raw::Raw;

/// The server as a process; it ends with this.
#[derive(Debug)]
pub struct Canned {
    child: Child,
    uri: String,
}

impl Canned {
    /// Starts this program again, as the server of these answers, which are put into that file.
    ///
    /// # Errors
    /// The file cannot be written, or the process does not start.
    pub fn start(path: &Path, answers: &[(Vec<u8>, Vec<u8>)]) -> Result<Self, Box<dyn Error>> {
        fs::write(path, write(answers))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("canned")
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().ok_or("it is piped")?).read_line(&mut address)?;
        Ok(Self { child, uri: format!("http://{}", address.trim()) })
    }

    /// A connection to it.
    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(self.uri.clone()).expect("an address is a URI").connect_lazy()
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves the answers of a file until the standard input ends.
///
/// # Errors
/// The file cannot be read, or the server cannot start.
pub async fn serve(path: &Path) -> Result<(), Box<dyn Error>> {
    let answers = read(&fs::read(path)?).ok_or("the file is cut off")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let (health, health_server) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(health_server)
        .add_service(Answers(Arc::new(answers)))
        .serve_with_incoming_shutdown(incoming, async { drop(ended.await) })
        .await?;
    Ok(())
}

/// Question and answer in turns, each behind its length.
fn write(answers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in answers.iter().flat_map(|(question, answer)| [question, answer]) {
        bytes.extend_from_slice(&u64::try_from(part.len()).expect("it is in memory").to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn read(mut bytes: &[u8]) -> Option<HashMap<Bytes, Bytes>> {
    let mut part = || {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
        bytes = rest;
        Some(Bytes::copy_from_slice(part))
    };
    let mut answers = HashMap::new();
    while let Some(question) = part() {
        answers.insert(question, part()?);
    }
    bytes.is_empty().then_some(answers)
}

/// Looks up the bytes of a question, whatever method it is of.
#[derive(Clone)]
struct Answers(Arc<HashMap<Bytes, Bytes>>);

impl NamedService for Answers {
    const NAME: &'static str = "tonghop.v1.QueryService";
}

impl Service<http::Request<Body>> for Answers {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answers = self.clone();
        Box::pin(async move { Ok(Grpc::new(Raw).unary(answers, request).await) })
    }
}

impl UnaryService<Bytes> for Answers {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let answer = self.0.get(request.get_ref()).cloned();
        Box::pin(async move { answer.map(Response::new).ok_or_else(|| Status::not_found("no such question")) })
    }
}
