//! The connection of a POST: reads, decodes, hands over.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time;

use super::PostHalf;
use super::http::{Post, Refused};
use crate::rtsp::tunnel::Decoder;

/// How the connection of a POST ends.
#[derive(Debug)]
pub(super) enum PostEnd {
    /// The viewer has ended it.
    Finished,
    /// The tunnel has ended.
    Closed,
    /// It has to be told.
    Refused(Refused),
}

impl Post {
    /// Hands over what comes behind the POST's head, `early` first, until it ends or its tunnel does. `met` is called when
    /// there is a tunnel. A GET, and the end of an earlier POST, are waited for at most `patience`.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn run(
        self,
        socket: &TcpStream,
        early: Bytes,
        patience: Duration,
        met: impl FnOnce(),
    ) -> io::Result<PostEnd> {
        let half = self.0;
        // What comes meanwhile waits in the socket.
        if time::timeout(patience, half.joined.cancelled()).await.is_err() {
            return Ok(PostEnd::Refused(Refused::NO_GET));
        }
        met();
        let Ok(turn) = time::timeout(patience, half.turn.acquire()).await else {
            return Ok(PostEnd::Refused(Refused::POST_IN_USE));
        };
        tokio::select! {
            biased;
            () = half.requests.closed() => Ok(PostEnd::Closed),
            end = half.pump(socket, early) => {
                drop(turn);
                end
            }
        }
    }
}

impl PostHalf {
    async fn pump(&self, socket: &TcpStream, early: Bytes) -> io::Result<PostEnd> {
        let mut decoder = Decoder::default();
        let mut chunk = [0; READ];
        let mut piece: &[u8] = &early;
        loop {
            let mut said = Vec::new();
            if decoder.push(piece, &mut said).is_err() {
                return Ok(PostEnd::Refused(Refused::NOT_BASE64));
            }
            if !said.is_empty() && self.requests.send(said.into()).await.is_err() {
                return Ok(PostEnd::Closed);
            }
            piece = loop {
                socket.readable().await?;
                match socket.try_read(&mut chunk) {
                    Ok(0) => return Ok(PostEnd::Finished),
                    Ok(length) => break &chunk[..length],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            };
        }
    }
}

/// Bytes read at once.
const READ: usize = 4096;
