//! One attempt at a session: opened, played, and held back until it has proven that it delivers.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::backlog::{Backlog, Proof};
use super::error::Error;
use super::session::{Local, Progress, Session};
use crate::vocabulary::{FailureClass, Transport};

/// What a session is opened for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Purpose {
    /// Nothing is published: the first that delivers is.
    Recover,
    /// To take the place of the session that is published.
    Replace(Cause),
    /// To see whether a preferred source works again.
    Probe,
    /// To be there when the session that is published fails.
    Standby,
}

/// Why a session that is still kept is to be replaced.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cause {
    /// Its picture may have stopped.
    Suspect,
    /// Its time is nearly over.
    Renewal,
    /// It works, but not well.
    Failure(Error),
}

impl Purpose {
    /// The word for it in logs and traces.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Recover => "recover",
            Self::Replace(_) => "replace",
            Self::Probe => "probe",
            Self::Standby => "standby",
        }
    }
}

/// An attempt under way.
pub(super) struct Attempt {
    /// In the order in which attempts are opened.
    pub(super) id: u64,
    pub(super) source: usize,
    pub(super) purpose: Purpose,
    pub(super) started: Instant,
    pub(super) limits: Limits,
    progress: Progress,
    state: State,
}

/// How long an attempt may take that is past its handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// A playing session may send nothing for this long.
    pub(super) silence: Duration,
    /// The same over UDP where TCP may do instead.
    pub(super) udp_silence: Option<Duration>,
}

enum State {
    Opening(Local<Result<Box<dyn Session>, Error>>),
    Playing {
        session: Box<dyn Session>,
        backlog: Backlog,
        since: Instant,
    },
    /// It failed, and nothing of it is left.
    Over,
}

impl Attempt {
    /// An attempt that begins now.
    pub(super) fn new(
        (id, source, purpose): (u64, usize, Purpose),
        limits: Limits,
        progress: Progress,
        opening: Local<Result<Box<dyn Session>, Error>>,
        now: Instant,
    ) -> Self {
        Self { id, source, purpose, started: now, limits, progress, state: State::Opening(opening) }
    }

    /// Whether the camera has given any answer.
    pub(super) fn is_answered(&self) -> bool {
        self.progress.is_answered()
    }

    /// What it waits for before it begins, if nobody was told yet.
    pub(super) fn take_wait(&self) -> Option<String> {
        self.progress.take_wait()
    }

    /// How far it has proven that it delivers.
    pub(super) fn proof(&self) -> Proof {
        match &self.state {
            State::Playing { backlog, .. } => backlog.proof(),
            State::Opening(_) | State::Over => Proof::None,
        }
    }

    /// Whether it is one of those of which the best is published as soon as it can be.
    pub(super) fn is_rival(&self) -> bool {
        matches!(self.purpose, Purpose::Recover | Purpose::Replace(_))
    }

    /// Whether it has been set up, whatever it has delivered by now.
    pub(super) fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing { .. })
    }

    /// Whether viewers who get what it holds back see a picture.
    pub(super) fn has_picture(&self) -> bool {
        match &self.state {
            State::Playing { backlog, .. } => backlog.proof() == Proof::Pictures && backlog.has_key(),
            State::Opening(_) | State::Over => false,
        }
    }

    /// Whether it stands by, and could take over now.
    pub(super) fn stands_by(&self, now: Instant) -> bool {
        let State::Playing { backlog, .. } = &self.state else { return false };
        let fresh = backlog.last().is_some_and(|last| now.saturating_duration_since(last) <= FRESH);
        self.purpose == Purpose::Standby && self.has_picture() && fresh
    }

    /// Takes what comes. Ready when it has got a step further, or when it has failed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), Error>> {
        match &mut self.state {
            State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                Ok(session) => {
                    let backlog = Backlog::new(session.description());
                    self.state = State::Playing { session, backlog, since: now };
                    Poll::Ready(Ok(()))
                }
                Err(error) => {
                    self.state = State::Over;
                    Poll::Ready(Err(error))
                }
            },
            State::Playing { session, backlog, .. } => {
                let before = backlog.proof();
                for _ in 0..MAX_EVENTS {
                    match ready!(session.poll_event(cx)) {
                        Ok(event) => backlog.push(event),
                        Err(error) => {
                            self.state = State::Over;
                            return Poll::Ready(Err(error));
                        }
                    }
                    if backlog.proof() != before {
                        return Poll::Ready(Ok(()));
                    }
                }
                cx.waker().wake_by_ref(); // more is waiting: let others run in between
                Poll::Pending
            }
            State::Over => Poll::Pending,
        }
    }

    /// What is wrong with it by now.
    pub(super) fn check(&self, now: Instant) -> Option<Error> {
        let State::Playing { session, backlog, since } = &self.state else { return None };
        let silence = now.saturating_duration_since(backlog.last().unwrap_or(*since));
        if let (Some(limit), None, Some(Transport::Udp)) =
            (self.limits.udp_silence, backlog.last(), session.transport())
            && silence >= limit
        {
            let message = format!("no packet came over UDP within {} s: TCP is next", limit.as_secs_f64());
            return Some(Error::new(FailureClass::NoUdp, message));
        }
        (silence >= self.limits.silence).then(|| {
            let seconds = silence.as_secs_f64();
            let message = format!("no packet for {seconds:.1} s after PLAY (read_timeout)");
            Error::new(FailureClass::Stall, message)
        })
    }

    /// When [`Self::check`] can find something next.
    pub(super) fn next_check(&self) -> Option<Instant> {
        let State::Playing { backlog, since, .. } = &self.state else { return None };
        let udp = self.limits.udp_silence.filter(|_| backlog.last().is_none());
        let limit = udp.map_or(self.limits.silence, |udp| udp.min(self.limits.silence));
        Some(backlog.last().unwrap_or(*since) + limit)
    }

    /// The session and what it has held back; `None` when it does not play.
    pub(super) fn into_session(self) -> Option<(Box<dyn Session>, Backlog)> {
        match self.state {
            State::Playing { session, backlog, .. } => Some((session, backlog)),
            State::Opening(_) | State::Over => None,
        }
    }
}

/// Packets taken before other tasks of the thread get their turn.
pub(super) const MAX_EVENTS: usize = 512;

/// A session that stands by and has sent nothing for longer may be as dead as the one it is to replace.
const FRESH: Duration = Duration::from_secs(1);
