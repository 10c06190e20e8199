//! HTTP/2 by hand, for what no client library would send.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// What every client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What takes longer never comes.
const NEVER: Duration = Duration::from_secs(60);

/// A frame as it is sent.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call, uncompressed.
pub fn call_headers(path: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // POST, http, :path, :authority, content-type, te; names by their place in the static table where they have one.
    let mut block = vec![0x83, 0x86, 0x04];
    block.extend(text(path));
    block.push(0x01);
    block.extend(text("localhost"));
    block.extend([0x0f, 0x10]);
    block.extend(text("application/grpc"));
    block.push(0x00);
    block.extend([text("te"), text("trailers")].concat());
    block
}

/// A connection on which anything can be sent.
pub struct Raw(pub TcpStream);

impl Raw {
    /// Connects and says nothing.
    pub async fn silent(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Connects from that address and says nothing.
    pub async fn silent_from(address: SocketAddr, from: IpAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(from, 0))?;
        socket.connect(address).await.map(Self)
    }

    /// Connects and begins as a client does.
    pub async fn begun(address: SocketAddr) -> Self {
        let mut raw = Self::silent(address).await;
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
        raw
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }

    /// Sends the same again and again while somebody else reads what comes: until so often, or until the other side has
    /// closed, or takes nothing any more. Answers the codes of the GOAWAY frames that came.
    pub async fn flood(self, times: u32, mut bytes: impl FnMut(u32) -> Vec<u8>) -> Vec<u32> {
        let (mut reader, mut writer) = self.0.into_split();
        let heard = tokio::spawn(async move {
            let mut goodbyes = Vec::new();
            while let Some((kind, _, _, payload)) = read_frame(&mut reader).await {
                if kind == GOAWAY {
                    goodbyes.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
                }
            }
            goodbyes
        });
        for number in 0..times {
            let sent = tokio::time::timeout(Duration::from_secs(2), writer.write_all(&bytes(number))).await;
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
        }
        drop(writer);
        tokio::time::timeout(NEVER, heard).await.expect("the connection ends").unwrap()
    }

    /// The next frame that is of that kind; none if the connection ends before.
    pub async fn next(&mut self, wanted: u8) -> Option<Vec<u8>> {
        let next = async {
            loop {
                let (kind, flags, _, payload) = read_frame(&mut self.0).await?;
                if kind == wanted && !(kind == SETTINGS && flags & ACK != 0) {
                    return Some(payload);
                }
            }
        };
        tokio::time::timeout(NEVER, next).await.expect("it comes or the connection ends")
    }

    /// Waits until the other side has closed.
    pub async fn closed(&mut self) {
        let closed = async {
            let mut buffer = [0; 1024];
            while matches!(self.0.read(&mut buffer).await, Ok(1..)) {}
        };
        tokio::time::timeout(NEVER, closed).await.expect("the other side closes");
    }
}

async fn read_frame(reader: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    reader.read_exact(&mut payload).await.ok()?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], stream, payload))
}
