//! Requests under way: numbered, written, and matched with what comes back.
//!
//! Some servers leave the CSeq out (C09), answer with the one before (C10), or send answers nobody asked for (C11). While
//! a step waits for its answer, one with another number is put aside for [`PATIENCE`]: if the right one comes, it was
//! unsolicited; if not, this camera cannot count, and answers are taken in order from then on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::login::Signature;
use crate::rtsp::{Method, Request, Response};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Before DESCRIBE, for cameras that refuse to be described otherwise.
    Options,
    /// With or without the header `Accept`.
    Describe { accept: bool },
    /// One track, with one spelling of its URI.
    Setup { lane: usize, uri: usize, spelt_out: bool },
    /// With one spelling of the URI, with or without `Range`.
    Play { uri: usize, range: bool },
    /// A sign of life.
    KeepAlive,
    /// The end.
    Teardown,
}

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) ask: Ask,
    pub(super) method: Method,
    cseq: u32,
    pub(super) at: Instant,
    /// How it was signed.
    pub(super) signature: Option<Signature>,
    /// How many forms of it came back with 401.
    pub(super) rejected: u8,
}

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    cseq: u32,
    in_flight: VecDeque<Asked>,
    /// An answer with a number that is not the one we wait for.
    aside: Option<(Response, Instant)>,
    /// The camera's numbers mean nothing.
    in_order: bool,
    /// Bytes for the camera.
    out: Vec<u8>,
}

impl Exchange {
    /// Writes a request; numbers it.
    pub(super) fn send(
        &mut self,
        ask: Ask,
        request: Request,
        signature: Option<Signature>,
        rejected: u8,
        now: Instant,
    ) {
        if ask == Ask::KeepAlive && self.out.len() > OUT_MAX {
            return; // the camera reads nothing, and what is there will do once it does
        }
        self.cseq += 1;
        let method = request.method.clone();
        request.header("CSeq", self.cseq).write(&mut self.out);
        if self.in_flight.len() == IN_FLIGHT_MAX {
            self.in_flight.pop_front();
        }
        self.in_flight.push_back(Asked { ask, method, cseq: self.cseq, at: now, signature, rejected });
    }

    /// Writes an answer to the camera's own request, unless it reads none of what we write.
    pub(super) fn answer(&mut self, response: &Response) {
        if self.out.len() <= OUT_MAX {
            response.write(&mut self.out);
        }
    }

    /// Writes an interleaved packet of ours, unless the camera reads nothing; `false` then.
    pub(super) fn packet(&mut self, channel: u8, packet: &[u8]) -> bool {
        let (Ok(len), true) = (u16::try_from(packet.len()), self.out.len() <= OUT_MAX) else { return false };
        self.out.extend([b'$', channel]);
        self.out.extend(len.to_be_bytes());
        self.out.extend_from_slice(packet);
        true
    }

    /// What is to be written to the camera.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The step that waits for its answer: the oldest request under way.
    pub(super) fn waiting(&self) -> Option<&Asked> {
        self.in_flight.front()
    }

    /// Finds the request an answer is for, and takes it out. `strict` while a step waits; else, with nothing but signs of
    /// life under way, any answer will do.
    pub(super) fn matching(
        &mut self,
        response: Response,
        strict: bool,
        now: Instant,
    ) -> Option<(Asked, Response)> {
        let cseq = response.cseq();
        let place = self.in_flight.iter().position(|asked| Some(asked.cseq) == cseq);
        if let Some(place) = place.filter(|_| !self.in_order) {
            // Those before it will not be answered any more.
            let asked = self.in_flight.drain(..=place).next_back()?;
            self.aside = None;
            return Some((asked, response));
        }
        if cseq.is_none() || self.in_order || !strict {
            return Some((self.in_flight.pop_front()?, response));
        }
        if !self.in_flight.is_empty() {
            self.aside = Some((response, now));
        }
        None
    }

