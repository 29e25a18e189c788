//! Drives the sessions of one stream: what is opened when, which session is published, which are given up.
//!
//! One session is published. Beside it attempts come and go: to replace it before it is lost (make before break), to
//! find a lost one anew, to see whether a preferred source is back, to stand by. [`Driver::drive`] waits for whatever
//! comes first and then does what is due; what it does follows from [`super::policy`]; who is published next is in
//! [`super::takeover`], and what failures lead to in [`super::failures`].

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time;
use tracing::{Instrument as _, Span};

use super::attempt::{Attempt, Cause, Limits, Purpose};
use super::budget::Connection;
use super::error::Error;
use super::hosts::Sources;
use super::news::News;
use super::plan::{Known, Plan};
use super::policy::{Choice, Fact, FailBack, Heat, Race, SILENT_HOST, Verdict};
use super::session::{Client, Local, Progress, Request, Session};
use super::sessions::{Happening, Sessions};
use crate::hub::Publisher;
use crate::spans;
use crate::vocabulary::{FailureClass, Transport};

/// The sessions of one stream and all that is known of its sources.
pub(super) struct Driver {
    pub(super) plan: Plan,
    pub(super) known: Vec<Known>,
    pub(super) choice: Choice,
    pub(super) sessions: Sessions,
    pub(super) news: News,
    pub(super) client: Box<dyn Client>,
    pub(super) shared: Sources,
    opened: u64,
    /// While nothing is published: which source is tried next, and when.
    pub(super) retry: (usize, Instant),
    /// Attempts side by side that the last decision asks for, and those under way.
    pub(super) race: Option<Race>,
    pub(super) heat: Option<Heat>,
    /// Why the session that is published should be replaced, and the earliest time for that.
    pub(super) wish: Option<Cause>,
    pub(super) replace_after: Option<Instant>,
    /// What is kept while nothing is wanted, for the next session ([`super::rest`]).
    pub(super) kept: Option<Connection>,
    /// Sessions that are gone and still say goodbye, and how long a new one waits for that.
    goodbye: Option<(Local<()>, Instant)>,
    /// A camera without a free session is tried again when it has forgotten those of ours.
    pub(super) forgotten: Option<Local<()>>,
}

impl Driver {
    pub(super) fn new(plan: Plan, known: Vec<Known>, client: Box<dyn Client>, shared: Sources) -> Self {
        let choice = Choice::new(known.len(), FailBack::default());
        let sessions = Sessions::new(shared.metrics().clone());
        Self {
            plan,
            known,
            choice,
            sessions,
            news: News::default(),
            client,
            shared,
            opened: 0,
            retry: (0, now()),
            race: None,
            heat: None,
            wish: None,
            replace_after: None,
            kept: None,
            goodbye: None,
            forgotten: None,
        }
    }

    /// Keeps the stream going for as long as it is polled. It may be dropped and called again.
    pub(super) async fn drive(&mut self, publisher: &mut Publisher) -> Infallible {
        let mut timer = pin!(time::sleep(Duration::ZERO));
        loop {
            let next = self.act(publisher, now());
            timer.as_mut().reset(next.into());
            let happening = poll_fn(|cx| {
                if let Poll::Ready(happening) = self.sessions.poll(publisher, cx) {
                    return Poll::Ready(Some(happening));
                }
                if self.goodbyes_are_said(cx) || self.is_forgotten(cx) {
                    return Poll::Ready(None);
                }
                timer.as_mut().poll(cx).map(|()| None)
            });
            match happening.await {
                Some(Happening::Ended(current, error)) => self.ended(current, error, publisher, now()),
                Some(Happening::Failed(attempt, error)) => self.failed(attempt, error, publisher, now()),
                Some(Happening::Progress) | None => {}
            }
        }
    }

