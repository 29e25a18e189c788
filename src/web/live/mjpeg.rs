//! Pictures of a JPEG stream over plain HTTP.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;

use super::Watch;
use super::pictures::{Picture, Pictures};
use crate::hub::{Demand, Seat, Stream};
use crate::spans;
use crate::vocabulary::{Disconnect, Skip, Transport};
use crate::web::Shared;
use crate::web::answer::Refusal;
use crate::web::description::{Name, NoPicture, NotFound, words};

/// The pictures of a JPEG stream as they come, each in place of the one before. Who reads slowly misses some.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{name}/mjpeg",
    params(Name),
    security((), ("digest" = []), ("basic" = []), ("watch_link" = [])),
    responses(
        (
            status = 200,
            description = "An answer without an end.",
            body = words::File,
            content_type = "multipart/x-mixed-replace",
        ),
        (status = 404, response = NotFound),
        (status = 503, response = NoPicture),
    ),
)]
pub(in crate::web) async fn moving(
    shared: &Arc<Shared>,
    stream: Arc<Stream>,
    watch: Watch,
) -> Result<Response, Refusal> {
    let place = Arc::clone(&shared.moving).try_acquire_owned().map_err(|_| {
        let error = format!(
            "{PLACES} visitors see moving JPEG pictures, and no more may: watch over the WebSocket at /live"
        );
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error).with_header(header::RETRY_AFTER, "5")
    })?;
    let (demand, pictures) = follow(&stream).await?;
    let peer = watch.peer.ok_or_else(|| Refusal::forbidden("where the request came from is not known"))?;
    let seat = stream.join(peer.address.ip(), Transport::Http, watch.user_agent());
    let mut span = spans::Viewer::new(peer.address);
    span.begins("", stream.name(), Transport::Http, seat.viewer().user_agent.as_deref());
    seat.plays();
    let show = Show { pictures, seat, span, asked: Some(Instant::now()), _demand: demand, _place: place };
    let draining = shared.draining.clone();
    let parts = futures_util::stream::unfold(show, move |mut show| {
        let draining = draining.clone();
        async move {
            let part = tokio::select! {
                part = show.next() => part,
                () = draining.cancelled() => {
                    show.leave(Disconnect::Shutdown);
                    return None;
                }
            };
            match part {
                Ok(part) => Some((Ok::<_, std::convert::Infallible>(part), show)),
                Err(reason) => {
                    show.leave(reason);
                    None
                }
            }
        }
    });
    let kind = HeaderValue::from_static("multipart/x-mixed-replace; boundary=fanlight-picture");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(parts)).into_response())
}

/// The places of those who are shown moving pictures.
pub(in crate::web) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PLACES))
}

/// The newest picture of a JPEG stream.
#[utoipa::path(
    get,
    path = "/api/v1/streams/{name}/snapshot.jpg",
    params(Name),
    security((), ("digest" = []), ("basic" = []), ("watch_link" = [])),
    responses(
        (status = 200, description = "A picture.", body = words::File, content_type = "image/jpeg"),
        (status = 404, response = NotFound),
        (status = 503, response = NoPicture),
    ),
)]
pub(in crate::web) async fn still(stream: Arc<Stream>) -> Result<Response, Refusal> {
    let (_demand, mut pictures) = follow(&stream).await?;
    let picture = time::timeout(PATIENCE, pictures.next()).await;
    let picture = picture.ok().flatten().ok_or_else(|| unavailable(&stream))?;
    let kind = HeaderValue::from_static("image/jpeg");
    Ok(([(header::CONTENT_TYPE, kind)], picture.jpeg).into_response())
}

/// A stream that is wanted, and its pictures.
async fn follow(stream: &Arc<Stream>) -> Result<(Demand, Pictures), Refusal> {
    let demand = stream.want();
    let described = time::timeout(PATIENCE, stream.described()).await;
    let described = described.ok().flatten().ok_or_else(|| unavailable(stream))?;
    match Pictures::follow(stream, &described) {
        Some(pictures) => Ok((demand, pictures)),
        None => {
            let codecs: Vec<_> =
                described.description.tracks.iter().map(|track| track.codec.name()).collect();
            let (name, codecs) = (stream.name(), codecs.join(", "));
            Err(Refusal::not_found(format!(
                "{name} has no JPEG pictures, but {codecs}: watch it by RTSP, or by the WebSocket at /live"
            )))
        }
    }
}

fn unavailable(stream: &Stream) -> Refusal {
    let why = stream
        .status()
        .borrow()
        .last_failure
        .as_ref()
        .map(|failure| failure.class.as_str().replace('_', " "));
    let why = why.unwrap_or_else(|| "it has not delivered yet".to_owned());
    let error = format!("the source of {} is not available: {why}", stream.name());
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error).with_header(header::RETRY_AFTER, "5")
}

/// A viewer, and what it is shown.
struct Show {
    pictures: Pictures,
    seat: Seat,
    span: spans::Viewer,
    /// When it asked, until the first picture.
    asked: Option<Instant>,
    _demand: Demand,
    _place: OwnedSemaphorePermit,
}

impl Show {
    /// The next part of the answer, asked for when the one before is on its way.
    async fn next(&mut self) -> Result<Bytes, Disconnect> {
        let viewer = Arc::clone(self.seat.viewer());
        let mut kicked = pin!(viewer.kicked());
        let picture = tokio::select! {
            picture = self.pictures.next() => picture.ok_or(Disconnect::StreamChanged)?,
            reason = &mut kicked => return Err(reason),
        };
        let Picture { jpeg, received, missed } = picture;
        let part = part(&jpeg);
        self.seat.reached(received);
        self.seat.sent(1, part.len() as u64, received.max(viewer.since).elapsed());
        if missed > 0 && self.asked.is_none() {
            self.seat.skipped(Skip::Lagged, missed);
        }
        if let Some(asked) = self.asked.take() {
            self.seat.started(asked.elapsed());
        }
        Ok(part)
    }

    fn leave(self, reason: Disconnect) {
        self.span.ended(reason);
        self.seat.leave(reason);
    }
}

/// One part, closed by the next boundary: browsers show a picture when they have read that.
fn part(jpeg: &[u8]) -> Bytes {
    let head = format!("--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
    let mut part = BytesMut::with_capacity(head.len() + jpeg.len() + 2);
    part.put_slice(head.as_bytes());
    part.put_slice(jpeg);
    part.put_slice(b"\r\n");
    part.freeze()
}

/// A quarter of the sidecar's connections: scrapers and health checks need some, too.
const PLACES: usize = 64;

const BOUNDARY: &str = "fanlight-picture";

/// How long a source may take to deliver a picture. Below the deadline of a request.
const PATIENCE: Duration = Duration::from_secs(10);