    /// Nobody was there to read answers: what is under way has its time from now on.
    pub(super) fn restart(&mut self, now: Instant) {
        for asked in &mut self.in_flight {
            asked.at = now;
        }
    }

    /// When the answer put aside counts.
    pub(super) fn due(&self) -> Option<Instant> {
        self.aside.as_ref().map(|(_, since)| *since + PATIENCE)
    }

    /// The answer put aside, once nothing better came.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<(Asked, Response)> {
        let (response, _) = self.aside.take_if(|(_, since)| *since + PATIENCE <= now)?;
        self.in_order = true;
        Some((self.in_flight.pop_front()?, response))
    }
}

/// How long an answer with the wrong number waits for one with the right number.
const PATIENCE: Duration = Duration::from_millis(300);

/// Requests under way; unanswered signs of life are forgotten.
const IN_FLIGHT_MAX: usize = 4;

/// With more than this unread, the camera gets no answers, no reports and no signs of life.
const OUT_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtsp::Status;

    fn asked(exchange: &mut Exchange, ask: Ask, now: Instant) {
        exchange.send(ask, Request::new(Method::Options, "*"), None, 0, now);
    }

    fn answer(cseq: Option<u32>) -> Response {
        let response = Response::new(Status::OK);
        match cseq {
            Some(cseq) => response.header("CSeq", cseq),
            None => response,
        }
    }

    const DESCRIBE: Ask = Ask::Describe { accept: true };

    #[test]
    fn c09_an_answer_without_a_number_is_for_the_oldest_request() {
        let (mut exchange, now) = (Exchange::default(), Instant::now());
        asked(&mut exchange, DESCRIBE, now);
        assert_eq!(exchange.matching(answer(None), true, now).unwrap().0.ask, DESCRIBE);
        assert!(exchange.matching(answer(None), true, now).is_none());
    }

    #[test]
    fn c11_an_answer_nobody_asked_for_is_nothing() {
        let (mut exchange, now) = (Exchange::default(), Instant::now());
        assert!(exchange.matching(answer(Some(77)), true, now).is_none());
        asked(&mut exchange, DESCRIBE, now);
        assert!(exchange.matching(answer(Some(77)), true, now).is_none());
        assert!(exchange.matching(answer(Some(1)), true, now).is_some());
        assert!(exchange.overdue(now + PATIENCE).is_none(), "the right one came");
        assert!(exchange.matching(answer(Some(1)), true, now).is_none(), "the same again");
    }

    #[test]
    fn c10_a_camera_that_cannot_count_is_answered_in_order() {
        let (mut exchange, now) = (Exchange::default(), Instant::now());
        asked(&mut exchange, DESCRIBE, now);
        assert!(exchange.matching(answer(Some(0)), true, now).is_none());
        assert!(exchange.overdue(now).is_none());
        assert_eq!(exchange.overdue(exchange.due().unwrap()).unwrap().0.ask, DESCRIBE);
        asked(&mut exchange, Ask::KeepAlive, now);
        assert!(exchange.matching(answer(Some(0)), true, now).is_some());
    }

    #[test]
    fn while_media_flows_any_answer_is_one_to_a_sign_of_life() {
        let (mut exchange, now) = (Exchange::default(), Instant::now());
        asked(&mut exchange, Ask::KeepAlive, now);
        assert!(exchange.matching(answer(Some(9)), false, now).is_some());
        assert!(exchange.matching(answer(Some(9)), false, now).is_none());
    }

    #[test]
    fn what_is_never_answered_or_read_does_not_add_up() {
        let (mut exchange, now) = (Exchange::default(), Instant::now());
        for _ in 0..10_000 {
            asked(&mut exchange, Ask::KeepAlive, now);
        }
        assert!(exchange.out().len() < OUT_MAX + 200);
        assert_eq!(exchange.in_flight.len(), IN_FLIGHT_MAX);
        for _ in 0..10_000 {
            exchange.answer(&answer(Some(1)));
            exchange.packet(1, &[0; 100]);
        }
        assert!(exchange.out().len() < OUT_MAX + 200);
    }
}