    /// Gives up all sessions, and waits for their goodbyes for a while.
    pub(super) async fn close(&mut self) {
        self.sessions.clear();
        (self.goodbye, self.forgotten, self.heat, self.wish) = (None, None, None, None);
        // Longer than that neither the next session nor the end of the relay is held up.
        let _ = time::timeout(GOODBYE, self.client.goodbye()).await;
    }

    /// The next session starts from nothing: a stream is wanted again.
    pub(super) fn start(&mut self) {
        self.retry = (self.choice.next(now()).source, now());
    }

    /// Does what is due, and says when to look again.
    fn act(&mut self, publisher: &mut Publisher, now: Instant) -> Instant {
        while let Some((index, error)) =
            self.sessions.attempts.iter().enumerate().find_map(|(i, attempt)| Some((i, attempt.check(now)?)))
        {
            let attempt = self.sessions.attempts.remove(index);
            self.failed(attempt, error, publisher, now);
        }
        let waits =
            self.sessions.attempts.iter().filter(|attempt| attempt.is_rival()).find_map(Attempt::take_wait);
        if let (Some(why), None) = (waits, &self.sessions.current) {
            tracing::debug!("{why}");
            publisher.says(why);
        }
        self.judge(publisher, now);
        self.probe(now);
        while let Some(index) = self.winner(now) {
            self.take_over(index, publisher, now);
        }
        self.open_due(publisher, now);
        self.next_look(now)
    }

    /// Finds out how the session that is published does, and what to wish for.
    fn judge(&mut self, publisher: &mut Publisher, now: Instant) {
        let Some(current) = &self.sessions.current else {
            self.wish = None;
            return;
        };
        let known = &mut self.known[current.source];
        let renew_at = known.lifetime.renew_after().map(|after| current.since + after);
        let lossy = current.lossy.filter(|_| self.plan.may_take_tcp());
        self.wish = match current.rhythm.liveness.verdict(now) {
            Verdict::Stalled { why, .. } => {
                return self.give_up_current(Error::new(FailureClass::Stall, why), publisher, now);
            }
            Verdict::Suspect { .. } => Some(Cause::Suspect),
            Verdict::Healthy => {
                self.sessions.attempts.retain(|attempt| attempt.purpose != Purpose::Replace(Cause::Suspect));
                if let Some(share) = lossy {
                    known.history.learn(Fact::UdpLossy);
                    let message = format!("{:.0} % loss over UDP: TCP is next", share * 100.0);
                    Some(Cause::Failure(Error::new(FailureClass::NoUdp, message)))
                } else {
                    renew_at.is_some_and(|at| at <= now).then_some(Cause::Renewal)
                }
            }
        };
        // Where sessions are few, the old one has to go first. A suspicion alone is not worth that, nor is a renewal.
        if known.history.knows(Fact::SessionLimit)
            && let Some(Cause::Failure(error)) = self.wish.take_if(|wish| *wish != Cause::Suspect)
        {
            self.give_up_current(error, publisher, now);
        }
    }

    fn give_up_current(&mut self, error: Error, publisher: &mut Publisher, now: Instant) {
        if let Some(current) = self.sessions.take_current() {
            self.ended(current, error, publisher, now);
        }
    }

    /// Looks after attempts on other sources than the one that delivers.
    fn probe(&mut self, now: Instant) {
        let Some(current) = self.sessions.current.as_ref().map(|current| current.source) else { return };
        let attempts = &mut self.sessions.attempts;
        // A session that stands by on a preferred source probes it all the time.
        if let Some(source) = self.choice.probe_due(now)
            && attempts.iter().any(|attempt| attempt.source == source && attempt.stands_by(now))
        {
            self.choice.probed(source, now);
        }
        let choice = &mut self.choice;
        attempts.retain(|attempt| {
            let source = attempt.source;
            if attempt.purpose != Purpose::Probe || !attempt.has_picture() {
                return true;
            }
            choice.probed(source, now);
            choice.should_fail_back(now) == Some(source) // it takes over
        });
        if let Some(source) = self.choice.probe_due(now)
            && !self.sessions.attempts.iter().any(|attempt| attempt.source == source)
        {
            self.open(source, Purpose::Probe, now);
        }
        let standing_by = |attempt: &Attempt| attempt.purpose == Purpose::Standby;
        if self.plan.standby
            && !self.sessions.attempts.iter().any(standing_by)
            && let Some(source) = self.choice.standby(now)
            && source != current
        {
            self.open(source, Purpose::Standby, now);
        }
    }

