//! What the user wants of a stream's sources, and what is known of each of them.

use std::time::{Duration, Instant};

use super::policy::{
    Ends, History, Lifetime, Limits, Liveness, Nature, Patience, Race, Strategy, Streak, Wins,
};
use super::sessions::Rhythm;
use crate::config::{CameraUrl, Race as RaceSetting, Retry, Source, Stream as Settings, UpstreamTransport};
use crate::sdp::{Description, Selection};
use crate::vocabulary::Transport;

/// What the user wants.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) connect_timeout: Duration,
    pub(super) patience: Patience,
    /// The longest wait for a camera without a free session.
    pub(super) refusal_max: Duration,
    /// A rule of the user's in place of what the histories say, and the failures it counts.
    pub(super) rule: Option<(Strategy, Streak)>,
    pub(super) standby: bool,
    pub(super) tracks: Selection,
    /// Most connections with a camera's host.
    pub(super) max_connections: Option<usize>,
    transport: UpstreamTransport,
    race: RaceSetting,
    race_attempts: u8,
    race_stagger: Duration,
}

/// What is known of a source.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// For people, without secrets.
    pub(super) name: String,
    /// Empty for a file.
    pub(super) host: String,
    pub(super) needs_password: bool,
    pub(super) history: History,
    pub(super) lifetime: Lifetime,
    pub(super) ends: Ends,
    /// Of its last session.
    pub(super) rhythm: Option<Rhythm>,
    /// How long the last session took from the first SYN to its first packets.
    pub(super) handshake: Duration,
}

impl Plan {
    pub(super) fn new(settings: &Settings) -> Self {
        let (min, max) = (settings.retry_min, settings.retry_max);
        let rule = match settings.retry {
            Retry::Auto => None,
            Retry::Immediate => Some(Strategy::Immediate),
            Retry::Fixed => Some(Strategy::Fixed { delay: min }),
            Retry::Linear => Some(Strategy::Linear { step: min, max }),
            Retry::Exponential => Some(Strategy::Exponential { min, max }),
        };
        let file = matches!(settings.source, Source::File { .. });
        let mut patience = Patience {
            stall_timeout: settings.stall_timeout,
            key_frame_timeout: settings.key_frame_timeout,
            read_timeout: settings.read_timeout,
        };
        if file {
            // Of ours, and as slow as its user wants it.
            patience = Patience { stall_timeout: Some(A_DAY), key_frame_timeout: None, read_timeout: A_DAY };
        }
        Self {
            connect_timeout: settings.connect_timeout,
            patience,
            refusal_max: limits(settings).refusal_max,
            rule: rule.map(|strategy| (strategy, Streak::default())),
            standby: settings.standby,
            tracks: settings.tracks.clone(),
            max_connections: settings.max_connections_per_camera.filter(|_| !file),
            transport: settings.transport,
            race: if file { RaceSetting::Off } else { settings.race },
            race_attempts: settings.race_attempts,
            race_stagger: settings.race_stagger,
        }
    }

    /// The rule by which attempts are made, in words.
    pub(super) fn strategy(&self) -> String {
        let auto = || "Auto: what failed and what the camera did before decide.".to_owned();
        self.rule.as_ref().map_or_else(auto, |(strategy, _)| strategy.to_string())
    }

    /// How the next session's packets are to come.
    pub(super) fn transport(&self, history: &History) -> Transport {
        match self.transport {
            UpstreamTransport::Tcp => Transport::Tcp,
            UpstreamTransport::Udp | UpstreamTransport::Multicast => Transport::Udp,
            UpstreamTransport::Auto if history.needs_tcp() => Transport::Tcp,
            UpstreamTransport::Auto => Transport::Udp,
        }
    }

    /// Whether TCP may be taken where UDP does not do.
    pub(super) fn may_take_tcp(&self) -> bool {
        self.transport == UpstreamTransport::Auto
    }

    /// Whether there may be several attempts side by side.
    pub(super) fn may_race(&self) -> bool {
        self.race != RaceSetting::Off
    }

    /// The race to be run where the history asks for `decided`.
    pub(super) fn race(&self, decided: Option<Race>) -> Option<Race> {
        let wins = match self.race {
            RaceSetting::Off => return None,
            RaceSetting::Auto => decided?.wins,
            RaceSetting::FirstWins => Wins::First,
            RaceSetting::LastWins => Wins::Last,
        };
        Some(Race { attempts: self.race_attempts, stagger: self.race_stagger, wins })
    }
}

impl Known {
    /// Nothing yet, of each of a stream's sources.
    pub(super) fn all(settings: &Settings) -> Vec<Self> {
        let fresh = |name: String, host: String, needs_password: bool| Self {
            name,
            host,
            needs_password,
            history: History::new(limits(settings)),
            lifetime: Lifetime::default(),
            ends: Ends::default(),
            rhythm: None,
            handshake: Duration::ZERO,
        };
        let camera = |camera: &CameraUrl| {
            let host = camera.url().host_str().unwrap_or_default();
            fresh(camera.to_string(), host.to_owned(), camera.credentials().is_some())
        };
        match &settings.source {
            Source::Cameras(cameras) => cameras.iter().map(camera).collect(),
            Source::File { path, .. } => vec![fresh(path.display().to_string(), String::new(), false)],
        }
    }

    /// What is known of the rhythm of these tracks, for a session that is published from `now` on.
    pub(super) fn rhythm(&mut self, description: &Description, patience: Patience, now: Instant) -> Rhythm {
        let tracks: Vec<Nature> = description.tracks.iter().map(|track| Nature::of(&track.kind)).collect();
        if let Some(mut known) = self.rhythm.take().filter(|known| known.tracks == tracks) {
            known.liveness.restarted(now);
            return known;
        }
        let liveness = Liveness::new(patience, tracks.iter().copied(), now);
        Rhythm { tracks, liveness }
    }

    /// Time for each step of a handshake. A camera that was well a moment ago reboots, or its cable is out: an attempt
    /// whose SYN went nowhere is of no use later on, since the system sends it again ever more seldom.
    pub(super) fn step_limit(&self, connect_timeout: Duration, now: Instant) -> Duration {
        let limit = PROBE_LIMIT.max(self.handshake * 4);
        match self.history.gone_for(now) {
            Some(gone) if gone <= SOON => limit.min(connect_timeout),
            Some(gone) if gone <= REBOOT => (limit * 2).min(connect_timeout),
            _ => connect_timeout,
        }
    }
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        retry_min: settings.retry_min,
        retry_max: settings.retry_max,
        unreachable_max: 2 * settings.retry_max,
        refusal_max: 6 * settings.retry_max,
        ..Limits::default()
    }
}

/// Time for a step while a host is probed that was there a moment ago.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Within this time after its last session that limit holds, and twice the limit within the other.
const SOON: Duration = Duration::from_secs(15);
const REBOOT: Duration = Duration::from_secs(60);

const A_DAY: Duration = Duration::from_secs(86_400);
