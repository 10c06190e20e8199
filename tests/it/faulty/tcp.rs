//! A connection with faults: stands between two services and hands bytes on, or does not.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

/// What happens to the bytes of every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// They are handed on.
    Fine,
    /// They wait, and nobody hears why.
    Stalls,
    /// The far end is gone, and the near end is not told; nothing that was sent arrives.
    HalfOpen,
    /// Connections are reset.
    Resets,
    /// They come in drops.
    Slow,
    /// The connection ends within them.
    CutsWithin,
}

/// A place to connect to instead of the real one.
pub struct Proxy {
    pub address: SocketAddr,
    line: watch::Sender<Line>,
}

impl Proxy {
    /// Stands in front of that address.
    pub async fn before(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let line = watch::Sender::new(Line::Fine);
        let state = line.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // A service that is not there now refuses, and so does this.
                let Ok(far) = TcpStream::connect(upstream).await else { continue };
                tokio::spawn(carry(near, far, state.clone()));
            }
        });
        Self { address, line }
    }

    /// From now on.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

/// Both directions, until one of them ends.
async fn carry(near: TcpStream, far: TcpStream, line: watch::Sender<Line>) {
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let ended = tokio::select! {
        ended = hand_on(near_in, far_out, line.subscribe()) => ended,
        ended = hand_on(far_in, near_out, line.subscribe()) => ended,
    };
    if let Err((kept, Line::HalfOpen)) = ended {
        // Its other half is gone with the other direction, but only a socket that is gone as a whole is closed.
        std::future::pending::<()>().await;
        drop(kept);
    }
}

/// One direction. Answers why it ended, with what is still to be kept then.
async fn hand_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
) -> Result<(), (OwnedReadHalf, Line)> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let now = *line.borrow_and_update();
        match now {
            Line::Stalls => {
                let _ = line.changed().await;
                continue;
            }
            Line::HalfOpen => return Err((from, now)),
            Line::Resets => {
                let _ = to.as_ref().set_zero_linger();
                return Ok(());
            }
            Line::Fine | Line::Slow | Line::CutsWithin => {}
        }
        let read: io::Result<usize> = tokio::select! {
            read = from.read(&mut bytes) => read,
            _ = line.changed() => continue,
        };
        let Ok(count @ 1..) = read else { return Ok(()) };
        let written = match now {
            Line::CutsWithin => {
                let _ = to.write_all(&bytes[..count / 2]).await;
                return Ok(());
            }
            Line::Slow => drops(&mut to, &bytes[..count]).await,
            _ => to.write_all(&bytes[..count]).await,
        };
        if written.is_err() {
            return Ok(());
        }
    }
}

async fn drops(to: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    for drop in bytes.chunks(100) {
        to.write_all(drop).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