    /// Opens what is due.
    fn open_due(&mut self, publisher: &mut Publisher, now: Instant) {
        let rivals = |attempts: &[Attempt]| attempts.iter().any(Attempt::is_rival);
        if !rivals(&self.sessions.attempts) {
            let (source, purpose) = match (&self.sessions.current, self.wish.take()) {
                (None, _) if self.retry.1 <= now && self.goodbye.is_none() => {
                    publisher.connecting();
                    (self.retry.0, Purpose::Recover)
                }
                (Some(current), Some(cause)) if self.replace_after.is_none_or(|at| at <= now) => {
                    (current.source, Purpose::Replace(cause))
                }
                _ => return,
            };
            if purpose != Purpose::Recover && self.known[source].history.knows(Fact::SessionLimit) {
                return;
            }
            self.forgotten = None;
            self.heat = self.race_at(source, &purpose, now).map(|race| Heat::new(race, now));
            return self.open(source, purpose, now);
        }
        let Some(heat) = &mut self.heat else { return };
        // Somebody is there: who has no answer yet would only be one session more.
        if heat.until_answered() && self.sessions.attempts.iter().any(|a| a.is_rival() && a.is_answered()) {
            self.sessions.attempts.retain(|attempt| !attempt.is_rival() || attempt.is_answered());
            self.heat = None;
        } else if heat.start(now)
            && let Some(rival) = self.sessions.attempts.iter().find(|attempt| attempt.is_rival())
        {
            let (source, purpose) = (rival.source, rival.purpose.clone());
            self.open(source, purpose, now);
        }
    }

    /// The race for a source, if there is to be one.
    fn race_at(&self, source: usize, purpose: &Purpose, now: Instant) -> Option<Race> {
        let known = &self.known[source];
        let lost_just_now = known.history.gone_for(now).is_some_and(|gone| gone <= FAST);
        let silent = lost_just_now || *purpose == Purpose::Replace(Cause::Suspect);
        // Several wrong passwords at once would be several steps towards a locked account.
        let may_race = !known.history.knows(Fact::SessionLimit)
            && (known.history.has_delivered() || !known.needs_password);
        let race =
            self.plan.race(self.race).or(silent.then_some(SILENT_HOST).filter(|_| self.plan.may_race()));
        race.filter(|_| may_race)
    }

    fn open(&mut self, source: usize, purpose: Purpose, now: Instant) {
        self.opened += 1;
        let known = &self.known[source];
        let transport = self.plan.transport(&known.history);
        let progress = Progress::default();
        let request = Request {
            source,
            transport,
            step_limit: known.step_limit(self.plan.connect_timeout, now),
            insist_on_teardown: known.history.knows(Fact::SessionLimit),
            tracks: self.plan.tracks.clone(),
            progress: progress.clone(),
        };
        let (turn, budget) = (self.shared.turn(&known.host), self.shared.budget(&known.host));
        let (kept, most) = (self.kept.take(), self.plan.max_connections);
        let (host, waiting) = (known.host.clone(), progress.clone());
        let session = self.client.open(request);
        let span = spans::attempt(&known.name, transport, purpose.as_str());
        let opening = async move {
            let waits = || {
                let most = most.unwrap_or_default();
                waiting.wait(format!(
                    "All {most} connections with {host} are taken (max_connections_per_camera): waits for one."
                ));
            };
            let connection = match kept {
                Some(connection) => connection,
                None => budget.connect(most, waits).await,
            };
            let _place = turn.await;
            let opened = session.await;
            if let Err(error) = &opened {
                spans::failed(&Span::current(), error.class, &error.message);
            }
            opened.map(|session| Box::new(connection.of(session)) as Box<dyn Session>)
        };
        let opening = Box::pin(opening.instrument(span));
        let udp_silence = (transport == Transport::Udp && self.plan.may_take_tcp()).then_some(UDP_PATIENCE);
        let limits = Limits { silence: self.plan.patience.read_timeout, udp_silence };
        let attempt = Attempt::new((self.opened, source, purpose), limits, progress, opening, now);
        self.sessions.attempts.push(attempt);
    }

