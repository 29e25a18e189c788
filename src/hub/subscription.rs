//! The reading end of a stream's ring.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::burst::Burst;

/// An ear on the ring: one for all viewers of the stream on one worker thread.
#[derive(Debug)]
pub struct Subscription {
    pub(super) bursts: broadcast::Receiver<Arc<Burst>>,
}

/// What a subscription gives next.
#[derive(Debug)]
pub enum Delivery {
    /// Packets, in order.
    Burst(Arc<Burst>),
    /// The ring went past. How many frames were missed, [`Packet::frame`](super::Packet::frame) tells.
    Lagged,
    /// There will be no more.
    Closed,
}

impl Subscription {
    /// The next burst. Cancel-safe.
    pub async fn next(&mut self) -> Delivery {
        match self.bursts.recv().await {
            Ok(burst) => Delivery::Burst(burst),
            Err(broadcast::error::RecvError::Lagged(_)) => Delivery::Lagged,
            Err(broadcast::error::RecvError::Closed) => Delivery::Closed,
        }
    }

    /// The next burst, if there is one already.
    pub fn try_next(&mut self) -> Option<Delivery> {
        match self.bursts.try_recv() {
            Ok(burst) => Some(Delivery::Burst(burst)),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Delivery::Lagged),
            Err(broadcast::error::TryRecvError::Closed) => Some(Delivery::Closed),
            Err(broadcast::error::TryRecvError::Empty) => None,
        }
    }
}
