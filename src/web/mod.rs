//! stub
#![allow(missing_docs, dead_code, unreachable_pub, missing_debug_implementations)]
use crate::config::{Problems, StreamName};
use crate::hub::Hub;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
pub struct Web {
    hub: Arc<Hub>,
}
pub struct Links {
    pub rtsp_port: Option<u16>,
}
pub struct Control(mpsc::Sender<Command>);
pub enum Change {
    Created,
    Replaced,
    Unchanged,
}
pub enum Command {
    Put { name: StreamName, stream: serde_json::Value, reply: oneshot::Sender<Result<Change, Problems>> },
    Delete { name: StreamName, reply: oneshot::Sender<bool> },
}
impl Control {
    pub fn channel() -> (Self, mpsc::Receiver<Command>) {
        let (a, b) = mpsc::channel(8);
        (Self(a), b)
    }
}
impl Web {
    pub fn new(hub: Arc<Hub>, control: Control, _: Links, _: CancellationToken) -> Self {
        std::mem::forget(control);
        Self { hub }
    }
    pub async fn run(self, l: tokio::net::TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        loop {
            tokio::select! { () = stop.cancelled() => return Ok(()), Ok((mut s,_)) = l.accept() => { use tokio::io::{AsyncReadExt,AsyncWriteExt}; let mut b=[0;1024]; let _=s.read(&mut b).await; let _ = s.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{}", self.hub.metrics().render().unwrap_or_default()).as_bytes()).await; } }
        }
    }
}