    /// Sessions were dropped: the next one waits a little until they have said goodbye.
    pub(super) fn say_goodbye(&mut self, now: Instant) {
        let few = self.known.iter().any(|known| known.history.knows(Fact::SessionLimit));
        let limit = if few { GOODBYE_OF_FEW } else { GOODBYE_OF_MANY };
        self.goodbye = Some((self.client.goodbye(), now + limit));
    }

    /// When the camera has forgotten the sessions that it still keeps, if it keeps any.
    pub(super) fn wait_until_forgotten(&mut self) {
        self.forgotten = self.client.forgotten();
    }

    fn goodbyes_are_said(&mut self, cx: &mut Context<'_>) -> bool {
        let said = self
            .goodbye
            .as_mut()
            .is_some_and(|(goodbye, until)| goodbye.as_mut().poll(cx).is_ready() || *until <= now());
        if said {
            self.goodbye = None;
        }
        said
    }

    fn is_forgotten(&mut self, cx: &mut Context<'_>) -> bool {
        let forgotten = self.forgotten.as_mut().is_some_and(|gone| gone.as_mut().poll(cx).is_ready());
        if forgotten {
            self.forgotten = None;
            self.retry.1 = now();
        }
        forgotten
    }

    fn next_look(&self, now: Instant) -> Instant {
        let current = self.sessions.current.as_ref();
        let mut next =
            now + if current.is_some() || !self.sessions.attempts.is_empty() { POLL_EVERY } else { REST };
        let liveness =
            current.map(|current| current.rhythm.liveness.next_check(now).max(now + CHECK_AT_MOST_EVERY));
        let retry = current.is_none().then_some(self.retry.1).filter(|at| *at > now);
        let times = [
            liveness,
            retry,
            self.goodbye.as_ref().map(|(_, until)| *until),
            self.heat.as_ref().and_then(Heat::next),
            self.replace_after.filter(|at| *at > now),
        ];
        for time in
            times.into_iter().flatten().chain(self.sessions.attempts.iter().filter_map(Attempt::next_check))
        {
            next = next.min(time);
        }
        // Whatever is due by now has been done, or has to wait for something else.
        next.max(now + SHORTEST_REST)
    }
}

/// The clock of timers and sessions, which tests turn as they like.
pub(super) fn now() -> Instant {
    time::Instant::now().into_std()
}

/// The library forgets its waker when the camera sends a request (an OPTIONS of a Dahua, for one): media would wait for
/// the next keep-alive. Polling it again bounds that gap.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// With nothing to poll there is nothing to do before the next try.
const REST: Duration = Duration::from_secs(60);

/// A slip in what is due when is not to become a busy loop.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// A picture that is due any moment is not looked for more often than this.
const CHECK_AT_MOST_EVERY: Duration = Duration::from_millis(20);

/// `transport: auto` gives UDP up when no packet comes for this long.
const UDP_PATIENCE: Duration = Duration::from_secs(3);

/// How long after a healthy session a host that says nothing is asked by several attempts at a time.
const FAST: Duration = Duration::from_secs(15);

/// How long goodbyes may hold up the end of the relay, the next session of a camera with few, and of any other.
const GOODBYE: Duration = Duration::from_secs(2);
const GOODBYE_OF_FEW: Duration = Duration::from_secs(1);
const GOODBYE_OF_MANY: Duration = Duration::from_millis(200);
